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

static struct us_error *announce(struct us_training *t, const struct payload parts[3],
                                 int threads) {
    struct us_team *team = t->together.team;
    const int *ordinals;
    const size_t devices = us_task_devices(t->task, &ordinals);
    struct us_order order = {.kind = US_ORDER_TRAIN, .threads = threads};
    for (size_t i = 0; i < devices && i < US_NN_COMM_RANKS; i++) {
        order.ordinals[order.device_count++] = (int8_t)ordinals[i];
    }
    for (int i = 0; i < 3; i++) {
        order.sizes[i] = parts[i].size;
        t->digests[i] = us_digest_of(parts[i].bytes, parts[i].size);
    }
    if (!us_team_order(team, &order)) {
        return us_team_lost(team);
    }
    for (int i = 0; i < 3; i++) {
        US_TRY(hand_out(team, parts[i].bytes, parts[i].size));
    }
    return NULL;
}

static struct us_error *pack_and_announce(struct us_training *t, int threads) {
    struct payload parts[3] = {0};
    struct us_str params = {0};
    us_params_pack(us_train_params, t->params, &params);
    parts[0].size = params.length;
    parts[0].bytes = (uint8_t *)us_str_take(&params);
    struct us_error *error = NULL;
    for (int side = 0; side < 2 && !error; side++) {
        struct payload *part = &parts[1 + side];
        error = us_dataset_print(&t->sides[side].dataset, &part->bytes, &part->size);
    }
    if (!error) {
        error = announce(t, parts, threads);
    }
    for (int i = 0; i < 3; i++) {
        us_free(parts[i].bytes);
    }
    return error;
}

int us_ranks_wanted(const struct train_params *p, size_t devices) {
    const bool comb = strcmp(p->arch, "comb") == 0;
    int wanted = p->ranks > 0 ? (int)p->ranks : comb ? 1 : (int)devices;
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
    if (t->config.arch.family == US_NN_COMB) {
        return us_error_hint(
            us_fail(US_FAILED, "comb is trained by one rank, not by %d", team->ranks.world),
            "use ranks: 0 and no launcher, or arch df or liae");
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
    t->together.averaged = t->config.optimizer.average_decay > 0;
    return us_together_agree(&t->together, t->digests);
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
    struct us_order wanted = {.kind = kind, .step = t->step, .repeat = repeat};
    return us_team_order(t->together.team, &wanted) ? NULL : us_training_team_lost(t);
}

struct us_error *us_training_team_state(struct us_training *t) {
    if (!t->together.team) {
        return NULL;
    }
    US_TRY(order(t, US_ORDER_STATE, 0));
    return us_together_state(&t->together, t->step);
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

struct us_error *us_training_team_lost(struct us_training *t) {
    bool finite = false;
    struct us_error *error = us_team_lost(t->together.team);
    if (t->trainer && t->step > 0) {
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
    US_TRY(us_together_report(&t->together, times));
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
    return us_together_check(&t->together);
}
