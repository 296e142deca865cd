#define _GNU_SOURCE
#include "probe.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int comma_due;

static void put_string(const char *text, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length; i++) {
        unsigned char c = text[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void begin_value(const char *key)
{
    if (comma_due)
        putchar(',');
    if (key) {
        put_string(key, strlen(key));
        putchar(':');
    }
    comma_due = 1;
}

void json_open(const char *key, char bracket)
{
    begin_value(key);
    putchar(bracket);
    comma_due = 0;
}

void json_close(char bracket)
{
    putchar(bracket);
    comma_due = 1;
}

void json_bytes(const char *key, const char *value, size_t length)
{
    begin_value(key);
    put_string(value, length);
}

void json_text(const char *key, const char *value)
{
    json_bytes(key, value, strlen(value));
}

void json_number(const char *key, long long value)
{
    begin_value(key);
    printf("%lld", value);
}

char *slurp(const char *path, size_t *length)
{
    static char buffer[1 << 20];
    size_t filled = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    for (;;) {
        ssize_t count = read(fd, buffer + filled, sizeof buffer - 1 - filled);
        if (count < 0) {
            int error = errno;
            close(fd);
            errno = error;
            return NULL;
        }
        if (count == 0)
            break;
        filled += count;
        if (filled == sizeof buffer - 1 || (filled >= 65536 && strcmp(path, "/dev/zero") == 0))
            break;
    }
    close(fd);
    buffer[filled] = 0;
    if (length)
        *length = filled;
    return buffer;
}

const char *outcome(long result)
{
    return result >= 0 ? "ok" : strerrorname_np(errno);
}
