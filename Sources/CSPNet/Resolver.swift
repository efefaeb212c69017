public import CSP

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Names into addresses, as the system does it (getaddrinfo: /etc/hosts, DNS and what else it is set up for).
public enum Resolver {
    /// The addresses of `host`, best first (RFC 6724); itself if it is one. No processor is held meanwhile, but a thread is: the system's resolver
    /// blocks. It also goes on for a while when the context has ended the wait.
    @available(*, noasync)
    public static func addresses(of host: String, in context: Context? = nil) throws(NetError) -> [IPAddress] {
        if let address = IPAddress(host) { return [address] }
        let context = context ?? .current
        let result = Channel<Result<[IPAddress], NetError>>(capacity: 1)
        // Resolvers have deep stacks.
        go("resolver", stackSize: 1 << 20) { result <- blocking { look(up: host) } }
        let outcome: Result<[IPAddress], NetError>?
        do throws(ContextError) { outcome = try result.receive(in: context) } catch {
            throw NetError(.resolve, host, nil, .context(error))
        }
        return try outcome!.get()
    }

    /// The same in a Swift task.
    nonisolated(nonsending)
        public static func addresses(of host: String) async throws(NetError) -> [IPAddress]
    {
        try await Goroutine.run { () throws(NetError) in try addresses(of: host, in: nil) }
    }

    private static func look(up host: String) -> Result<[IPAddress], NetError> {
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = SOCK_STREAM_
        unsafe hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        // SAFETY: the list is the system's until it is freed; each address is as long as its entry says.
        let code = unsafe getaddrinfo(host, nil, &hints, &list)
        defer { unsafe list.map { unsafe freeaddrinfo($0) } }
        if code != 0 {
            let words =
                unsafe code == EAI_SYSTEM ? String(cString: strerror(errno)) : String(cString: gai_strerror(code))
            return .failure(NetError(.resolve, host, nil, .name(words, isTemporary: code == EAI_AGAIN)))
        }
        var addresses: [IPAddress] = []
        var entry = unsafe list
        while let each = unsafe entry {
            let length = unsafe Int(each.pointee.ai_addrlen)
            var storage = sockaddr_storage()
            unsafe withUnsafeMutableBytes(of: &storage) { storage in
                unsafe storage.copyMemory(from: UnsafeRawBufferPointer(start: each.pointee.ai_addr, count: length))
            }
            if let address = SocketAddress(storage, length)?.ip, !addresses.contains(address) {
                addresses.append(address)
            }
            unsafe entry = unsafe each.pointee.ai_next
        }
        if addresses.isEmpty { return .failure(NetError(.resolve, host, nil, .name("no address", isTemporary: false))) }
        return .success(addresses)
    }
}
