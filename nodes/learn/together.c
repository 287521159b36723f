#include "nodes/learn/together.h"

#include <stdio.h>
#include <string.h>

#include "nodes/learn/model_file.h"
#include "nodes/learn/train_batch.h"
#include "runtime/base/mem.h"

enum { LATE_STEPS = 10, BUFFERS = 4 };

#define MAKING_SECONDS 600.0 /* a net of a new size; a device looks for its fastest kernels */

/* What one rank says of itself. */
struct card {
    struct us_digest digests[US_ORDER_PARTS];
    uint64_t arrangement;
    char device[64];
};

/* The processor's name, as it says itself. */
static void name_device(char name[64]) {
    char line[512];
    snprintf(name, 64, "unknown processor");
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        const char *text = strstr(line, ": ");
        if (strncmp(line, "model name", 10) == 0 && text) {
            snprintf(name, 64, "%.*s", (int)strcspn(text + 2, "\n"), text + 2);
            break;
        }
    }
    if (file) {
        fclose(file);
    }
}

static struct us_error *compare_parts(const struct card *card, const struct card *first, int rank) {
    for (int i = 0; i < US_ORDER_PARTS; i++) {
        if (!us_digest_equal(&card->digests[i], &first->digests[i])) {
            return i == 0 ? us_fail(US_FAILED, "rank %d has other parameters than rank 0", rank)
                          : us_fail(US_FAILED, "rank %d has other faces of %s than rank 0", rank,
                                    us_identity_name(i - 1));
        }
    }
    return NULL;
}

static struct us_error *compare(const struct card *cards, int world) {
    for (int r = 1; r < world; r++) {
        US_TRY(compare_parts(&cards[r], &cards[0], r));
        if (cards[r].arrangement != cards[0].arrangement) {
            return us_error_hint(
                us_fail(US_FAILED, "rank %d (%.63s) lays out weights otherwise than rank 0 (%.63s)",
                        r, cards[r].device, cards[0].device),
                "train on one kind of processor");
        }
    }
    return NULL;
}

struct us_error *us_together_agree(struct us_together *g) {
    struct us_nn_comm *comm = g->team->comm;
    struct card own = {.arrangement = us_nn_trainer_arrangement(g->trainer)};
    struct card cards[US_NN_COMM_RANKS] = {0};
    memcpy(own.digests, g->digests, sizeof own.digests);
    name_device(own.device);
    comm->calls->allow(comm, MAKING_SECONDS);
    if (!comm->calls->all_gather(comm, &own, cards, sizeof own, NULL) ||
        !comm->calls->wait(comm, NULL)) {
        return us_team_lost(g->team);
    }
    for (int r = 0; r < comm->world; r++) {
        snprintf(g->devices[r], sizeof g->devices[r], "%.63s", cards[r].device);
    }
    return compare(cards, comm->world);
}

static struct us_error *share_buffer(struct us_together *g, enum us_nn_buffer buffer, float *flat,
                                     size_t count) {
    struct us_nn_comm *comm = g->team->comm;
    if (comm->rank == 0) {
        US_TRY(us_nn_error(us_nn_trainer_read(g->trainer, buffer, flat), "read the net's state"));
    }
    if (!comm->calls->broadcast(comm, flat, count * sizeof *flat, 0, NULL) ||
        !comm->calls->wait(comm, NULL)) {
        return us_team_lost(g->team);
    }
    return comm->rank == 0 ? NULL
                           : us_nn_error(us_nn_trainer_write(g->trainer, buffer, flat),
                                         "take over rank 0's state");
}

static struct us_error *share_judges(struct us_together *g) {
    struct us_nn_comm *comm = g->team->comm;
    const size_t count = us_nn_trainer_judge_count(g->trainer);
    float *flat = count > 0 ? us_try_alloc_pixels(count * sizeof *flat) : NULL;
    if (!flat) {
        return count > 0 ? us_fail(US_RETRY, "no memory for %zu weights", count) : NULL;
    }
    enum us_nn_status status = US_NN_OK;
    if (comm->rank == 0) {
        status = us_nn_trainer_read_judges(g->trainer, flat);
    }
    const bool fine = comm->calls->broadcast(comm, flat, count * sizeof *flat, 0, NULL) &&
                      comm->calls->wait(comm, NULL);
    if (fine && comm->rank > 0) {
        status = us_nn_trainer_write_judges(g->trainer, flat);
    }
    us_free(flat);
    return fine ? us_nn_error(status, "share the discriminators' state") : us_team_lost(g->team);
}

struct us_error *us_together_state(struct us_together *g, uint64_t step) {
    static const enum us_nn_buffer buffers[BUFFERS] = {US_NN_PARAMETERS, US_NN_MOMENT1,
                                                       US_NN_MOMENT2, US_NN_AVERAGE};
    const size_t count = us_nn_trainer_layout(g->trainer)->count;
    const bool averaged = g->config->optimizer.average_decay > 0;
    float *flat = us_try_alloc_pixels(count * sizeof *flat);
    struct us_error *error = flat ? NULL : us_fail(US_RETRY, "no memory for %zu weights", count);
    for (int i = 0; i < (averaged ? BUFFERS : BUFFERS - 1) && !error; i++) {
        error = share_buffer(g, buffers[i], flat, count);
    }
    us_free(flat);
    if (!error) {
        error = share_judges(g);
    }
    us_nn_trainer_set_steps(g->trainer, step);
    return error ? error : us_together_agree(g);
}

void us_together_note(struct us_together *g, double seconds, double waiting) {
    const double silent = g->team->ranks.silent_seconds, late = LATE_STEPS * seconds;
    g->computing += seconds - waiting;
    g->waiting += waiting;
    g->team->comm->calls->allow(g->team->comm, late > silent ? late : silent);
}

struct us_error *us_together_report(struct us_together *g, struct us_rank_times *times) {
    struct us_nn_comm *comm = g->team->comm;
    const struct us_rank_times own = {g->computing, g->waiting};
    g->computing = g->waiting = 0;
    const bool fine = comm->calls->all_gather(comm, &own, times, sizeof own, NULL) &&
                      comm->calls->wait(comm, NULL);
    return fine ? NULL : us_team_lost(g->team);
}

struct us_error *us_together_check(struct us_together *g) {
    struct us_nn_comm *comm = g->team->comm;
    const size_t count = us_nn_trainer_layout(g->trainer)->count;
    struct us_digest all[US_NN_COMM_RANKS];
    float *flat = us_try_alloc_pixels(count * sizeof *flat);
    if (!flat) {
        return us_fail(US_RETRY, "no memory for %zu weights", count);
    }
    enum us_nn_status status = us_nn_trainer_read(g->trainer, US_NN_PARAMETERS, flat);
    const struct us_digest own = us_digest_of(flat, count * sizeof *flat);
    us_free(flat);
    US_TRY(us_nn_error(status, "read the weights"));
    if (!comm->calls->all_gather(comm, &own, all, sizeof own, NULL) ||
        !comm->calls->wait(comm, NULL)) {
        return us_team_lost(g->team);
    }
    for (int r = 1; r < comm->world; r++) {
        if (!us_digest_equal(&all[r], &all[0])) {
            return us_fail(US_FAILED,
                           "the weights of rank %d (%s) are no longer those of rank 0 (%s)", r,
                           g->devices[r], g->devices[0]);
        }
    }
    return NULL;
}
