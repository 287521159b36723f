/* Calls of a file system that are to go wrong, by what a file says, when it is there:
 *
 *     OPERATION ERRNO fail|done SKIP COUNT TEXT
 *
 * After SKIP of them, the next COUNT of flush, fsync, write, rename, link, unlink or open on a path
 * that holds TEXT report ERRNO (a number) without being done, or although they are: as a request
 * does that was sent again because its answer was lost. flush is what close() waits for. The file
 * counts down. */
#ifndef US_TESTS_ARRANGED_H
#define US_TESTS_ARRANGED_H

#include <stdbool.h>

/* 0, or the errno that the call on `name` in the folder `fd` (or on `fd`, with "") is to report;
 * *done: it is carried out first. */
int arranged(const char *control, const char *operation, int fd, const char *name, bool *done);
/* True while something is to be done and yet to report an error: a client then asks anew for names
 * in a folder that it changed, though it was told that it failed. */
bool done_is_arranged(const char *control);

#endif
