// The load of compare-net: talks to an echo server on this machine for some time, and prints what came of it as a line of JSON. Ends by
// itself, whatever the server does.
//
//   net-load echo PORT PID SECONDS CONNECTIONS BYTES           each connection sends again once it has its answer
//   net-load connect PORT PID SECONDS CONNECTIONS BYTES        the same with a new connection each time
//   net-load rate PORT PID SECONDS CONNECTIONS BYTES RATE      so many messages per second, spread over the connections
//
// PID is the server's, whose CPU time over the same period is printed too. All begins with a warm-up that does not count.
//
// In `rate`, message number i is due at i / RATE seconds and goes to connection i % CONNECTIONS, whether or not those before it were
// answered, and its latency counts from when it was due: a server that stalls is charged for all the messages of that time.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256, MOST_BYTES = 65536, PATIENCE = 10 };
static const int64_t second = 1000000000, warm_up = 300000000;

typedef struct {
    int descriptor;
    // Bytes of answers that have come.
    uint64_t received;
} connection;

static struct sockaddr_in server;
static clockid_t server_clock;
static connection *connections;
static int connection_count, epoll;
static size_t message_bytes;
static char message[MOST_BYTES];

static void fail(const char *what) {
    fprintf(stderr, "net-load: %s: %s\n", what, errno ? strerror(errno) : "the server has ended");
    exit(1);
}

static int64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) fail("clock_gettime");
    return now.tv_sec * second + now.tv_nsec;
}

static int64_t now(void) { return nanoseconds(CLOCK_MONOTONIC); }

// Blocks for the handshake, which on this machine is the kernel's alone.
static void open_connection(int index, bool resets) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (descriptor < 0) fail("socket");
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    // Closing leaves no TIME_WAIT then, which would use up the ports.
    struct linger linger = {.l_onoff = resets};
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    if (connect(descriptor, (struct sockaddr *)&server, sizeof server) != 0) fail("connect");
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
    connections[index] = (connection){.descriptor = descriptor};
}

static void send_message(int index) {
    ssize_t sent = send(connections[index].descriptor, message, message_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent != (ssize_t)message_bytes) fail("send");
}

// Takes what there is; returns how many answers are complete by it.
static uint64_t receive(int index) {
    static char bytes[MOST_BYTES];
    connection *one = &connections[index];
    ssize_t count = recv(one->descriptor, bytes, sizeof bytes, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return 0;
    if (count <= 0) {
        if (count == 0) errno = 0;
        fail("recv");
    }
    uint64_t before = one->received / message_bytes;
    one->received += (uint64_t)count;
    return one->received / message_bytes - before;
}

static int wait_for_events(struct epoll_event *events, int64_t limit) {
    struct timespec timeout = {limit / second, limit % second};
    int count = epoll_pwait2(epoll, events, BATCH, &timeout, NULL);
    if (count < 0 && errno != EINTR) fail("epoll_pwait2");
    return count < 0 ? 0 : count;
}

// Closed loops, for so long; returns how many answers came.
static uint64_t run_loops(int64_t duration, bool reconnects) {
    uint64_t answers = 0;
    int64_t end = now() + duration, left;
    while ((left = end - now()) > 0) {
        struct epoll_event events[BATCH];
        int count = wait_for_events(events, left);
        for (int i = 0; i < count; i++) {
            int index = (int)events[i].data.u32;
            if (receive(index) == 0) continue;
            answers++;
            if (reconnects) {
                close(connections[index].descriptor);
                open_connection(index, true);
            }
            send_message(index);
        }
    }
    return answers;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Sends `count` messages at `rate`, and puts the latencies of the answers into `latencies`, sorted.
static void run_rate(uint64_t count, uint64_t rate, int64_t *latencies) {
    uint64_t sent = 0, answered = 0;
    int64_t start = now(), time;
    for (int index = 0; index < connection_count; index++) connections[index].received = 0;
    while (answered < count) {
        time = now();
        while (sent < count && start + (int64_t)(sent * second / rate) <= time)
            send_message((int)(sent++ % connection_count));
        int64_t limit = sent < count ? start + (int64_t)(sent * second / rate) - now() : second;
        struct epoll_event events[BATCH];
        int found = wait_for_events(events, limit > 0 ? limit : 0);
        for (int i = 0; i < found; i++) {
            int index = (int)events[i].data.u32;
            uint64_t turn = connections[index].received / message_bytes, complete = receive(index);
            time = now();
            for (; complete > 0; complete--, turn++) {
                uint64_t number = turn * connection_count + index;
                latencies[answered++] = time - start - (int64_t)(number * second / rate);
            }
        }
    }
    qsort(latencies, count, sizeof *latencies, compare);
}

static void print_result(uint64_t answers, int64_t elapsed, int64_t server_time) {
    printf(
        "{\"answers\": %llu, \"seconds\": %.6f, \"serverSeconds\": %.6f", (unsigned long long)answers,
        (double)elapsed / second, (double)server_time / second);
}

static void measure_loops(int64_t duration, bool reconnects) {
    for (int index = 0; index < connection_count; index++) send_message(index);
    run_loops(warm_up, reconnects);
    int64_t start = now(), server_start = nanoseconds(server_clock);
    uint64_t answers = run_loops(duration, reconnects);
    print_result(answers, now() - start, nanoseconds(server_clock) - server_start);
    printf("}\n");
}

static void measure_rate(int64_t duration, uint64_t rate) {
    uint64_t count = rate * (uint64_t)duration / second, warm_up_count = rate * warm_up / second;
    if (count == 0) fail("nothing to send");
    int64_t *latencies = calloc(count + warm_up_count, sizeof *latencies);
    if (!latencies) fail("calloc");
    run_rate(warm_up_count, rate, latencies);
    int64_t start = now(), server_start = nanoseconds(server_clock);
    run_rate(count, rate, latencies);
    print_result(count, now() - start, nanoseconds(server_clock) - server_start);
    printf(
        ", \"p50\": %lld, \"p99\": %lld, \"p99.9\": %lld}\n", (long long)latencies[count / 2],
        (long long)latencies[count * 99 / 100], (long long)latencies[count * 999 / 1000]);
}

int main(int argument_count, char **arguments) {
    if (argument_count < 7) {
        fprintf(stderr, "usage: net-load echo|connect|rate PORT PID SECONDS CONNECTIONS BYTES [RATE]\n");
        return 2;
    }
    const char *mode = arguments[1];
    bool reconnects = strcmp(mode, "connect") == 0;
    double seconds = atof(arguments[4]);
    connection_count = atoi(arguments[5]);
    message_bytes = (size_t)atol(arguments[6]);
    if (seconds <= 0 || connection_count < 1 || message_bytes < 1 || message_bytes > MOST_BYTES) return 2;
    alarm((unsigned)seconds + PATIENCE);
    // Waits for the next message end when it is due, not 50 microseconds later.
    prctl(PR_SET_TIMERSLACK, 1L);

    server = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if ((errno = clock_getcpuclockid(atoi(arguments[3]), &server_clock)) != 0) fail("clock_getcpuclockid");
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    connections = calloc((size_t)connection_count, sizeof *connections);
    if (!connections) fail("calloc");
    for (int index = 0; index < connection_count; index++) open_connection(index, reconnects);
    int64_t duration = (int64_t)(seconds * second);
    if (strcmp(mode, "rate") == 0) measure_rate(duration, argument_count > 7 ? (uint64_t)atoll(arguments[7]) : 1000);
    else measure_loops(duration, reconnects);
    return 0;
}
