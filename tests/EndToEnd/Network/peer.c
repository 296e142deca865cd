/*
 * The other end of a connection, in a container and beside it. Content is a sequence that both ends can compute, so that
 * a transfer of any length is checked byte by byte without a disk.
 *
 *   peer serve                     TCP port 8000 and UDP port 5000, of both families, until killed
 *   peer get ADDRESS PORT BYTES    the server sends so many, we check them
 *   peer put ADDRESS PORT BYTES    we send so many, the server checks them
 *   peer echo ADDRESS PORT         ten UDP datagrams of growing size, each sent again until it comes back
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct request { char kind; uint64_t bytes; } __attribute__((packed));

static void fail(const char *what) { fprintf(stderr, "peer: %s: %s\n", what, errno ? strerror(errno) : "not what was sent"); exit(1); }

static void fill(uint64_t *words, size_t count, uint64_t *state)
{
    for (size_t i = 0; i < count; i++) {
        *state ^= *state << 13; *state ^= *state >> 7; *state ^= *state << 17;
        words[i] = *state;
    }
}

static uint64_t chunk[8192], expected[8192];

static void write_all(int fd, const void *data, size_t length)
{
    for (const char *p = data; length > 0;) {
        ssize_t n = write(fd, p, length);
        if (n <= 0) fail("write");
        p += n; length -= n;
    }
}

static void read_all(int fd, void *data, size_t length)
{
    for (char *p = data; length > 0;) {
        ssize_t n = read(fd, p, length);
        if (n == 0) { errno = EPIPE; fail("read"); }
        if (n < 0) fail("read");
        p += n; length -= n;
    }
}

static void send_content(int fd, uint64_t bytes)
{
    for (uint64_t state = 88172645463325252ull; bytes > 0;) {
        size_t now = bytes < sizeof chunk ? bytes : sizeof chunk;
        fill(chunk, 8192, &state);
        write_all(fd, chunk, now);
        bytes -= now;
    }
}

static void check_content(int fd, uint64_t bytes)
{
    for (uint64_t state = 88172645463325252ull; bytes > 0;) {
        size_t now = bytes < sizeof chunk ? bytes : sizeof chunk;
        fill(expected, 8192, &state);
        read_all(fd, chunk, now);
        errno = 0;
        if (memcmp(chunk, expected, now)) fail("content");
        bytes -= now;
    }
}

static int bound(int type, int port)
{
    int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), off = 0, on = 1;
    struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    if (fd < 0) fail("socket");
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&any, sizeof any)) fail("bind");
    return fd;
}

static void answer(int fd)
{
    struct request request;
    read_all(fd, &request, sizeof request);
    if (request.kind == 'g') send_content(fd, request.bytes);
    else check_content(fd, request.bytes);
    write_all(fd, "k", 1);
}

static void serve(void)
{
    struct pollfd sockets[2] = { { bound(SOCK_STREAM, 8000), POLLIN, 0 }, { bound(SOCK_DGRAM, 5000), POLLIN, 0 } };
    if (listen(sockets[0].fd, 16)) fail("listen");
    write_all(1, "serving\n", 8);
    while (poll(sockets, 2, -1) > 0 || errno == EINTR) {
        if (sockets[0].revents) {
            int fd = accept(sockets[0].fd, NULL, NULL);
            if (fd >= 0 && fork() == 0) { answer(fd); exit(0); }
            if (fd >= 0) close(fd);
        }
        if (sockets[1].revents) {
            struct sockaddr_in6 from;
            socklen_t length = sizeof from;
            ssize_t n = recvfrom(sockets[1].fd, chunk, sizeof chunk, 0, (struct sockaddr *)&from, &length);
            if (n >= 0) sendto(sockets[1].fd, chunk, n, 0, (struct sockaddr *)&from, length);
        }
    }
    fail("poll");
}

static int dial(int type, const char *address, const char *port)
{
    struct addrinfo hint = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = type }, *found;
    if (getaddrinfo(address, port, &hint, &found)) fail(address);
    int fd = socket(found->ai_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen)) fail("connect");
    return fd;
}

static void echo(int fd)
{
    for (size_t size = 1; size < 10000; size = size * 5 / 2 + 1) {
        uint64_t state = size + 1;
        fill(expected, 8192, &state);
        for (int attempt = 0;; attempt++) {
            struct pollfd waiting = { fd, POLLIN, 0 };
            if (attempt == 20) { errno = ETIMEDOUT; fail("datagram"); }
            if (send(fd, expected, size, 0) < 0 && errno != ECONNREFUSED) fail("send");
            if (poll(&waiting, 1, 1000) == 1 && recv(fd, chunk, sizeof chunk, 0) == (ssize_t)size) break;
        }
        errno = 0;
        if (memcmp(chunk, expected, size)) fail("datagram");
    }
}

int main(int count, char **words)
{
    if (count == 2 && !strcmp(words[1], "serve")) serve();
    if (count == 4 && !strcmp(words[1], "echo")) echo(dial(SOCK_DGRAM, words[2], words[3]));
    else if (count == 5) {
        struct request request = { words[1][0], strtoull(words[4], NULL, 10) };
        int fd = dial(SOCK_STREAM, words[2], words[3]);
        char end;
        write_all(fd, &request, sizeof request);
        if (request.kind == 'g') check_content(fd, request.bytes);
        else send_content(fd, request.bytes);
        read_all(fd, &end, 1);
    } else return 2;
    puts("ok");
    return 0;
}
