import CSP
import Testing

private struct Reason: Error, Equatable { var number = 0 }

/// The rules of https://pkg.go.dev/context, one by one.
@Suite struct ContextTests {
    @Test func backgroundIsNeverDone() {
        for context in [Context.background, .todo] {
            #expect(context.error == nil && context.cause == nil && context.deadline == nil)
            #expect(Attempt(context.done.tryReceiveUnit()) == .empty)
            #expect(context.done == context.done)
        }
        #expect(Context.background !== Context.todo)
    }

    @Test func cancelClosesDoneAndSetsTheError() {
        let (context, cancel) = Context.background.withCancel()
        #expect(context.error == nil && context.cause == nil)
        #expect(Attempt(context.done.tryReceiveUnit()) == .empty)
        cancel()
        #expect(context.error == .canceled)
        #expect(context.cause as? ContextError == .canceled)
        #expect(Attempt(context.done.tryReceiveUnit()) == .closed)
        #expect(throws: ContextError.canceled) { try context.check() }
    }

    @Test func doneIsTheSameChannelEachTime() {
        let (context, cancel) = Context.background.withCancel()
        defer { cancel() }
        #expect(context.done == context.done)
        #expect(context.withValue(Name.self, "x").done == context.done)
        let (child, cancelChild) = context.withCancel()
        defer { cancelChild() }
        #expect(child.done != context.done)
    }

    @Test func theFirstCancelAloneCounts() {
        let (context, cancel) = Context.background.withCancel()
        cancel(Reason(number: 1))
        cancel(Reason(number: 2))
        cancel()
        #expect(context.cause as? Reason == Reason(number: 1))
        #expect(context.error == .canceled)
    }

    @Test func cancelReachesAllBelowAndNobodyAbove() {
        let (root, cancelRoot) = Context.background.withCancel()
        defer { cancelRoot() }
        let (middle, cancelMiddle) = root.withCancel()
        let (leaf, cancelLeaf) = middle.withValue(Name.self, "x").withTimeout(.seconds(3600))
        defer { cancelLeaf() }
        let (sibling, cancelSibling) = root.withCancel()
        defer { cancelSibling() }
        cancelMiddle(Reason())
        #expect(middle.error == .canceled && leaf.error == .canceled)
        #expect(leaf.cause as? Reason == Reason())
        #expect(root.error == nil && sibling.error == nil)
    }

    @Test func aChildsCauseIsItsOwnIfItWasFirst() {
        let (parent, cancelParent) = Context.background.withCancel()
        let (child, cancelChild) = parent.withCancel()
        cancelChild(Reason(number: 1))
        cancelParent(Reason(number: 2))
        #expect(child.cause as? Reason == Reason(number: 1))
        #expect(parent.cause as? Reason == Reason(number: 2))
    }

    @Test func aChildOfADoneContextIsDone() {
        let (parent, cancelParent) = Context.background.withCancel()
        cancelParent(Reason())
        let (child, _) = parent.withCancel()
        let (timed, _) = parent.withTimeout(.seconds(3600))
        let (late, _) = parent.withTimeout(.zero)
        for each in [child, timed, late] {
            #expect(each.error == .canceled && each.cause as? Reason == Reason())
            #expect(Attempt(each.done.tryReceiveUnit()) == .closed)
        }
    }

    @Test func aTimeoutEndsTheContext() {
        inGoroutine {
            let (context, cancel) = Context.background.withTimeout(.milliseconds(5))
            defer { cancel() }
            #expect(context.done.receive() == nil)
            #expect(context.error == .deadlineExceeded)
            #expect(context.cause as? ContextError == .deadlineExceeded)
            #expect(context.deadline! <= .now)
        }
    }

    @Test func aTimeoutsCauseIsTheOneGiven() {
        let (context, cancel) = Context.background.withTimeout(.milliseconds(1), cause: Reason(number: 3))
        context.done.receive()
        cancel(Reason(number: 4))
        #expect(context.error == .deadlineExceeded)
        #expect(context.cause as? Reason == Reason(number: 3))
        let (early, cancelEarly) = Context.background.withTimeout(.seconds(3600), cause: Reason(number: 3))
        cancelEarly()
        #expect(early.error == .canceled && early.cause as? ContextError == .canceled)
    }

    @Test(arguments: [Duration.zero, .seconds(-5), .nanoseconds(-1)])
    func aTimeoutThatIsNotPositiveIsOverAtOnce(_ duration: Duration) {
        let (context, cancel) = Context.background.withTimeout(duration, cause: Reason())
        #expect(context.error == .deadlineExceeded && context.cause as? Reason == Reason())
        cancel()
        #expect(context.error == .deadlineExceeded)
    }

    @Test func theEarlierDeadlineCounts() {
        let soon = Time.Instant.now + .seconds(100), late = soon + .seconds(100)
        let (parent, cancelParent) = Context.background.withDeadline(soon)
        let (child, cancelChild) = parent.withDeadline(late)
        let (earlier, cancelEarlier) = parent.withDeadline(soon - .seconds(50))
        let (plain, cancelPlain) = earlier.withCancel()
        #expect(parent.deadline == soon && child.deadline == soon)
        #expect(earlier.deadline == soon - .seconds(50) && plain.deadline == earlier.deadline)
        #expect(plain.withValue(Name.self, "x").deadline == plain.deadline)
        for cancel in [cancelParent, cancelChild, cancelEarlier, cancelPlain] { cancel() }
    }

    @Test func anEndlessTimeoutIsNoTimeout() {
        let (context, cancel) = Context.background.withTimeout(.seconds(Int64.max))
        #expect(context.error == nil)
        cancel()
        #expect(context.error == .canceled)
    }

    private enum Name: ContextKey { typealias Value = String }
    private enum Number: ContextKey { typealias Value = Int }

    @Test func valuesAreFoundByTheirKeys() {
        let root = Context.background.withValue(Name.self, "outer").withValue(Number.self, 7)
        let inner = root.withValue(Name.self, "inner")
        let (child, cancel) = inner.withCancel()
        defer { cancel() }
        #expect(root[Name.self] == "outer" && inner[Name.self] == "inner" && child[Name.self] == "inner")
        #expect(child[Number.self] == 7)
        #expect(Context.background[Number.self] == nil)
    }

    @Test func withoutCancelKeepsTheValuesAlone() {
        let (parent, cancel) = Context.background.withValue(Number.self, 7).withTimeout(.seconds(3600))
        let free = parent.withoutCancel()
        let (child, cancelChild) = free.withCancel()
        cancel(Reason())
        #expect(free.error == nil && free.cause == nil && free.deadline == nil && free[Number.self] == 7)
        #expect(child.error == nil)
        cancelChild()
        #expect(child.error == .canceled && free.error == nil)
    }

    @Test func errorsSpeakGo() {
        #expect("\(ContextError.canceled)" == "context canceled")
        #expect("\(ContextError.deadlineExceeded)" == "context deadline exceeded")
    }

    // MARK: afterDone

    @Test func afterDoneRunsOnceDone() {
        inGoroutine {
            let (context, cancel) = Context.background.withCancel()
            let ran = Channel<UInt64>(capacity: 2)
            let stop = context.afterDone { ran <- Goroutine.current!.id }
            settle()
            #expect(ran.count == 0)
            cancel()
            #expect((<-ran)! != Goroutine.current!.id)
            #expect(!stop() && !stop())
            cancel()
            settle()
            #expect(ran.count == 0)
        }
    }

    @Test func afterDoneOfADoneContextRunsAtOnce() {
        inGoroutine {
            let (context, cancel) = Context.background.withCancel()
            cancel()
            let ran = Channel<Int>(capacity: 1)
            let stop = context.afterDone { ran <- 1 }
            #expect((<-ran) == 1)
            #expect(!stop())
        }
    }

    @Test func afterDoneCanBeStopped() {
        inGoroutine {
            let (context, cancel) = Context.background.withCancel()
            let ran = SharedAtomic(0)
            let stop = context.afterDone { ran.add(1) }
            let other = Channel<Int>(capacity: 1)
            context.afterDone { other <- 1 }
            #expect(stop())
            #expect(!stop())
            cancel()
            #expect((<-other) == 1)
            settle()
            #expect(ran.load() == 0)
            let never = Context.background.afterDone { ran.add(1) }
            #expect(never() && !never())
        }
    }

    @Test func afterDoneRunsThoughNobodyKeepsTheContext() {
        let ran = Channel<Int>(capacity: 1)
        Context.background.withTimeout(.milliseconds(5)).context.withCancel().context.afterDone { ran <- 1 }
        #expect((<-ran) == 1)
    }

    // MARK: What is kept

    @Test func whatIsDroppedIsDetached() {
        let ledger = Ledger(4)
        let (parent, cancel) = Context.background.withCancel()
        do {
            let token = TokenObject(0, ledger)
            _ = parent.withTimeout(.seconds(3600), cause: Holder(token))
            let stop = parent.afterDone { [token = Holder(TokenObject(1, ledger))] in _ = token }
            #expect(stop())
            let (_, cancelThird) = parent.withTimeout(.seconds(3600), cause: Holder(TokenObject(2, ledger)))
            cancelThird()
            // The function alone does not keep the context.
            let (_, cancelFourth) = parent.withTimeout(.seconds(3600), cause: Holder(TokenObject(3, ledger)))
            withExtendedLifetime(cancelFourth) {}
        }
        #expect(ledger.counts == [1, 1, 1, 1])
        cancel()
        #expect(parent.error == .canceled)
    }

    @Test func aHeldChannelIsStillClosed() {
        inGoroutine {
            // Only `done` is kept; the context and its parent are gone.
            let done = Context.background.withTimeout(.milliseconds(5)).context.withCancel().context.done
            #expect(done.receive() == nil)
            let (parent, cancel) = Context.background.withCancel()
            let below = parent.withCancel().context.done
            cancel()
            #expect(below.receive() == nil)
        }
    }

    @Test func aDeepTreeIsCancelledInALoop() {
        inGoroutine {
            let (root, cancel) = Context.background.withCancel()
            var all = [root]
            for _ in 0..<20_000 { all.append(all.last!.withCancel().context) }
            cancel()
            #expect(all.allSatisfy { $0.error == .canceled })
            // From the leaf upwards: each one releases its parent.
            while all.popLast() != nil {}
        }
    }

    // MARK: current

    @Test func currentIsGivenByRun() {
        inGoroutine {
            #expect(Context.current === Context.background)
            try withGoroutines(in: Context.background.withValue(Number.self, 1)) { group in
                #expect(Context.current === group.context)
                #expect(Goroutine.run { Context.current[Number.self] } == 1)
                #expect(Goroutine.run { Goroutine.run { Context.current[Number.self] } } == 1)
                let plain = Channel<Int?>()
                go { plain <- Context.current[Number.self] }
                #expect(plain.receive()! == nil)
                try withGoroutines(in: Context.current.withValue(Number.self, 2)) { _ in
                    #expect(Context.current[Number.self] == 2)
                }
                #expect(Context.current === group.context)
            }
            #expect(Context.current === Context.background)
        }
        onThread { #expect(Context.current === Context.background) }
    }

    // MARK: Scopes

    @Test func scopedFormsAlwaysCancel() throws {
        let kept = try Context.background.withTimeout(.seconds(3600)) { context in
            try context.check()
            return context
        }
        #expect(kept.error == .canceled)
        var second: Context?
        #expect(throws: Reason.self) {
            try Context.background.withCancel { context, _ in
                second = context
                throw Reason()
            }
        }
        #expect(second?.error == .canceled)
        let third = Context.background.withDeadline(.now + .seconds(3600)) { $0 }
        #expect(third.error == .canceled)
    }
}

private final class Holder: Error, @unchecked Sendable {
    let object: TokenObject
    init(_ object: TokenObject) { self.object = object }
}

extension ReceiveChannel<Never> {
    /// For comparing.
    fileprivate func tryReceiveUnit() -> ReceiveAttempt<Int> {
        switch tryReceive() {
        case .empty: .empty
        case .closed: .closed
        }
    }
}
