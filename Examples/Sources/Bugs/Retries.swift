import CSP

/// Tries until `attempt` succeeds or `context` is done, after pauses that double. The pause does not heed the context.
public func retry(_ context: Context, _ attempt: () -> Bool) -> Bool {
    var pause = Duration.seconds(1)
    while context.error == nil {
        if attempt() { return true }
        Time.sleep(for: pause)
        pause *= 2
    }
    return false
}

/// The same, but the pause ends with the context.
public func retryHeeding(_ context: Context, _ attempt: () -> Bool) -> Bool {
    var pause = Duration.seconds(1)
    while context.error == nil {
        if attempt() { return true }
        do { try Time.sleep(for: pause, in: context) } catch { return false }
        pause *= 2
    }
    return false
}
