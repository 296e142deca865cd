// PID 1 of the test guest: speaks AF_VSOCK with the host's ports 5000 and following, see GuestDriverTests.cs.
#include <errno.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <unistd.h>

static int dial(unsigned port) {
    struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port };
    int s = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (s < 0 || connect(s, (struct sockaddr *)&a, sizeof a) == 0)
        return s;
    int e = errno;
    close(s);
    errno = e;
    return -1;
}

static void write_all(int s, const char *p, size_t n) {
    while (n > 0) {
        ssize_t w = write(s, p, n);
        if (w <= 0)
            return;
        p += w;
        n -= w;
    }
}

int main(void) {
    static char block[1 << 20];
    signal(SIGPIPE, SIG_IGN);
    int report = dial(5000);
    if (report < 0)
        dprintf(1, "report: %s\n", strerror(errno));

    int echo = dial(5001);
    for (ssize_t n; (n = read(echo, block, 64)) > 0;)
        write_all(echo, block, n);
    close(echo);
    dprintf(report, "echo done\n");

    for (unsigned j = 0; j < sizeof block; j++)
        block[j] = (char)(j * 7 + (j >> 8));
    int up = dial(5002);
    for (unsigned i = 0; i < 64; i++) {
        for (unsigned j = 0; j < sizeof block; j += 4096)
            block[j] = (char)i;
        write_all(up, block, sizeof block);
    }
    close(up);
    dprintf(report, "up done\n");

    int down = dial(5003);
    unsigned long sum = 5381, total = 0;
    for (ssize_t n; (n = read(down, block, sizeof block)) > 0; total += n)
        for (ssize_t i = 0; i < n; i++)
            sum = sum * 33 + (unsigned char)block[i];
    dprintf(down, "%lu %lu", total, sum);
    close(down);
    dprintf(report, "down done\n");

    dprintf(report, "closed port: %s\n", dial(4999) < 0 ? strerror(errno) : "connected");
    int broken = dial(5004);
    while (write(broken, block, sizeof block) > 0)
        ;
    dprintf(report, "broken sink: %s\n", strerror(errno));
    close(broken);
    int tail = dial(5005);
    write_all(tail, block, 200000);
    close(tail);
    close(report);
    for (;;)
        pause();
}
