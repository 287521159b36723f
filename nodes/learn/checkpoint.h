/* Complete states of a training on disk, from which it goes on bit for bit.
 *
 * A folder holds step-N.safetensors (the last two) and final-N.safetensors (the end of each
 * training asked for: kept, so that fewer steps can be had again). A file carries the flat buffers,
 * the counters, the loss of every step and the lines of the metrics so far. It is written beside
 * its name, fsynced and renamed. A digest over all of it finds damage. */
#ifndef US_NODES_LEARN_CHECKPOINT_H
#define US_NODES_LEARN_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

enum { US_CHECKPOINT_BUFFERS = 4 }; /* weights, moment 1, moment 2, average */

struct us_checkpoint {
    uint64_t step;       /* updates done */
    uint64_t generation; /* how often it went back because of numbers that are not finite */
    double seconds, wait_seconds;          /* spent training so far; waiting for data */
    float *buffers[US_CHECKPOINT_BUFFERS]; /* count floats each; [3] may be NULL */
    size_t count;
    float *losses; /* two a step: source and destination */
    char *lines;   /* metrics so far, NUL-terminated */
};

void us_checkpoint_finish(struct us_checkpoint *checkpoint);

/* Writes `state` (borrowed) into the folder and, unless `final`, removes older step files but one.
 */
struct us_error *us_checkpoint_write(const char *folder, const struct us_checkpoint *state,
                                     bool final) US_NODISCARD;

/* Steps of the checkpoints in a folder, ascending, without doubles; us_malloc'ed. A folder that is
 * missing or empty gives none. */
void us_checkpoint_list(const char *folder, uint64_t **steps, size_t *count);

/* Reads the checkpoint of a step into a zeroed one. `count` floats and the number of buffers must
 * be as given, else it is damaged. Finish also after an error. */
struct us_error *us_checkpoint_read(const char *folder, uint64_t step, size_t count, int buffers,
                                    struct us_checkpoint *checkpoint) US_NODISCARD;

#endif
