import CSP

/// One timer created and stopped long before it is due.
func timerStop(timers: Int) -> Double {
    var stopped = 0
    let result = nanoseconds(per: timers) {
        for _ in 0..<timers {
            let timer = Time.Timer(.seconds(1))
            if timer.stop() { stopped += 1 }
        }
    }
    check(stopped == timers)
    return result
}
