/* The same work over many items on all cores, for going through a whole cache. */
#ifndef US_CACHE_PARALLEL_H
#define US_CACHE_PARALLEL_H

#include <stddef.h>

#include "runtime/base/error.h"

/* Calls work(context, i) once for each i below `count`, on several threads. The first error ends it
 * (what is at work finishes) and is handed on. */
struct us_error *us_parallel(size_t count, struct us_error *(*work)(void *context, size_t index),
                             void *context) US_NODISCARD;

#endif
