// What the compiler must refuse: see Scripts/check-refused.
import CSP

func sentByTheReceivingHalf(_ numbers: ReceiveChannel<Int>) {
    // error: binary operator '<-' cannot be applied to operands of type 'ReceiveChannel<Int>' and 'Int'
    numbers <- 1
}

func closedByTheReceivingHalf(_ numbers: ReceiveChannel<Int>) {
    // error: value of type 'ReceiveChannel<Int>' has no member 'close'
    numbers.close()
}

func receivedFromTheSendingHalf(_ numbers: SendChannel<Int>) {
    // error: unary operator '<-' cannot be applied to an operand of type 'SendChannel<Int>'
    _ = <-numbers
}

func sentToWhatIsNeverSent(_ done: Channel<Never>) {
    // error: binary operator '<-' cannot be applied to operands of type 'Channel<Never>' and '()'
    done <- ()
}
