// What is left of echo-bench without goroutines: one thread and epoll. Sends back what comes over TCP. Prints its port, and ends when
// standard input does.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 128, ROOM = 4096 };

static void check(int result, const char *what) {
    if (result >= 0) return;
    perror(what);
    exit(1);
}

static void watch(int epoll, int descriptor) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event), "epoll_ctl");
}

static void accept_one(int epoll, int listener) {
    int connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (connection < 0) return;
    int yes = 1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    watch(epoll, connection);
}

// Small messages fit into what the kernel has room for; others end the connection.
static void echo(int connection) {
    char bytes[ROOM];
    ssize_t count = recv(connection, bytes, sizeof bytes, 0);
    if (count <= 0 || send(connection, bytes, (size_t)count, MSG_NOSIGNAL) != count) close(connection);
}

int main(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    check(listener, "socket");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    check(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
    check(listen(listener, 4096), "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    int epoll = epoll_create1(EPOLL_CLOEXEC);
    check(epoll, "epoll_create1");
    watch(epoll, listener);
    watch(epoll, STDIN_FILENO);
    while (1) {
        struct epoll_event events[BATCH];
        int count = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            int descriptor = events[i].data.fd;
            char rest[64];
            if (descriptor == listener) accept_one(epoll, listener);
            else if (descriptor != STDIN_FILENO) echo(descriptor);
            else if (read(STDIN_FILENO, rest, sizeof rest) <= 0) return 0;
        }
    }
}
