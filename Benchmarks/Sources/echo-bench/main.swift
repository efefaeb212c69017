// Sends back what comes over TCP, a goroutine per connection. Prints its port, and ends when standard input does.
// go/echo is the Go twin, epoll-echo one in C without goroutines; compare-net measures them.

import CSP
import CSPNet
import Foundation

func echo(_ connection: TCPConnection) {
    defer { connection.close() }
    var bytes = [UInt8](repeating: 0, count: 4096)
    while let count = try? connection.read(into: &bytes), count > 0 {
        do { try connection.write(bytes.span.extracting(first: count)) } catch { return }
    }
}

let listener = try TCPListener(.ip(.loopback, port: 0))
go {
    for connection in listener { go { echo(connection) } }
}
print(listener.address.port!)
_ = fflush(nil)
while readLine() != nil {}
