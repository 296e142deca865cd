#define _GNU_SOURCE
#include "probe.h"
#include <ctype.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void describe_status(void)
{
    char *file = slurp("/proc/self/status", NULL), *line;
    json_open("status", '{');
    while (file && (line = strsep(&file, "\n"))) {
        char *value = strchr(line, ':');
        if (!value)
            continue;
        *value++ = 0;
        while (isspace((unsigned char)*value))
            value++;
        json_text(line, value);
    }
    json_close('}');
}

static void describe_limits(void)
{
    static const struct { const char *name; int resource; } limits[] = {
        {"RLIMIT_AS", RLIMIT_AS}, {"RLIMIT_CORE", RLIMIT_CORE}, {"RLIMIT_CPU", RLIMIT_CPU}, {"RLIMIT_DATA", RLIMIT_DATA},
        {"RLIMIT_FSIZE", RLIMIT_FSIZE}, {"RLIMIT_LOCKS", RLIMIT_LOCKS}, {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
        {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE}, {"RLIMIT_NOFILE", RLIMIT_NOFILE},
        {"RLIMIT_NPROC", RLIMIT_NPROC}, {"RLIMIT_RSS", RLIMIT_RSS}, {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
        {"RLIMIT_RTTIME", RLIMIT_RTTIME}, {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING}, {"RLIMIT_STACK", RLIMIT_STACK},
    };
    json_open("limits", '{');
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit;
        char text[64];
        if (getrlimit(limits[i].resource, &limit) != 0)
            continue;
        snprintf(text, sizeof text, "%lld:%lld", (long long)limit.rlim_cur, (long long)limit.rlim_max);
        json_text(limits[i].name, text);
    }
    json_close('}');
}

static void describe_scheduling(void)
{
    struct sched_param parameter = {0};
    cpu_set_t processors;
    json_number("schedulerPolicy", sched_getscheduler(0));
    json_number("schedulerPriority", sched_getparam(0, &parameter) == 0 ? parameter.sched_priority : -1);
    json_number("nice", getpriority(PRIO_PROCESS, 0));
    json_number("ioPriority", syscall(SYS_ioprio_get, 1, 0));
    json_open("processors", '[');
    if (sched_getaffinity(0, sizeof processors, &processors) == 0)
        for (int i = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &processors))
                json_number(NULL, i);
    json_close(']');
}

static void describe_terminal(void)
{
    struct winsize size = {0};
    const char *name = isatty(0) ? ttyname(0) : NULL;
    json_text("terminal", name ? name : isatty(0) ? "?" : "");
    if (isatty(0) && ioctl(0, TIOCGWINSZ, &size) == 0) {
        json_number("rows", size.ws_row);
        json_number("columns", size.ws_col);
    }
}

static void describe_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    json_open("descriptors", '[');
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory))
            json_number(NULL, atoi(entry->d_name));
    if (directory)
        closedir(directory);
    json_close(']');
}

static void describe_clocks(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    json_number("monotonic", time.tv_sec);
    clock_gettime(CLOCK_BOOTTIME, &time);
    json_number("boottime", time.tv_sec);
}

void describe_process(void)
{
    static const char *const files[] = {"oom_score_adj", "uid_map", "gid_map", "setgroups", "timens_offsets", "cgroup", "loginuid", "attr/current"};
    char directory[4096], domain[256] = "", *file;
    struct utsname name;
    json_number("pid", getpid());
    json_number("ppid", getppid());
    json_number("session", getsid(0));
    json_text("cwd", getcwd(directory, sizeof directory) ? directory : "");
    json_open("env", '[');
    for (char **variable = environ; *variable; variable++)
        json_text(NULL, *variable);
    json_close(']');
    uname(&name);
    getdomainname(domain, sizeof domain);
    json_text("hostname", name.nodename);
    json_text("domainname", domain);
    json_text("machine", name.machine);
    json_number("personality", personality(0xffffffff));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(directory, sizeof directory, "/proc/self/%s", files[i]);
        file = slurp(directory, NULL);
        json_text(files[i], file ? file : "");
    }
    describe_status();
    describe_limits();
    describe_scheduling();
    describe_terminal();
    describe_descriptors();
    describe_clocks();
}

void describe_namespaces(void)
{
    static const char *const kinds[] = {"pid", "net", "mnt", "ipc", "uts", "user", "cgroup", "time"};
    char path[64], target[128];
    json_open("namespaces", '{');
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
        ssize_t length = readlink(path, target, sizeof target);
        json_bytes(kinds[i], target, length < 0 ? 0 : length);
    }
    json_close('}');
}

/* The lines of mountinfo as they are: proc(5) says what is in them. */
void describe_mounts(void)
{
    char *file = slurp("/proc/self/mountinfo", NULL), *line;
    json_open("mounts", '[');
    while (file && (line = strsep(&file, "\n")))
        if (*line)
            json_text(NULL, line);
    json_close(']');
}
