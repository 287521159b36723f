/* Where each buffer of a step lies in one arena: buffers whose lives do not overlap share bytes.
 *
 * Moments are integers; a buffer lives from the first to the last moment it is used at. */
#ifndef US_KERNELS_NN_PLAN_INTERNAL_H
#define US_KERNELS_NN_PLAN_INTERNAL_H

#include <stddef.h>

#include "kernels/nn/status.h"

#define NN_PLAN_BUFFERS 4096
#define NN_PLAN_END 1000000 /* a moment after all others; 0 is before all others */

struct nn_plan_buffer {
    size_t size, offset; /* bytes; offset is a multiple of 64, set by nn_plan_solve */
    int first, last;     /* last < first: never used */
};

struct nn_plan {
    struct nn_plan_buffer buffers[NN_PLAN_BUFFERS];
    int count;
    size_t size; /* of the arena, set by nn_plan_solve */
};

/* The index of a new buffer, or -1 when there are too many. */
int nn_plan_add(struct nn_plan *plan, size_t size);
void nn_plan_use(struct nn_plan *plan, int buffer, int moment);
/* Largest first, each at the lowest offset that is free during its life. */
void nn_plan_solve(struct nn_plan *plan);

#endif
