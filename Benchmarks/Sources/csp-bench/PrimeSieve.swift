import CSP

/// The first `primes` primes by a chain of goroutines, each of which removes the multiples of one prime: the whole time.
func primeSieve(primes: Int) -> Double {
    var prime = 0
    let result = nanoseconds(per: 1) {
        var numbers = naturals()
        for _ in 0..<primes {
            prime = (<-numbers)!
            numbers = removingMultiples(of: prime, from: numbers)
        }
    }
    check(primes != 2000 || prime == 17_389)
    return result
}

private func naturals() -> ReceiveChannel<Int> {
    let numbers = Channel<Int>()
    go {
        for number in 2... { numbers <- number }
    }
    return numbers.receiver
}

private func removingMultiples(of prime: Int, from numbers: ReceiveChannel<Int>) -> ReceiveChannel<Int> {
    let rest = Channel<Int>()
    go {
        for number in numbers where number % prime != 0 { rest <- number }
    }
    return rest.receiver
}
