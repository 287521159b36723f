/* Writes one checkpoint at a time on a thread of its own, while the training goes on.
 *
 * The state is a copy, so what is written does not depend on when. A new one waits for the one
 * before. Used from one thread. */
#ifndef US_NODES_LEARN_CHECKPOINT_WRITER_H
#define US_NODES_LEARN_CHECKPOINT_WRITER_H

#include <pthread.h>
#include <stdatomic.h>

#include "nodes/learn/checkpoint.h"

/* What to write, and which older files may go once it is on the disk (us_checkpoint_thin). */
struct us_checkpoint_order {
    const char *folder; /* borrowed until it is written */
    bool final;
    uint64_t good;
    int keep;
};

struct us_checkpoint_writer {
    pthread_t thread;
    bool started; /* and not yet waited for */
    atomic_bool done;
    struct us_checkpoint_order order;
    struct us_checkpoint state;
    struct us_error *error;
};

/* Waits for the one before; its error, if any, is returned and nothing is begun. Takes over
 * *state in any case. */
struct us_error *us_checkpoint_writer_start(struct us_checkpoint_writer *writer,
                                            const struct us_checkpoint_order *order,
                                            struct us_checkpoint *state) US_NODISCARD;

/* The error of one that has ended since, without waiting; NULL when there is none. */
struct us_error *us_checkpoint_writer_poll(struct us_checkpoint_writer *writer) US_NODISCARD;

/* Waits until nothing is being written; NULL also when nothing was. */
struct us_error *us_checkpoint_writer_wait(struct us_checkpoint_writer *writer) US_NODISCARD;

#endif
