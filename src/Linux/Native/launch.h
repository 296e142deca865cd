#ifndef KATALIKE_LAUNCH_H
#define KATALIKE_LAUNCH_H

#include <linux/sched.h>
#include <stdint.h>

/* Flags of a step. */
#define KATALIKE_OPTIONAL 1 /* an error is no failure: go on */
#define KATALIKE_ABSENT 2   /* ENOENT, ENOTDIR and EACCES are no failure: go on (one candidate of a search path) */
#define KATALIKE_REPORT 4   /* tell the parent the result, once the call has succeeded */
#define KATALIKE_GATE 8     /* a result of 0 (end of file: the parent let go) ends the child */
#define KATALIKE_CLONE 16   /* a second clone3: its child goes on, this process tells the child's pid and ends */

/* One system call of the child. */
struct katalike_step {
    int64_t number;        /* negative: no call; the result is 0 */
    uint64_t arguments[6];
    uint32_t flags;
    uint32_t references; /* bit i: arguments[i] is the index of an earlier step; its result is meant */
    int64_t result;
};

/* What the child writes to the status pipe: a failure (error != 0), or a result that was asked for. */
struct katalike_message {
    uint32_t step;
    int32_t error;
    int64_t result;
};

struct katalike_plan {
    struct clone_args clone; /* flags and cgroup from the caller */
    struct katalike_step *steps;
    uint64_t count;
    int32_t status;            /* write end of the status pipe, close-on-exec */
    int32_t pid_namespace;     /* joined for the clone, or -1 */
    int32_t own_pid_namespace; /* where the calling thread returns to */
    int32_t pidfd;             /* out */
};

/* Clones a child that runs the steps; the last one is expected to be execve. Returns its pid, or -errno. */
int64_t katalike_launch(struct katalike_plan *plan);

#endif
