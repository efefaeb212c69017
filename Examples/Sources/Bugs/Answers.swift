import CSP

/// The first of several answers. Those who come later wait for a receiver that never comes.
public func firstAnswer(_ servers: [@Sendable () -> Int]) -> Int {
    let answers = Channel<Int>()
    for server in servers { go("ask") { answers <- server() } }
    return answers.receive()!
}

/// The same with room for all answers.
public func firstAnswerOfAll(_ servers: [@Sendable () -> Int]) -> Int {
    let answers = Channel<Int>(capacity: servers.count)
    for server in servers { go("ask") { answers <- server() } }
    return answers.receive()!
}
