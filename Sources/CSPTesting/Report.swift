import XCTest

import Testing

/// Fails the running test: one of Swift Testing's, or else of XCTest.
func report(_ text: String, _ location: SourceLocation) {
    if Test.current != nil {
        Issue.record(Comment(rawValue: text), sourceLocation: location)
    } else {
        // XCTest takes a literal for the file; so the place is in the text.
        XCTFail("\(location): \(text)")
    }
}
