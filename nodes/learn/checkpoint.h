/* Complete states of a training on disk, from which it goes on bit for bit.
 *
 * A folder holds step-N.safetensors (the last ones, and sparser and sparser older ones) and
 * final-N.safetensors (the end of each training asked for: kept, so that fewer steps can be had
 * again). A file carries the flat buffers,
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
    uint64_t generation; /* how often it went back, which chooses the variations */
    /* Of a training in trouble: how often it went back since it last got beyond it, the furthest
     * step it went back from, and where it last went back to. */
    uint64_t returns, trouble, returned_to;
    double seconds, wait_seconds;          /* spent training so far; waiting for data */
    float *buffers[US_CHECKPOINT_BUFFERS]; /* count floats each; [3] may be NULL */
    size_t count;
    float *judges; /* the discriminators' state, judge_count floats; NULL when there are none */
    size_t judge_count;
    float *losses; /* two a step: source and destination */
    char *lines;   /* metrics so far, NUL-terminated */
};

void us_checkpoint_finish(struct us_checkpoint *checkpoint);

/* The file of a step; us_malloc'ed. */
char *us_checkpoint_path(const char *folder, uint64_t step, bool final);

/* Writes `state` (borrowed). Without an error it is on the disk, under its name. */
struct us_error *us_checkpoint_write(const char *folder, const struct us_checkpoint *state,
                                     bool final) US_NODISCARD;

/* Of the step files up to `good`, keeps the `keep` newest and of the older ones so many that each
 * is at most 8 times older than the next kept one: a few, however long the training. Files beyond
 * `good` stay. */
void us_checkpoint_thin(const char *folder, uint64_t good, int keep);
/* Removes the step files from one step to another, both included. */
void us_checkpoint_remove(const char *folder, uint64_t from, uint64_t to);
/* Removes what writers left that were killed more than an hour ago. */
void us_checkpoint_tidy(const char *folder);

/* Steps of the checkpoints in a folder, ascending, without doubles; us_malloc'ed. A folder that is
 * missing or empty gives none. */
void us_checkpoint_list(const char *folder, uint64_t **steps, size_t *count);

/* What a checkpoint of a training must have, or it is damaged. */
struct us_checkpoint_shape {
    size_t count;       /* floats of a buffer */
    int buffers;        /* 3, or 4 with an average */
    size_t judge_count; /* 0: no discriminators */
};

/* Reads the checkpoint of a step into a zeroed one. Finish also after an error. */
struct us_error *us_checkpoint_read(const char *folder, uint64_t step,
                                    const struct us_checkpoint_shape *shape,
                                    struct us_checkpoint *checkpoint) US_NODISCARD;

#endif
