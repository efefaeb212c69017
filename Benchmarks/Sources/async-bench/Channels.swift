import AsyncAlgorithms

// The workloads whose parts talk to each other. An AsyncChannel is unbuffered; an AsyncStream has a buffer, but nobody waits when it is full,
// so it stands for a buffered channel as long as nothing else does. Fewer operations than in csp-bench, since each takes longer.

func unbufferedPingPong() async -> Double {
    let roundTrips = 50_000
    let ping = AsyncChannel<Int>(), pong = AsyncChannel<Int>()
    let partner = Task { for await ball in ping { await pong.send(ball) } }
    let result = await nanoseconds(per: roundTrips) {
        var balls = pong.makeAsyncIterator()
        for i in 0..<roundTrips {
            await ping.send(i)
            _ = await balls.next()
        }
    }
    ping.finish()
    await partner.value
    return result
}

func bufferedSameTask() async -> Double {
    let operations = 1_000_000
    let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
    var items = stream.makeAsyncIterator()
    var sum = 0
    let result = await nanoseconds(per: operations) {
        for i in 0..<operations {
            continuation.yield(i)
            sum += await items.next()!
        }
    }
    check(sum == operations * (operations - 1) / 2)
    return result
}

func producerConsumer() async -> Double {
    let items = 1_000_000
    let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
    var sum = 0
    let result = await nanoseconds(per: items) {
        Task {
            for i in 0..<items { continuation.yield(i) }
            continuation.finish()
        }
        for await item in stream { sum += item }
    }
    check(sum == items * (items - 1) / 2)
    return result
}

func fanIn() async -> Double {
    let producers = 100, itemsEach = 500
    let channel = AsyncChannel<Int>()
    var sum = 0
    let result = await nanoseconds(per: producers * itemsEach) {
        for _ in 0..<producers {
            Task { for i in 0..<itemsEach { await channel.send(i) } }
        }
        var items = channel.makeAsyncIterator()
        for _ in 0..<producers * itemsEach { sum += await items.next()! }
    }
    check(sum == producers * itemsEach * (itemsEach - 1) / 2)
    return result
}

func ring() async -> Double {
    let size = 1000, laps = 20
    let first = AsyncChannel<Int>()
    var last = first
    for _ in 1..<size {
        let input = last, output = AsyncChannel<Int>()
        Task {
            for await token in input { await output.send(token + 1) }
            output.finish()
        }
        last = output
    }
    var tokens = last.makeAsyncIterator()
    var token = 0
    let result = await nanoseconds(per: size * laps) {
        for _ in 0..<laps {
            await first.send(token)
            token = await tokens.next()! + 1
        }
    }
    first.finish()
    check(token == size * laps)
    return result
}

func primeSieve() async -> Double {
    var prime = 0
    return await nanoseconds(per: 1) {
        var numbers = AsyncChannel<Int>()
        let naturals = numbers
        var tasks = [
            Task { for number in 2... where !Task.isCancelled { await naturals.send(number) } }
        ]
        for _ in 0..<2000 {
            var first = numbers.makeAsyncIterator()
            prime = await first.next()!
            let input = numbers, output = AsyncChannel<Int>(), divisor = prime
            tasks.append(Task { for await number in input where number % divisor != 0 { await output.send(number) } })
            numbers = output
        }
        check(prime == 17_389)
        for task in tasks { task.cancel() }
    }
}
