/* Which rank of how many this process is, and where and how the ranks meet: from the environment.
 *
 * Tried in turn: our own UNDERSTUDY_RANK, UNDERSTUDY_WORLD_SIZE, UNDERSTUDY_LOCAL_RANK; RANK,
 * WORLD_SIZE, LOCAL_RANK (torchrun and its like); OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK;
 * SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID (set by srun). Where: UNDERSTUDY_ADDRESS and
 * UNDERSTUDY_PORT, else MASTER_ADDR and MASTER_PORT, else with Slurm the first host of the step's
 * node list. The job key: UNDERSTUDY_JOB_KEY, or the file UNDERSTUDY_JOB_KEY_FILE names.
 * UNDERSTUDY_LAUNCHER=none: none of this is looked at. */
#ifndef US_NODES_LEARN_RANKS_H
#define US_NODES_LEARN_RANKS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

enum { US_JOB_KEY = 32, US_JOB_PORT = 29400 };

struct us_ranks {
    const char *launcher; /* "understudy", "torchrun", "openmpi", "slurm"; NULL: none, world is 1 */
    int rank, world, local_rank;
    char address[256]; /* of rank 0 */
    int port;
    uint8_t key[US_JOB_KEY];
    double join_seconds;   /* a rank that has not come by then is missing */
    double silent_seconds; /* later on: one that is not heard of for so long is gone */
};

/* Fails when the environment contradicts itself, or names several ranks and no job key. */
struct us_error *us_ranks_find(struct us_ranks *ranks) US_NODISCARD;

/* The join and silent times alone: UNDERSTUDY_JOIN_SECONDS (25), UNDERSTUDY_SILENT_SECONDS (20). */
struct us_error *us_ranks_times(struct us_ranks *ranks) US_NODISCARD;

/* The key of a text. */
void us_job_key(const void *text, size_t length, uint8_t key[US_JOB_KEY]);
/* A new random key as text, hexadecimal. */
void us_job_key_random(char text[2 * US_JOB_KEY + 1]);

#endif
