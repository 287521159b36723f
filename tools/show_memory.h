/* What a run will take of memory, for people and programs. */
#ifndef US_TOOLS_SHOW_MEMORY_H
#define US_TOOLS_SHOW_MEMORY_H

#include "runtime/api/run.h"

enum us_memory_shown {
    US_MEMORY_OF_ALL,
    US_MEMORY_OF_RANGES, /* leaves out what works frame by frame */
};

/* Two lines for each node and place, or an event each; with JSON also an event when the run is
 * refused. Returns why it is (us_run_refusal). */
struct us_error *us_memory_show(struct us_run *run, enum us_memory_shown shown,
                                bool json) US_NODISCARD;

#endif
