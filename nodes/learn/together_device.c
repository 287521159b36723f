#include "nodes/learn/together_device.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda/comm_api.h"
#include "kernels/cuda/load.h"

/* Where a rank computes. */
struct place {
    int32_t is_gpu;
    char host[64], bus[32];
};

/* How a rank got on with something. */
struct outcome {
    int32_t failed;
    char why[240];
};

int us_together_pick_device(const struct us_team *team, const int8_t *ordinals, int count) {
    const struct us_cuda_module *module;
    const char *why_not;
    if (count == 0) {
        return US_NN_CPU;
    }
    if (team->ranks.launcher && strcmp(team->ranks.launcher, "understudy") == 0) {
        return 1 + ordinals[team->ranks.rank % count];
    }
    const int here = us_cuda_device_count(&module, &why_not);
    return 1 + (here > 0 ? team->ranks.local_rank % here : 0);
}

static struct us_error *share(struct us_team *team, const void *own, void *all, size_t size) {
    struct us_nn_comm *comm = team->comm;
    const bool fine =
        comm->calls->all_gather(comm, own, all, size, NULL) && comm->calls->wait(comm, NULL);
    return fine ? NULL : us_team_lost(team);
}

static struct us_error *agree(struct us_team *team, const struct outcome *own) {
    struct outcome all[US_NN_COMM_RANKS];
    US_TRY(share(team, own, all, sizeof *own));
    for (int r = 0; r < team->ranks.world; r++) {
        if (all[r].failed) {
            return us_fail(US_RETRY, "the GPUs of %d ranks do not come together: rank %d: %.230s",
                           team->ranks.world, r, all[r].why);
        }
    }
    return NULL;
}

/* Are all on GPUs, or none? *shared: two ranks have the same device. */
static struct us_error *look_round(struct us_team *team, int device, bool *shared) {
    struct place own = {.is_gpu = device != US_NN_CPU}, all[US_NN_COMM_RANKS];
    const struct us_cuda_module *module;
    const char *why_not;
    struct us_cuda_device about;
    gethostname(own.host, sizeof own.host - 1);
    if (own.is_gpu && us_cuda_device_count(&module, &why_not) > 0 &&
        module->device(device - 1, &about) == US_NN_OK) {
        memcpy(own.bus, about.bus, sizeof own.bus);
    }
    US_TRY(share(team, &own, all, sizeof own));
    *shared = false;
    for (int r = 0; r < team->ranks.world; r++) {
        if (all[r].is_gpu != all[0].is_gpu) {
            return us_fail(US_FAILED, "rank %d computes on %s, rank 0 on %s", r,
                           all[r].is_gpu ? "a GPU" : "the CPU",
                           all[0].is_gpu ? "a GPU" : "the CPU");
        }
        for (int q = 0; q < r; q++) {
            *shared |= memcmp(all[r].host, all[q].host, sizeof own.host) == 0 &&
                       memcmp(all[r].bus, all[q].bus, sizeof own.bus) == 0;
        }
    }
    return NULL;
}

static const struct us_cuda_comm_api *find_api(struct outcome *outcome) {
    const struct us_cuda_module *module;
    const char *why_not;
    const int count = us_cuda_device_count(&module, &why_not);
    if (count == 0 || !module->comm) {
        outcome->failed = 1;
        snprintf(outcome->why, sizeof outcome->why, "%s",
                 count ? "the CUDA module has no NCCL" : why_not);
        return NULL;
    }
    return module->comm;
}

static struct us_error *join(struct us_team *team, int device, bool shared) {
    struct us_cuda_comm_config config = {.rank = team->ranks.rank,
                                         .world = team->ranks.world,
                                         .device = device - 1,
                                         .shared = shared,
                                         .join_seconds = 2 * team->ranks.join_seconds,
                                         .control = team->comm};
    struct us_nn_comm *comm = team->comm;
    struct outcome outcome = {0};
    const struct us_cuda_comm_api *api = find_api(&outcome);
    if (api && team->ranks.rank == 0) {
        outcome.failed = api->make_id(&config.id, outcome.why) != US_NN_OK;
    }
    US_TRY(agree(team, &outcome));
    if (!comm->calls->broadcast(comm, &config.id, sizeof config.id, 0, NULL) ||
        !comm->calls->wait(comm, NULL)) {
        return us_team_lost(team);
    }
    outcome.failed = api->create(&config, &team->devices, outcome.why) != US_NN_OK;
    return agree(team, &outcome);
}

struct us_error *us_together_devices(struct us_team *team, struct us_nn_trainer_config *config) {
    bool shared;
    US_TRY(look_round(team, config->device, &shared));
    if (config->device == US_NN_CPU) {
        return NULL;
    }
    US_TRY(join(team, config->device, shared));
    config->comm = team->devices;
    return NULL;
}
