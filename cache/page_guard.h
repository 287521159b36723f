/* Work on mapped pages that may be damaged. A library that trusts its pages follows what a damaged
 * one says out of the mapping, or beyond the end of a file that was cut; the fault of that thread
 * then ends the work, not the program. */
#ifndef US_CACHE_PAGE_GUARD_H
#define US_CACHE_PAGE_GUARD_H

#include <stdbool.h>

/* False: SIGSEGV or SIGBUS came from within `work`, or it called us_page_guard_leave. What it had
 * taken (memory, locks) stays taken. Not to be nested. */
bool us_page_guarded(void (*work)(void *context), void *context);
/* Ends the work of this thread; returns when there is none. */
void us_page_guard_leave(void);

#endif
