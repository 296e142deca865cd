/*
 * Runs a flat plan of system calls between clone3 and execve.
 *
 * A process of the .NET runtime has many threads, so its clone has one thread and locks that nobody will release:
 * no managed code, no allocation and no lock may come between clone and execve. The managed side computes every
 * argument beforehand; this side only walks the array (docs/decisions/0004).
 */
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIGNALS 64

/* As the kernel has it (struct kernel_sigaction): all zero is SIG_DFL. */
static const uint64_t default_action[4];

static void set_mask(const uint64_t *mask, uint64_t *old)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, old, sizeof *mask);
}

static _Noreturn void leave(int status)
{
    for (;;)
        syscall(SYS_exit_group, status);
}

static void tell(const struct katalike_plan *plan, uint64_t step, int error, int64_t result)
{
    struct katalike_message message = {(uint32_t)step, error, result};
    while (syscall(SYS_write, plan->status, &message, sizeof message) < 0 && errno == EINTR)
        ;
}

static int64_t call(const struct katalike_plan *plan, const struct katalike_step *step)
{
    if (step->number < 0)
        return 0;

    uint64_t a[6];
    for (int i = 0; i < 6; i++)
        a[i] = step->references & (1u << i) ? (uint64_t)plan->steps[step->arguments[i]].result : step->arguments[i];

    int64_t result;
    do
        result = syscall(step->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

static int is_failure(const struct katalike_step *step)
{
    if (step->result >= 0 || step->flags & KATALIKE_OPTIONAL)
        return 0;
    int absent = step->result == -ENOENT || step->result == -ENOTDIR || step->result == -EACCES;
    return !(absent && step->flags & KATALIKE_ABSENT);
}

static _Noreturn void run(struct katalike_plan *plan)
{
    /* Handlers point into the runtime, and what the parent ignores would stay ignored across execve. */
    for (int signal = 1; signal <= SIGNALS; signal++)
        syscall(SYS_rt_sigaction, signal, default_action, NULL, sizeof(uint64_t));
    const uint64_t none = 0;
    set_mask(&none, NULL);

    for (uint64_t i = 0; i < plan->count; i++) {
        struct katalike_step *step = &plan->steps[i];
        step->result = call(plan, step);
        if (is_failure(step)) {
            tell(plan, i, (int)-step->result, 0);
            leave(127);
        }
        if (step->flags & KATALIKE_GATE && step->result == 0)
            leave(127);
        if (step->flags & KATALIKE_CLONE && step->result > 0) {
            tell(plan, i, 0, step->result);
            leave(0);
        }
        if (step->flags & KATALIKE_REPORT && step->result >= 0)
            tell(plan, i, 0, step->result);
    }
    leave(127);
}

int64_t katalike_launch(struct katalike_plan *plan)
{
    plan->clone.flags |= CLONE_PIDFD;
    plan->clone.pidfd = (uint64_t)(uintptr_t)&plan->pidfd;
    plan->clone.exit_signal = SIGCHLD;

    /* Only children of this thread are born in the joined namespace: no double fork is needed. The thread cannot
       start threads while it is away, so it comes back before managed code runs again. */
    if (plan->pid_namespace >= 0 && syscall(SYS_setns, plan->pid_namespace, CLONE_NEWPID) < 0)
        return -errno;

    const uint64_t all = ~UINT64_C(0);
    uint64_t before;
    set_mask(&all, &before);
    int64_t pid = syscall(SYS_clone3, &plan->clone, sizeof plan->clone);
    if (pid == 0)
        run(plan);
    int64_t result = pid < 0 ? -errno : pid;
    set_mask(&before, NULL);

    if (plan->pid_namespace >= 0 && syscall(SYS_setns, plan->own_pid_namespace, CLONE_NEWPID) < 0 && result > 0)
        result = -errno; /* cannot be: the status pipe's end tells the child to leave at its first gate */
    return result;
}
