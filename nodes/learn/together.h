/* What the ranks of a team do together in one training: the same calls on every rank, after an
 * order of rank 0 (team.h). A call fails with US_RETRY when the team is lost. */
#ifndef US_NODES_LEARN_TOGETHER_H
#define US_NODES_LEARN_TOGETHER_H

#include "kernels/nn/trainer.h"
#include "nodes/learn/team.h"
#include "runtime/base/hash.h"

struct us_together {
    struct us_team *team; /* NULL: this process alone; nothing below is valid then */
    struct us_nn_trainer *trainer;
    const struct us_nn_trainer_config *config; /* the trainer's; borrowed */
    struct us_digest digests[US_ORDER_PARTS];  /* of what rank 0 handed out; 0: no such identity */
    char devices[US_NN_COMM_RANKS][64];        /* what each rank computes with */
    double computing, waiting;                 /* seconds since the last report */
};

/* Seconds of one rank since the last report: in its own steps, and of those waiting for others. */
struct us_rank_times {
    double computing, waiting;
};

/* Do all ranks train the same, with nets of the same layers? Names the rank that differs. Learns
 * the devices. Waits for a rank that is still making its net. */
struct us_error *us_together_agree(struct us_together *together) US_NODISCARD;

/* All ranks get rank 0's weights, moments and step, and agree. */
struct us_error *us_together_state(struct us_together *together, uint64_t step) US_NODISCARD;

/* After a step that took so long: what the next report tells; how late others may be from now on
 * is a function of it. */
void us_together_note(struct us_together *together, double seconds, double waiting);

/* `times`, one a rank, for all. */
struct us_error *us_together_report(struct us_together *together,
                                    struct us_rank_times *times) US_NODISCARD;

/* Do all ranks have the same weights, bit for bit? Names the rank that drifted. */
struct us_error *us_together_check(struct us_together *together) US_NODISCARD;

#endif
