/* The ranks of a job as rank 0 and the others see them: one process runs the graph (rank 0), the
 * others wait for its orders and take part in its trainings.
 *
 *     us_team_join(&serves);  if (serves) us_team_serve(threads)     at the start of a run
 *     us_team_take(ranks, &team)     a training on rank 0; us_team_give when it is over
 *     us_team_leave()                at the end of the run */
#ifndef US_NODES_LEARN_TEAM_H
#define US_NODES_LEARN_TEAM_H

#include <stdbool.h>

#include "kernels/nn/arch.h"
#include "kernels/nn/comm.h"
#include "nodes/learn/local_ranks.h"

struct us_team {
    struct us_ranks ranks;
    struct us_nn_comm *comm;
    struct us_nn_comm *devices;   /* among the ranks' GPUs in the training now, or NULL */
    struct us_local_ranks locals; /* started by this process */
    bool launched;                /* by somebody else, for the whole run */
};

/* When a launcher started this process as one of several ranks: meets the others. *serves: this is
 * not rank 0. Without a launcher nothing happens. */
struct us_error *us_team_join(bool *serves) US_NODISCARD;
/* Does what rank 0 says until that ends. threads: 0 for this rank's share of the machine. */
struct us_error *us_team_serve(int threads) US_NODISCARD;
/* Tells the others that the run is over. */
void us_team_leave(void);

/* The team a training shall use, or NULL for this process alone: the launched one whatever `wanted`
 * is, else `wanted` - 1 processes are started here (0 and 1: none). */
struct us_error *us_team_take(int wanted, struct us_team **team) US_NODISCARD;
void us_team_give(struct us_team *team);

/* The ranks that a training of `wanted` ranks will have on this machine: how many, each one's
 * device (as in struct us_nn_trainer_config) when the task is given these ordinals, and in *world
 * the ranks of all machines. */
int us_team_places(int wanted, const int *ordinals, size_t count, int devices[US_NN_COMM_RANKS],
                   int *world);

/* Ends what us_together_devices made; the trainer that uses it is gone. */
void us_team_end_devices(struct us_team *team);

/* Why a call of team->comm or team->devices failed. US_RETRY. */
struct us_error *us_team_lost(struct us_team *team) US_NODISCARD;

/* Processors this rank may use when `local` ranks share the machine. */
int us_team_threads(const struct us_ranks *ranks);

/* What rank 0 wants next. */
enum us_order_kind {
    US_ORDER_TRAIN = 1, /* parameters, then each identity's faces follow */
    US_ORDER_STATE,     /* weights and moments as of `step` follow, for a net of that size */
    US_ORDER_STEP,      /* one update, of `step`, variations `repeat` */
    US_ORDER_REPORT,    /* how long the steps took */
    US_ORDER_CHECK,     /* are the weights the same */
    US_ORDER_END,       /* of this training */
    US_ORDER_LEAVE,     /* of the run */
};

enum { US_ORDER_PARTS = 1 + US_NN_IDENTITIES }; /* parameters, faces of each */

struct us_order {
    uint32_t kind, repeat;
    uint64_t step;
    int32_t size, fading; /* of a training, state or step: what rank 0's net has grown to (arch.h);
                             0 when it does not grow */
    float fade;
    int32_t identities;             /* of a training */
    uint64_t bytes[US_ORDER_PARTS]; /* of what follows it */
    int32_t threads;                /* of a training: for each rank; 0: its own share */
    int32_t device_count;           /* of a training: GPUs that rank 0 was given; 0: the CPU */
    int8_t ordinals[US_NN_COMM_RANKS];
};

/* Rank 0 gives, the others take. False: the team is lost. */
bool us_team_order(struct us_team *team, struct us_order *order);

#endif
