/* Runs one program to its end, in a process group of its own. */
#ifndef US_NODES_UTIL_PROCESS_H
#define US_NODES_UTIL_PROCESS_H

#include <stdbool.h>

#include "runtime/base/error.h"

struct us_process {
    const char *program;     /* path of the file to run */
    const char *const *argv; /* ends with NULL; argv[0] names the program in messages */
    const char *const *env;  /* ends with NULL: the whole environment */
    const char *folder;      /* where it runs */
    double timeout_s;
    struct us_error *(*ask)(void *context); /* asked ten times a second; an error stops it */
    void *context;
};

/* Standard input is empty; what it prints is kept for messages. When it ends, fails, is stopped by
 * `ask` or runs past its time, everything left of its process group is ended: SIGTERM, two seconds
 * later SIGKILL. Fails unless it exits with status 0; the error gives status or signal and the last
 * lines printed. */
struct us_error *us_process_run(const struct us_process *process) US_NODISCARD;

#endif
