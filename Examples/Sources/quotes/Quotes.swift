import ArgumentParser
import Hummingbird
import QuoteService

@main
struct Quotes: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quotes",
        abstract: "Serves prices that several exchanges are asked for at once, until Ctrl-C.",
        discussion: """
            Try it with
              curl http://127.0.0.1:8080/quotes/AAPL/first
              curl http://127.0.0.1:8080/quotes/AAPL
            and look at http://127.0.0.1:8080/goroutines/ meanwhile.
            """)

    @Option(help: "The port to listen on, on the loopback interface; 0 for any that is free.")
    var port = 8080

    @Option(help: "How many milliseconds the exchanges have to answer.")
    var limit = 200

    func run() async throws {
        let exchanges = [
            Exchange.simulated("Frankfurt", answersIn: 20...120),
            Exchange.simulated("London", answersIn: 30...90),
            Exchange.simulated("New York", answersIn: 60...300),
        ]
        let application = Application(
            router: quoteRoutes(exchanges, within: .milliseconds(limit)),
            configuration: .init(address: .hostname("127.0.0.1", port: port)))
        try await application.runService()
    }
}
