/* Other ranks on this machine, started by rank 0: the program itself with the command `rank`. */
#ifndef US_NODES_LEARN_LOCAL_RANKS_H
#define US_NODES_LEARN_LOCAL_RANKS_H

#include <stdbool.h>
#include <sys/types.h>

#include "kernels/nn/comm.h"
#include "nodes/learn/ranks.h"

struct us_local_ranks {
    pid_t pids[US_NN_COMM_RANKS]; /* by rank; 0: not running */
    int world;
};

/* Fills in `ranks` for rank 0 of `world`, listens on a free port of the loopback and starts the
 * others. After an error nothing runs. */
struct us_error *us_local_ranks_start(int world, struct us_ranks *ranks, int *listener,
                                      struct us_local_ranks *started) US_NODISCARD;

/* How the first of them that did not end in order has ended: "rank 2 was ended by signal 9"; false:
 * none has. */
bool us_local_ranks_died(struct us_local_ranks *started, char *text, size_t size);

/* Waits for them to end, at most some seconds, then makes them. */
void us_local_ranks_end(struct us_local_ranks *started);

#endif
