/* Which process, on which boot of which host: for leases and names of temporary files. */
#ifndef US_CACHE_HOST_H
#define US_CACHE_HOST_H

#include <stdbool.h>
#include <sys/types.h>

/* One word without blanks that is equal for processes that can see each other's process ids: host
 * name, boot and process-id namespace, hashed. */
const char *us_host_id(void);

/* When a process started, in ticks since the boot; 0 when there is no such process, or only
 * the remains of one that its parent has not collected. Tells a process from a later one with the
 * same id. */
unsigned long long us_process_start(pid_t pid);

enum us_life { US_ALIVE, US_DEAD, US_ELSEWHERE };
/* Of the process in "<host id> <pid> <start>", with `blank` for the blanks; elsewhere: that cannot
 * be told here. */
enum us_life us_process_life(const char *text, char blank);

/* This process's. */
unsigned long long us_own_start(void);

#endif
