/*
 * Looks at a container from inside and prints what it sees as JSON.
 *   probe QUESTION…           a description of the process, and the answer to each question ("verb:operand,operand")
 *   probe hold                lives until SIGTERM, as the first process of a container that others enter
 *   probe hook FILE…          appends name, standard input, environment and namespaces to the first file that can be opened
 *   probe fail | probe wait   a hook that fails, a hook that does not end
 *   probe terminal SOCKET     on the host: takes a terminal from the socket and copies what it prints
 */
#define _GNU_SOURCE
#include "probe.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int hold(void)
{
    sigset_t signals;
    int number;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    while (sigwait(&signals, &number) == 0 && number != SIGTERM)
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    return 0;
}

static int hook(int count, char **arguments)
{
    static char input[65536];
    size_t length = fread(input, 1, sizeof input, stdin);
    for (int i = 2; i < count; i++) {
        if (!freopen(arguments[i], "a", stdout))
            continue;
        json_open(NULL, '{');
        json_text("name", arguments[0]);
        json_text("file", arguments[i]);
        json_bytes("input", input, length);
        json_open("env", '[');
        for (char **variable = environ; *variable; variable++)
            json_text(NULL, *variable);
        json_close(']');
        describe_namespaces();
        json_close('}');
        putchar('\n');
        return fflush(stdout) == 0 ? 0 : 1;
    }
    return 1;
}

static int terminal(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[4096], control[CMSG_SPACE(sizeof(int))], buffer[65536];
    struct iovec vector = {name, sizeof name};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), master;
    ssize_t count;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0)
        return 2;
    int connection = accept(listener, NULL, NULL);
    if (connection < 0 || recvmsg(connection, &message, 0) < 0 || !CMSG_FIRSTHDR(&message))
        return 3;
    memcpy(&master, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof master);
    while ((count = read(master, buffer, sizeof buffer)) > 0)
        if (write(1, buffer, count) != count)
            return 4;
    return 0;
}

int main(int count, char **arguments)
{
    const char *mode = count > 1 ? arguments[1] : "";
    if (strcmp(mode, "hold") == 0)
        return hold();
    if (strcmp(mode, "hook") == 0)
        return hook(count, arguments);
    if (strcmp(mode, "fail") == 0)
        return 1;
    while (strcmp(mode, "wait") == 0)
        pause();
    if (strcmp(mode, "terminal") == 0)
        return terminal(arguments[2]);
    json_open(NULL, '{');
    describe_process();
    describe_namespaces();
    describe_mounts();
    json_open("answers", '{');
    for (int i = 1; i < count; i++) {
        fflush(stdout);
        answer(arguments[i]);
    }
    json_close('}');
    json_close('}');
    putchar('\n');
    return fflush(stdout) == 0 ? 0 : 1;
}
