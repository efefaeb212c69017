import CSP

/// "Do not communicate by sharing memory; instead, share memory by communicating." In Swift the compiler checks that it
/// is so: what was sent belongs to the receiver, and the sender can no longer touch it.
enum Ownership: Snippet {
    static let name = "ownership"
    static let title = "Sharing memory by communicating"
    static let summary = "a mutable object wanders from goroutine to goroutine, without a lock"

    /// Mutable and without protection, so not `Sendable`: two goroutines must never have it at once.
    final class Document {
        var text = ""
    }

    static func run() {
        let drafts = Channel<Document>()
        let reviewed = Channel<Document>()

        go("author") {
            for subject in ["goroutines", "channels"] {
                let draft = Document()
                draft.text = "On \(subject)"
                drafts <- draft
                // draft.text += "…"      error: sending 'draft' risks causing data races
            }
            drafts.close()
        }
        go("reviewer") {
            for draft in drafts {
                draft.text += ", reviewed"
                reviewed <- draft
            }
            reviewed.close()
        }
        for document in reviewed { print(document.text) }
    }
}
