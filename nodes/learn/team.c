#include "nodes/learn/team.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernels/nn/trainer.h"
#include "nodes/learn/rendezvous.h"
#include "nodes/learn/train_rank.h"
#include "runtime/base/mem.h"

/* The team a launcher started, for the run; rank 0 alone uses it, from the one training there is at
 * a time. */
static struct us_team *launched;

void us_team_end_devices(struct us_team *team) {
    us_nn_comm_destroy(team->devices);
    team->devices = NULL;
}

static void team_destroy(struct us_team *team) {
    if (team) {
        us_team_end_devices(team);
        us_nn_comm_destroy(team->comm);
        us_local_ranks_end(&team->locals);
        us_free(team);
    }
}

struct us_error *us_team_join(bool *serves) {
    struct us_ranks ranks;
    int listener = -1;
    *serves = false;
    US_TRY(us_ranks_find(&ranks));
    if (ranks.world < 2) {
        return NULL;
    }
    if (ranks.rank == 0) {
        US_TRY(us_rendezvous_listen(&ranks, &listener));
    }
    struct us_nn_comm *comm;
    struct us_error *error = us_rendezvous_join(&ranks, listener, &comm);
    if (listener >= 0) {
        close(listener);
    }
    US_TRY(error);
    launched = us_calloc(1, sizeof *launched);
    launched->ranks = ranks;
    launched->comm = comm;
    launched->launched = true;
    *serves = ranks.rank > 0;
    return NULL;
}

struct us_error *us_team_serve(int threads) {
    struct us_team *team = launched;
    struct us_order order = {0};
    struct us_error *error = NULL;
    while (!error && order.kind != US_ORDER_LEAVE) {
        if (!us_team_order(team, &order)) {
            error = us_team_lost(team);
        } else if (order.kind == US_ORDER_TRAIN) {
            error = us_train_rank(team, &order, threads);
        } else if (order.kind != US_ORDER_LEAVE) {
            error = us_fail(US_FAILED, "rank 0 gives order %u between trainings", order.kind);
        }
    }
    if (error) {
        team->comm->calls->abort(team->comm, error->text);
        error = us_error_wrap(error, "rank %d of %d ends", team->ranks.rank, team->ranks.world);
    }
    team_destroy(team);
    launched = NULL;
    return error;
}

void us_team_leave(void) {
    if (launched) {
        us_team_order(launched, &(struct us_order){.kind = US_ORDER_LEAVE});
        team_destroy(launched);
        launched = NULL;
    }
}

struct us_error *us_team_take(int wanted, struct us_team **team) {
    int listener;
    *team = launched;
    if (launched || wanted < 2) {
        return NULL;
    }
    struct us_team *own = us_calloc(1, sizeof *own);
    struct us_error *error = us_local_ranks_start(wanted, &own->ranks, &listener, &own->locals);
    if (!error) {
        error = us_rendezvous_join(&own->ranks, listener, &own->comm);
        close(listener);
    }
    if (error) {
        team_destroy(own);
        return error;
    }
    *team = own;
    return NULL;
}

void us_team_give(struct us_team *team) {
    if (!team) {
        return;
    }
    us_team_order(team, &(struct us_order){.kind = US_ORDER_END});
    us_team_end_devices(team); /* as the others do now */
    if (!team->launched) {
        us_team_order(team, &(struct us_order){.kind = US_ORDER_LEAVE});
        team_destroy(team);
    }
}

struct us_error *us_team_lost(struct us_team *team) {
    char died[128];
    const bool whole = team->comm->calls->whole(team->comm);
    struct us_error *error = us_fail(
        US_RETRY, "%s", whole && team->devices ? team->devices->problem : team->comm->problem);
    if (us_local_ranks_died(&team->locals, died, sizeof died)) {
        error->cause = us_fail(US_RETRY, "%s", died);
    }
    return error;
}

bool us_team_order(struct us_team *team, struct us_order *order) {
    struct us_nn_comm *comm = team->comm;
    return comm->calls->broadcast(comm, order, sizeof *order, 0, NULL) &&
           comm->calls->wait(comm, NULL);
}

static int local_world(const struct us_ranks *ranks) {
    static const char *const names[] = {"LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        const long count = text ? strtol(text, NULL, 10) : 0;
        if (count >= 1 && count <= ranks->world) {
            return (int)count;
        }
    }
    return 1; /* srun gives each task processors of its own */
}

int us_team_places(int wanted, const int *ordinals, size_t count, int devices[US_NN_COMM_RANKS],
                   int *world) {
    const struct us_ranks *ranks = launched ? &launched->ranks : NULL;
    *world = ranks ? ranks->world : wanted > 1 ? wanted : 1;
    int here = ranks ? local_world(ranks) : *world;
    here = here < US_NN_COMM_RANKS ? here : US_NN_COMM_RANKS; /* more fail when they are started */
    for (int rank = 0; rank < here; rank++) {
        devices[rank] = count > 0 ? 1 + ordinals[(size_t)rank % count] : US_NN_CPU;
    }
    return here;
}

int us_team_threads(const struct us_ranks *ranks) {
    cpu_set_t set;
    const int all = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    const int share = all / local_world(ranks);
    return share < 1 ? 1 : share > 256 ? 256 : share;
}
