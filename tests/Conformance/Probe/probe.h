/* What the files of the probe share: JSON on standard output, and answers to questions. */
#ifndef PROBE_H
#define PROBE_H

#include <stddef.h>

/* json.c: the comma before a value is written where one is due. A key of NULL stands for an array's item. */
void json_open(const char *key, char bracket);
void json_close(char bracket);
void json_text(const char *key, const char *value);
void json_bytes(const char *key, const char *value, size_t length);
void json_number(const char *key, long long value);

/* Whole file, terminated; NULL with errno where it cannot be read. One file at a time: the buffer is used again. */
char *slurp(const char *path, size_t *length);

/* "ok", or the name of errno. */
const char *outcome(long result);

/* state.c: what every process can say of itself. */
void describe_process(void);
void describe_namespaces(void);
void describe_mounts(void);

/* questions.c: the answer to "verb:operands", as one text. */
void answer(const char *question);

#endif
