/* How the ranks of a job find and trust each other.
 *
 *     us_rendezvous_listen(&ranks, &listener)      rank 0, before the others are started
 *     us_rendezvous_join(&ranks, listener, &comm)  every rank
 *
 * Rank 0 listens; the others come to it, learn from it where everybody is, and connect to each
 * other. Each connection begins with a challenge both ways: 32 random bytes of each end, then keyed
 * BLAKE2b over them and over rank, number of ranks, version and use, so that only who has the job
 * key gets in. What follows is not encrypted: ranks belong into one trusted network.
 *
 * A rank that does not come in time is named on every rank that did (US_RETRY); a wrong key and
 * another version are refused with a message on both ends (US_REFUSED, US_FAILED). */
#ifndef US_NODES_LEARN_RENDEZVOUS_H
#define US_NODES_LEARN_RENDEZVOUS_H

#include "kernels/nn/comm.h"
#include "nodes/learn/ranks.h"

/* Port 0 takes any that is free and sets ranks->port. *listener is the caller's to close. */
struct us_error *us_rendezvous_listen(struct us_ranks *ranks, int *listener) US_NODISCARD;

/* `listener` is -1 for all but rank 0. */
struct us_error *us_rendezvous_join(const struct us_ranks *ranks, int listener,
                                    struct us_nn_comm **comm) US_NODISCARD;

#endif
