#include "nodes/learn/training_team.h"

#include <string.h>

#include "nodes/learn/pack_params.h"
#include "nodes/learn/together_device.h"
#include "nodes/learn/training_state.h"
#include "runtime/base/mem.h"

#define UNEVEN 1.25 /* times as long as the fastest rank */

/* Gives all ranks some bytes. */
static struct us_error *hand_out(struct us_team *team, const void *bytes, size_t size) {
    struct us_nn_comm *comm = team->comm;
    const bool fine = comm->calls->broadcast(comm, (void *)(uintptr_t)bytes, size, 0, NULL) &&
                      comm->calls->wait(comm, NULL);
    return fine ? NULL : us_team_lost(team);
}

struct payload {
    uint8_t *bytes;
    size_t size;
};

/* What rank 0's net has grown to is in every order that is about the net. */
static struct us_order order_at(const struct us_training *t, enum us_order_kind kind) {
    const struct us_nn_arch *arch = &t->config.arch;
    return (struct us_order){.kind = kind,
                             .step = t->step,
                             .size = arch->size,
                             .fading = arch->fading,
                             .fade = arch->fade};
}

static struct us_error *announce(struct us_training *t, const struct payload *parts, int threads) {
    struct us_team *team = t->together.team;
    const int *ordinals;
    const size_t devices = us_task_devices(t->task, &ordinals);
    const int count = 1 + t->identities;
    struct us_order order = order_at(t, US_ORDER_TRAIN);
    order.threads = threads;
    order.identities = t->identities;
    for (size_t i = 0; i < devices && i < US_NN_COMM_RANKS; i++) {
        order.ordinals[order.device_count++] = (int8_t)ordinals[i];
    }
    for (int i = 0; i < count; i++) {
        order.bytes[i] = parts[i].size;
        t->together.digests[i] = us_digest_of(parts[i].bytes, parts[i].size);
    }
    if (!us_team_order(team, &order)) {
        return us_team_lost(team);
    }
    for (int i = 0; i < count; i++) {
        US_TRY(hand_out(team, parts[i].bytes, parts[i].size));
    }
    return NULL;
}

static struct us_error *pack_and_announce(struct us_training *t, int threads) {
    struct payload parts[US_ORDER_PARTS] = {0};
    struct us_str params = {0};
    us_params_pack(us_train_params, t->params, &params);
    parts[0].size = params.length;
    parts[0].bytes = (uint8_t *)us_str_take(&params);
    struct us_error *error = NULL;
    for (int side = 0; side < t->identities && !error; side++) {
        struct payload *part = &parts[1 + side];
        error = us_dataset_print(&t->sides[side].dataset, &part->bytes, &part->size);
    }
    if (!error) {
        error = announce(t, parts, threads);
    }
    for (int i = 0; i < US_ORDER_PARTS; i++) {
        us_free(parts[i].bytes);
    }
    return error;
}

int us_ranks_wanted(const struct train_params *p, size_t devices) {
    int wanted = p->ranks > 0 ? (int)p->ranks : (int)devices;
    while (p->ranks == 0 && wanted > 1 && p->batch % wanted != 0) {
        wanted--;
    }
    return wanted;
}

struct us_error *us_training_team_take(struct us_training *t, int *ranks) {
    struct us_team *team;
    const int *ordinals;
    const size_t devices = us_task_devices(t->task, &ordinals);
    US_TRY(us_team_take(us_ranks_wanted(t->params, devices), &team));
    t->together = (struct us_together){.team = team};
    *ranks = team ? team->ranks.world : 1;
    if (team && team->launched && t->params->ranks > 0 && t->params->ranks != *ranks) {
        us_task_warn(t->task, "ranks is %d, but %s started %d: those train", (int)t->params->ranks,
                     team->ranks.launcher, *ranks);
    }
    return NULL;
}

struct us_error *us_training_team_open(struct us_training *t) {
    struct us_team *team = t->together.team;
    if (!team) {
        return NULL;
    }
    const int granted = us_task_threads(t->task), most = us_team_threads(&team->ranks);
    const int share = granted / team->ranks.world;
    t->config.threads = team->launched ? (granted < most ? granted : most) : share > 1 ? share : 1;
    t->config.comm = team->comm;
    US_TRY(pack_and_announce(t, team->launched ? 0 : t->config.threads));
    return us_together_devices(team, &t->config);
}

struct us_error *us_training_team_agree(struct us_training *t) {
    if (!t->together.team) {
        return NULL;
    }
    t->together.trainer = t->trainer;
    t->together.config = &t->config;
    return us_together_agree(&t->together);
}

void us_training_team_close(struct us_training *t, const struct us_error *failed) {
    struct us_team *team = t->together.team;
    if (team && failed && failed->code != US_CANCELLED) {
        team->comm->calls->abort(team->comm, failed->text);
    }
    us_team_give(team);
    t->together.team = NULL;
}

static struct us_error *order(struct us_training *t, enum us_order_kind kind, uint32_t repeat) {
    struct us_order wanted = order_at(t, kind);
    wanted.repeat = repeat;
    return us_team_order(t->together.team, &wanted) ? NULL : us_training_team_lost(t, true);
}

/* How something went that the ranks did together: when one of them is gone, the training is saved.
 */
static struct us_error *went(struct us_training *t, struct us_error *error) {
    struct us_nn_comm *comm = t->together.team->comm;
    if (!error || error->code != US_RETRY || comm->calls->whole(comm)) {
        return error;
    }
    us_error_free(error);
    return us_training_team_lost(t, true);
}

struct us_error *us_training_team_state(struct us_training *t) {
    if (!t->together.team) {
        return NULL;
    }
    US_TRY(order(t, US_ORDER_STATE, 0));
    return went(t, us_together_state(&t->together, t->step));
}

struct us_error *us_training_team_step(struct us_training *t, uint32_t repeat) {
    return t->together.team ? order(t, US_ORDER_STEP, repeat) : NULL;
}

double us_training_team_waited(const struct us_training *t) {
    return t->together.team && t->config.comm ? t->config.comm->exposed_seconds : 0;
}

void us_training_team_note(struct us_training *t, double seconds, double waited) {
    if (t->together.team) {
        us_together_note(&t->together, seconds, us_training_team_waited(t) - waited);
    }
}

struct us_error *us_training_team_lost(struct us_training *t, bool sound) {
    bool finite = false;
    struct us_error *error = us_team_lost(t->together.team);
    if (sound && t->trainer && t->step > 0) {
        us_training_warn(t, us_training_save(t, false, &finite));
        us_training_settle(t);
    }
    error = us_error_wrap(error, "the training of %d ranks ends at step %llu",
                          t->together.team->ranks.world, (unsigned long long)t->step);
    return us_error_hint(error, "run it again: it goes on from the last checkpoint");
}

static void find_slowest(const struct us_rank_times *times, int world, int *slow, int *fast) {
    *slow = *fast = 0;
    for (int r = 1; r < world; r++) {
        *slow = times[r].computing > times[*slow].computing ? r : *slow;
        *fast = times[r].computing < times[*fast].computing ? r : *fast;
    }
}

/* Once, when the same rank was the slowest by far between two pairs of reports. */
static void tell_uneven(struct us_training *t, const struct us_rank_times *times, int slow,
                        int fast) {
    const double ratio = times[slow].computing / times[fast].computing;
    const struct us_together *g = &t->together;
    if (times[fast].computing <= 0 || ratio < UNEVEN) {
        t->slow_rank = 0;
        return;
    }
    const bool again = t->slow_rank == slow + 1;
    t->slow_rank = slow + 1;
    if (t->told_uneven || !again) {
        return;
    }
    t->told_uneven = true;
    us_task_warn(t->task,
                 "rank %d (%s) takes %.2f times as long for its part of a step as rank %d (%s): "
                 "all wait for it",
                 slow, g->devices[slow], ratio, fast, g->devices[fast]);
}

struct us_error *us_training_team_report(struct us_training *t, struct us_str *line) {
    struct us_rank_times times[US_NN_COMM_RANKS];
    struct us_team *team = t->together.team;
    int slow, fast;
    if (!team) {
        return NULL;
    }
    US_TRY(order(t, US_ORDER_REPORT, 0));
    US_TRY(went(t, us_together_report(&t->together, times)));
    find_slowest(times, team->ranks.world, &slow, &fast);
    const double whole = times[0].computing + times[0].waiting;
    us_str_printf(line, ",\"ranks\":%d,\"comm_wait\":%.4f,\"comm_bytes\":%llu,\"slowest_rank\":%d",
                  team->ranks.world, whole > 0 ? times[0].waiting / whole : 0.0,
                  (unsigned long long)t->config.comm->bytes, slow);
    us_str_append(line, ",\"rank_seconds\":[");
    for (int r = 0; r < team->ranks.world; r++) {
        us_str_printf(line, "%s%.3f", r ? "," : "", times[r].computing);
    }
    us_str_append(line, "]");
    tell_uneven(t, times, slow, fast);
    return NULL;
}

struct us_error *us_training_team_check(struct us_training *t) {
    if (!t->together.team) {
        return NULL;
    }
    US_TRY(order(t, US_ORDER_CHECK, 0));
    return went(t, us_together_check(&t->together));
}
