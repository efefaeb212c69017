/// Why a goroutine waits, as dumps print it: Go's words.
@usableFromInline
enum WaitReason: UInt8 {
    case none, channelSend, channelReceive, select, selectNoCases, sleep, waitGroup, run, yield
    case mutex, readLock, writeLock, condition, semaphore, idle, ioWait, ioTurn

    var description: String {
        switch self {
        case .none: "running"
        case .channelSend: "chan send"
        case .channelReceive: "chan receive"
        case .select: "select"
        case .selectNoCases: "select (no cases)"
        case .sleep: "sleep"
        case .waitGroup: "sync.WaitGroup.Wait"
        case .run: "goroutine run"
        case .yield: "runnable"
        case .mutex: "sync.Mutex.Lock"
        case .readLock: "sync.RWMutex.RLock"
        case .writeLock: "sync.RWMutex.Lock"
        case .condition: "sync.Cond.Wait"
        case .semaphore: "semacquire"
        case .idle: "wait until idle"
        case .ioWait: "IO wait"
        case .ioTurn: "IO turn"
        }
    }
}
