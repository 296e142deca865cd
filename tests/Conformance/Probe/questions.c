#define _GNU_SOURCE
#include "probe.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPERANDS 7
typedef void answerer(int count, char **operands, char *reply, size_t size);

static void say(char *reply, size_t size, long result)
{
    snprintf(reply, size, "%s", outcome(result));
}

static void say_opened(char *reply, size_t size, int fd)
{
    say(reply, size, fd);
    if (fd >= 0)
        close(fd);
}

static void read_file(int count, char **operands, char *reply, size_t size)
{
    size_t length;
    (void)count;
    char *file = slurp(operands[0], &length);
    if (!file)
        say(reply, size, -1);
    else {
        while (length > 0 && file[length - 1] == '\n')
            file[--length] = 0;
        snprintf(reply, size, "%s", file);
    }
}

/* Without an operand for the text the file is only made, or opened for writing. */
static void write_file(int count, char **operands, char *reply, size_t size)
{
    int fd = open(operands[0], O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK, 0644);
    long result = fd;
    if (fd >= 0 && count > 1)
        result = write(fd, operands[1], strlen(operands[1]));
    say(reply, size, result);
    if (fd >= 0)
        close(fd);
}

static void open_file(int count, char **operands, char *reply, size_t size)
{
    int flags = count > 1 && strcmp(operands[1], "r") == 0 ? O_RDONLY : O_RDWR;
    say_opened(reply, size, open(operands[0], flags | O_NONBLOCK | O_NOCTTY));
}

/* "type permissions uid gid major:minor". */
static void stat_file(int count, char **operands, char *reply, size_t size)
{
    struct stat status;
    (void)count;
    if (lstat(operands[0], &status) != 0) {
        say(reply, size, -1);
        return;
    }
    char kind = S_ISREG(status.st_mode) ? 'f' : S_ISDIR(status.st_mode) ? 'd' : S_ISLNK(status.st_mode) ? 'l' :
                S_ISCHR(status.st_mode) ? 'c' : S_ISBLK(status.st_mode) ? 'b' : S_ISFIFO(status.st_mode) ? 'p' : 's';
    snprintf(reply, size, "%c %04o %u %u %u:%u", kind, status.st_mode & 07777, status.st_uid, status.st_gid, major(status.st_rdev), minor(status.st_rdev));
}

/* "hexadecimal-type bytes". */
static void stat_file_system(int count, char **operands, char *reply, size_t size)
{
    struct statfs status;
    (void)count;
    if (statfs(operands[0], &status) != 0)
        say(reply, size, -1);
    else
        snprintf(reply, size, "%lx %llu", (long)status.f_type, (unsigned long long)status.f_blocks * status.f_bsize);
}

static void read_link(int count, char **operands, char *reply, size_t size)
{
    ssize_t length = readlink(operands[0], reply, size - 1);
    (void)count;
    if (length < 0)
        say(reply, size, -1);
    else
        reply[length] = 0;
}

static void list_directory(int count, char **operands, char *reply, size_t size)
{
    struct dirent **entries;
    size_t used = 0;
    (void)count;
    int found = scandir(operands[0], &entries, NULL, alphasort);
    if (found < 0) {
        say(reply, size, -1);
        return;
    }
    *reply = 0;
    for (int i = 0; i < found && used < size; i++)
        if (entries[i]->d_name[0] != '.')
            used += snprintf(reply + used, size - used, "%s%s", used ? " " : "", entries[i]->d_name);
}

static void make_directory(int count, char **operands, char *reply, size_t size)
{
    (void)count;
    say(reply, size, mkdir(operands[0], 0755));
}

static void make_node(int count, char **operands, char *reply, size_t size)
{
    int numbers = count > 3 ? (int)makedev(atoi(operands[2]), atoi(operands[3])) : 0;
    say(reply, size, mknod(operands[0], (operands[1][0] == 'c' ? S_IFCHR : S_IFBLK) | 0600, numbers));
}

static void mount_file_system(int count, char **operands, char *reply, size_t size)
{
    (void)count;
    say(reply, size, mount("none", operands[1], operands[0], 0, NULL));
}

static void remount_writable(int count, char **operands, char *reply, size_t size)
{
    (void)count;
    say(reply, size, mount(NULL, operands[0], NULL, MS_REMOUNT | MS_BIND, NULL));
}

static void unmount(int count, char **operands, char *reply, size_t size)
{
    (void)count;
    say(reply, size, umount2(operands[0], MNT_DETACH));
}

static void open_queue(int count, char **operands, char *reply, size_t size)
{
    (void)count;
    say_opened(reply, size, syscall(SYS_mq_open, operands[0], O_RDWR | O_CREAT, 0600, NULL));
}

/* Waits for a child; says how it ended. */
static void say_end(char *reply, size_t size, pid_t child)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) < 0)
        say(reply, size, -1);
    else if (WIFSIGNALED(status))
        snprintf(reply, size, "SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(reply, size, "exit %d", WEXITSTATUS(status));
}

static void execute(int count, char **operands, char *reply, size_t size)
{
    int error[2];
    char *arguments[OPERANDS + 1] = {0};
    memcpy(arguments, operands, count * sizeof *operands);
    if (pipe2(error, O_CLOEXEC) != 0) {
        say(reply, size, -1);
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        if (null >= 0)
            dup2(null, 1);
        execv(operands[0], arguments);
        if (write(error[1], &errno, sizeof errno) < 0)
            _exit(126);
        _exit(127);
    }
    close(error[1]);
    say_end(reply, size, child);
    int number;
    if (read(error[0], &number, sizeof number) == sizeof number)
        snprintf(reply, size, "%s", strerrorname_np(number));
    close(error[0]);
}

static const struct { const char *name; long number; } calls[] = {
    {"bpf", SYS_bpf}, {"chroot", SYS_chroot}, {"clock_settime", SYS_clock_settime}, {"close", SYS_close}, {"dup", SYS_dup},
    {"epoll_create", SYS_epoll_create}, {"fchdir", SYS_fchdir}, {"fchmod", SYS_fchmod}, {"fdatasync", SYS_fdatasync},
    {"flock", SYS_flock}, {"fsync", SYS_fsync}, {"ftruncate", SYS_ftruncate}, {"getpid", SYS_getpid}, {"getpriority", SYS_getpriority},
    {"getsid", SYS_getsid}, {"getpgid", SYS_getpgid}, {"kexec_load", SYS_kexec_load}, {"keyctl", SYS_keyctl}, {"kill", SYS_kill},
    {"mkdir", SYS_mkdir}, {"chown", SYS_lchown}, {"personality", SYS_personality}, {"sethostname", SYS_sethostname},
    {"setns", SYS_setns}, {"setpriority", SYS_setpriority}, {"setuid", SYS_setuid}, {"setgid", SYS_setgid}, {"socket", SYS_socket},
    {"swapoff", SYS_swapoff}, {"syncfs", SYS_syncfs}, {"umask", SYS_umask}, {"unshare", SYS_unshare}, {"iopl", SYS_iopl},
    {"timerfd_create", SYS_timerfd_create}, {"inotify_init1", SYS_inotify_init1}, {"eventfd2", SYS_eventfd2}, {"memfd_create", SYS_memfd_create},
};

/* A system call in a child, which it may cost. Operands: the name, then numbers or texts. */
static void call(int count, char **operands, char *reply, size_t size)
{
    long arguments[6] = {0}, number = -1;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, operands[0]) == 0)
            number = calls[i].number;
    if (number < 0) {
        snprintf(reply, size, "the probe does not know %s", operands[0]);
        return;
    }
    for (int i = 1; i < count; i++) {
        char *end;
        arguments[i - 1] = strtoll(operands[i], &end, 0);
        if (*end || end == operands[i])
            arguments[i - 1] = (long)operands[i];
    }
    int *error = mmap(NULL, sizeof *error, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) {
        long result = syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
        *error = result < 0 ? errno : 0;
        _exit(0);
    }
    say_end(reply, size, child);
    if (strcmp(reply, "exit 0") == 0)
        snprintf(reply, size, "%s", *error ? strerrorname_np(*error) ? strerrorname_np(*error) : "?" : "ok");
    munmap(error, sizeof *error);
}

/* getpid of the 32-bit system call table. */
static void call_32(int count, char **operands, char *reply, size_t size)
{
    (void)count;
    (void)operands;
    pid_t child = fork();
    if (child == 0) {
        int result = 20;
        __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
        _exit(result > 0 ? 0 : -result);
    }
    say_end(reply, size, child);
}

/* How many children can live at a time, up to a number. */
static void count_children(int count, char **operands, char *reply, size_t size)
{
    int wanted = atoi(operands[0]), made = 0;
    pid_t children[1024];
    (void)count;
    while (made < wanted && made < 1024) {
        pid_t child = fork();
        if (child == 0) {
            pause();
            _exit(0);
        }
        if (child < 0)
            break;
        children[made++] = child;
    }
    snprintf(reply, size, "%d%s%s", made, made < wanted ? " " : "", made < wanted ? strerrorname_np(errno) : "");
    for (int i = 0; i < made; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
}

/* Mebibytes that a child touches. */
static void touch_memory(int count, char **operands, char *reply, size_t size)
{
    size_t length = (size_t)atoi(operands[0]) << 20;
    (void)count;
    pid_t child = fork();
    if (child == 0) {
        char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            _exit(1);
        for (size_t i = 0; i < length; i += 4096)
            memory[i] = 1;
        _exit(0);
    }
    say_end(reply, size, child);
}

void answer(const char *question)
{
    static const struct { const char *verb; answerer *function; } verbs[] = {
        {"read", read_file}, {"write", write_file}, {"open", open_file}, {"stat", stat_file}, {"statfs", stat_file_system},
        {"link", read_link}, {"list", list_directory}, {"mkdir", make_directory}, {"mknod", make_node},
        {"mount", mount_file_system}, {"remount", remount_writable}, {"umount", unmount}, {"mq", open_queue}, {"exec", execute},
        {"call", call}, {"call32", call_32}, {"children", count_children}, {"touch", touch_memory},
    };
    static char reply[65536];
    char text[4096], *rest = text, *operands[OPERANDS] = {0};
    int count = 0;
    snprintf(text, sizeof text, "%s", question);
    char *verb = strsep(&rest, ":");
    while (rest && count < OPERANDS)
        operands[count++] = strsep(&rest, ",");
    snprintf(reply, sizeof reply, "the probe does not know %s", verb);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].verb, verb) == 0)
            verbs[i].function(count, operands, reply, sizeof reply);
    json_text(question, reply);
}
