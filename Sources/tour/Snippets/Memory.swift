import CSP

/// What lives on a goroutine's stack, and what on the heap. In Go an analysis of the compiler decides; in Swift the type
/// and the closure do: instances of classes and captured variables are on the heap, other values on the stack.
enum Memory: Snippet {
    static let name = "memory"
    static let title = "Stack and heap"
    static let summary = "where a goroutine's variables live"

    final class Person: Sendable {
        let name: String
        init(name: String) { self.name = name }
    }

    /// On the heap: it outlives the function that made it.
    static func createPerson() -> Person {
        Person(name: "Alice")
    }

    /// On the stack of whichever goroutine calls it, and gone when it returns.
    static func localOnly() {
        let x = 42
        print("a local variable:", x)
    }

    /// Each call needs some stack; a goroutine has 256 KiB of it, of which only the pages that it touches cost memory.
    static func depth(_ n: Int) -> Int {
        n == 0 ? 0 : 1 + depth(n - 1)
    }

    static func run() {
        let people = Channel<Person>()
        go { people <- createPerson() }
        print("made in one goroutine, used in another:", (<-people)!.name)

        let returned = Channel<Int>()
        go {
            localOnly()
            returned <- depth(1_000)
        }
        print("returned from a depth of", (<-returned)!)

        // For a recursion that goes deeper, ask for more.
        go(stackSize: 64 << 20) { returned <- depth(100_000) }
        print("and, on a stack of 64 MiB, of", (<-returned)!)
    }
}
