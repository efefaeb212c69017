import CSP

/// Work fans out to several goroutines over one channel and comes back, fanned in, over another. A WaitGroup knows when
/// the last worker is through, and so when the results can be closed.
enum FanOut: Snippet {
    static let name = "fan-out"
    static let title = "Fan-out, fan-in"
    static let summary = "several workers share the jobs; a WaitGroup tells when the results are complete"

    static func run() {
        let jobs = Channel<Int>()
        let results = Channel<(job: Int, square: Int)>()
        let workers = WaitGroup()

        for i in 0..<4 {
            workers.go("worker \(i)") {
                for job in jobs {
                    Time.sleep(for: .milliseconds(10))  // This is hard work.
                    results <- (job, job * job)
                }
            }
        }
        go("jobs") {
            for job in 1...20 { jobs <- job }
            jobs.close()
        }
        go("closer") {
            workers.wait()
            results.close()  // Only now, when no worker can send any more.
        }

        var sum = 0
        for result in results { sum += result.square }
        print("the squares of 1 to 20 add up to", sum)
    }
}
