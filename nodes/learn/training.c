#include "nodes/learn/training.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "nodes/learn/dataset_gather.h"
#include "nodes/learn/growth.h"
#include "nodes/learn/model_file.h"
#include "nodes/learn/train_result.h"
#include "nodes/learn/training_guard.h"
#include "nodes/learn/training_memory.h"
#include "nodes/learn/training_state.h"
#include "nodes/learn/training_team.h"
#include "runtime/base/mem.h"

enum { REPEATS = 8, RETRY_SECONDS = 60 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct us_error *sides_agree(const struct us_dataset *a, const struct us_dataset *b,
                                    const char *name) {
    if (a->size == b->size && strcmp(a->encoding, b->encoding) == 0 &&
        strcmp(a->coverage, b->coverage) == 0) {
        return NULL;
    }
    return us_error_hint(us_fail(US_FAILED, "source is %d px, %s, %s, but %s %d px, %s, %s",
                                 a->size, a->coverage, a->encoding, name, b->size, b->coverage,
                                 b->encoding),
                         "make the crops of all with the same size, coverage and encoding");
}

static struct us_error *gather_side(struct us_training *t, int side, int port, size_t entry) {
    t->sides[side].params = t->params;
    struct us_error *error =
        us_dataset_gather_entry(t->task, port, entry, t->params->holdout, &t->sides[side].dataset);
    US_TRY(us_error_wrap(error, "cannot train on %s", us_identity_name(side)));
    return us_train_side_init(&t->sides[side]);
}

static struct us_error *gather(struct us_training *t, struct us_training_ports ports) {
    const size_t others = us_dataset_entries(t->task, ports.others);
    if (others > 0 && strcmp(t->params->arch, "comb") != 0) {
        return us_error_hint(us_fail(US_USAGE, "%s trains two identities, but others has %zu",
                                     t->params->arch, others),
                             "use arch: comb, or give all takes of a person as a list");
    }
    if (others > US_NN_IDENTITIES - 2) {
        return us_fail(US_USAGE, "others has %zu identities, allowed are %d", others,
                       US_NN_IDENTITIES - 2);
    }
    US_TRY(gather_side(t, 0, ports.source, US_ALL_ENTRIES));
    US_TRY(gather_side(t, 1, ports.destination, US_ALL_ENTRIES));
    t->identities = 2 + (int)others;
    for (int i = 2; i < t->identities; i++) {
        US_TRY(gather_side(t, i, ports.others, (size_t)i - 2));
    }
    for (int i = 1; i < t->identities; i++) {
        US_TRY(sides_agree(&t->sides[0].dataset, &t->sides[i].dataset, us_identity_name(i)));
    }
    return NULL;
}

/* Before anything is taken, with all ranks that compute in the same place. The run has asked
 * before, but about crops that it did not know. */
static struct us_error *fits(const struct us_training *t, int ranks) {
    struct us_nn_memory memory;
    struct us_str text = {0};
    const int *ordinals;
    const size_t devices = us_task_devices(t->task, &ordinals);
    int places[US_NN_COMM_RANKS], world, sharing = 0;
    const int here = us_team_places(ranks, ordinals, devices, places, &world);
    if (us_training_memory(t->params, &t->config, ranks, &memory)) {
        return NULL; /* us_train_config says what is wrong */
    }
    for (int rank = 0; rank < here; rank++) {
        sharing += places[rank] == t->config.device;
    }
    const size_t bytes = us_nn_memory_sum(&memory) * (size_t)(sharing > 0 ? sharing : 1);
    us_str_size(&text, bytes);
    us_task_status(t->task, "takes %s of memory", us_str_text(&text));
    us_str_finish(&text);
    return us_training_fits(t->config.device, bytes, us_training_room(t->config.device));
}

/* The configuration of this process's part. */
static struct us_error *configure(struct us_training *t, int ranks) {
    const struct us_dataset *faces = &t->sides[0].dataset;
    const int threads = us_task_threads(t->task), device = 1 + us_task_device(t->task);
    US_TRY(us_ranks_split(t->params, ranks));
    us_train_fill(t->params, faces->size, faces->encoding, t->identities, &t->config);
    us_train_share(t->params, ranks, device, threads, &t->config);
    US_TRY(fits(t, ranks));
    return us_train_config_problem(&t->config);
}

struct us_error *us_training_built(const struct us_training *t, enum us_nn_status status) {
    struct us_nn_memory memory;
    if (status != US_NN_NO_MEMORY || t->config.device == US_NN_CPU) {
        return us_nn_error(status, "build the net");
    }
    const int ranks = t->together.team ? t->together.team->ranks.world : 1;
    const bool known = us_training_memory(t->params, &t->config, ranks, &memory) == US_NN_OK;
    const size_t room = us_training_room(t->config.device);
    return us_task_device_full(t->task, known ? us_nn_memory_sum(&memory) : 0,
                               room == SIZE_MAX ? 0 : room);
}

struct us_error *us_training_open(struct us_training *t, struct us_task *task,
                                  struct us_training_ports ports) {
    int ranks;
    *t = (struct us_training){.task = task, .params = us_task_params(task)};
    t->target = (uint64_t)t->params->steps;
    US_TRY(gather(t, ports));
    US_TRY(us_training_team_take(t, &ranks));
    US_TRY(configure(t, ranks));
    us_growth_at(t->params, 0, &t->config.arch);
    US_TRY(us_task_workspace(task, &t->folder));
    US_TRY(us_training_team_open(t));
    US_TRY(us_training_built(t, us_nn_trainer_create(&t->config, &t->trainer)));
    US_TRY(us_training_team_agree(t));
    US_TRY(us_train_batches_init(&t->batches, t->sides, &t->config));
    return us_nn_error(us_train_batches_keep(&t->batches, t->trainer),
                       "give the faces to the device");
}

void us_training_close(struct us_training *t, const struct us_error *failed) {
    us_error_free(us_checkpoint_writer_wait(&t->writer));
    for (int side = 0; side < US_NN_IDENTITIES; side++) {
        us_train_side_finish(&t->sides[side]);
    }
    us_train_batches_finish(&t->batches);
    us_nn_trainer_destroy(t->trainer);
    us_training_team_close(t, failed);
    us_free(t->losses);
    us_free(t->parameters);
    us_str_finish(&t->lines);
}

double us_training_loss(const struct us_training *t, uint64_t step) {
    return us_losses_mean(t->losses, step, US_LOSS_WINDOW, 0) +
           us_losses_mean(t->losses, step, US_LOSS_WINDOW, 1);
}

static void note_loss(struct us_training *t, const struct us_nn_losses *losses) {
    us_grow(&t->losses, &t->loss_capacity, (size_t)t->step, 2 * sizeof *t->losses);
    t->losses[2 * t->step] = (float)losses->faces[US_NN_SOURCE].total;
    double others = 0;
    for (int i = US_NN_DESTINATION; i < t->identities; i++) {
        others += losses->faces[i].total;
    }
    t->losses[2 * t->step + 1] = (float)others;
    t->step++;
}

static void print_terms(const char *name, const struct us_nn_loss_terms *terms,
                        struct us_str *out) {
    us_str_printf(out, ",\"%s\":{\"dssim\":%.6g,\"square\":%.6g,\"absolute\":%.6g,\"mask\":%.6g",
                  name, terms->dssim, terms->square, terms->absolute, terms->mask);
    if (terms->judge > 0) {
        us_str_printf(out, ",\"adversarial\":%.6g,\"discriminator\":%.6g", terms->adversarial,
                      terms->judge);
    }
    us_str_append(out, "}");
}

static struct us_error *print_line(struct us_training *t, const struct us_nn_losses *losses) {
    const double seconds = t->seconds - t->line_seconds;
    const double wait = t->wait_seconds - t->line_wait_seconds;
    const double source = us_losses_mean(t->losses, t->step, US_METRICS_STEPS, 0);
    const double destination = us_losses_mean(t->losses, t->step, US_METRICS_STEPS, 1);
    struct us_str ranks = {0}; /* first: when one is gone, no half line is saved */
    US_TRY(us_training_team_report(t, &ranks));
    us_str_printf(&t->lines, "{\"step\":%llu,\"loss\":%.6g,\"loss_source\":%.6g,\"loss_%s\":%.6g",
                  (unsigned long long)t->step, source + destination, source,
                  t->identities > 2 ? "others" : "destination", destination);
    for (int i = 0; i < t->identities; i++) {
        print_terms(us_identity_name(i), &losses->faces[i], &t->lines);
    }
    if (t->config.arch.family == US_NN_COMB) {
        us_str_printf(&t->lines, ",\"size\":%d,\"fade\":%.4g", us_nn_arch_size(&t->config.arch),
                      t->config.arch.fading ? (double)t->config.arch.fade : 1.0);
    }
    us_str_printf(&t->lines, ",\"gradient_norm\":%.6g,\"seconds\":%.3f", losses->gradient_norm,
                  t->seconds);
    if (seconds > 0) {
        us_str_printf(&t->lines, ",\"images_per_second\":%.2f,\"data_wait\":%.4f",
                      (double)t->identities * (double)t->params->batch * US_METRICS_STEPS / seconds,
                      wait / seconds);
    }
    us_str_printf(&t->lines, "%s}\n", us_str_text(&ranks));
    us_str_finish(&ranks);
    t->line_seconds = t->seconds;
    t->line_wait_seconds = t->wait_seconds;
    return NULL;
}

/* The device makes the batch from faces that it has. */
static enum us_nn_status drawn_step(struct us_training *t, uint32_t variation,
                                    struct us_nn_losses *losses) {
    struct us_nn_turn turn;
    us_train_batches_turn(&t->batches, t->step, variation, &turn);
    const enum us_nn_status status = us_nn_trainer_step_drawn(t->trainer, &turn, losses);
    const char *note = us_nn_trainer_note(t->trainer);
    if (note && !t->noted) {
        us_task_warn(t->task, "%s", note);
        t->noted = true;
    }
    return status;
}

static enum us_nn_status made_step(struct us_training *t, uint32_t variation,
                                   struct us_nn_losses *losses) {
    const double before = now();
    const struct us_nn_batch *batch = us_train_batches_make(&t->batches, t->step, variation);
    t->wait_seconds += now() - before;
    if (t->config.device != US_NN_CPU) { /* whose step leaves processors idle */
        us_train_batches_ahead(&t->batches, t->step + 1, REPEATS * (uint32_t)t->generation);
    }
    return us_nn_trainer_step(t->trainer, batch, losses);
}

/* One update. A batch whose loss or gradient is not finite is passed over for another. */
static struct us_error *step(struct us_training *t, const float *init) {
    struct us_nn_losses losses;
    enum us_nn_status status = US_NN_NOT_FINITE;
    const double start = now();
    US_TRY(us_training_grow(t));
    const double grown = now(), waited = us_training_team_waited(t);
    for (uint32_t repeat = 0; repeat < REPEATS && status == US_NN_NOT_FINITE; repeat++) {
        const uint32_t variation = repeat + REPEATS * (uint32_t)t->generation;
        US_TRY(us_training_team_step(t, variation));
        status =
            t->batches.kept ? drawn_step(t, variation, &losses) : made_step(t, variation, &losses);
        if (status == US_NN_NOT_FINITE) {
            us_str_printf(&t->lines, "{\"event\":\"not_finite\",\"step\":%llu,\"repeat\":%u}\n",
                          (unsigned long long)t->step + 1, repeat);
        }
    }
    t->seconds += now() - start;
    us_training_team_note(t, now() - grown, waited);
    if (status == US_NN_LOST) {
        return us_training_team_lost(t, t->config.device == US_NN_CPU);
    }
    if (status == US_NN_NOT_FINITE) {
        return us_training_not_finite(t, init, "loss or gradient is not finite");
    }
    US_TRY(us_nn_error(status, "train"));
    note_loss(t, &losses);
    if (t->step % US_METRICS_STEPS == 0) {
        US_TRY(print_line(t, &losses));
    }
    return us_training_look(t, init);
}

static bool save_due(const struct us_training *t) {
    const struct train_params *p = t->params;
    return (p->checkpoint_steps > 0 && t->step % (uint64_t)p->checkpoint_steps == 0) ||
           (p->checkpoint_minutes > 0 && now() - t->saved_at >= 60 * p->checkpoint_minutes);
}

/* After a failure to save, the clock tries again before its time. */
static void save_failed(struct us_training *t, struct us_error *error) {
    const double interval = 60 * t->params->checkpoint_minutes;
    us_training_warn(t, error);
    t->saved_at = now() - interval + fmin(RETRY_SECONDS, interval);
}

static struct us_error *save_if_due(struct us_training *t, const float *init) {
    bool finite;
    struct us_error *failed = us_checkpoint_writer_poll(&t->writer);
    if (failed) {
        save_failed(t, failed);
    }
    if (!save_due(t)) {
        return NULL;
    }
    US_TRY(us_training_team_check(t));
    t->saved_at = now();
    failed = us_training_save(t, false, &finite);
    if (failed) {
        save_failed(t, failed);
        return NULL;
    }
    if (!finite) {
        return us_training_not_finite(t, init, "a weight is not finite");
    }
    failed = us_train_pictures(t);
    if (failed) {
        us_task_warn(t->task, "no pictures at step %llu: %s", (unsigned long long)t->step,
                     failed->text);
        us_error_free(failed);
    }
    return NULL;
}

static struct us_error *stopped(struct us_training *t, struct us_error *stop) {
    bool finite;
    us_training_warn(t, us_training_save(t, false, &finite));
    us_training_settle(t);
    return stop;
}

static bool reached(const struct us_training *t) {
    const double until = t->params->until_loss;
    return t->step >= t->target ||
           (!isnan(until) && t->step >= US_LOSS_WINDOW && us_training_loss(t, t->step) < until);
}

static void tell_status(struct us_training *t) {
    const unsigned long long step = t->step, target = t->target;
    if (step) {
        us_task_status(t->task, "step %llu of %llu, loss %.4f", step, target,
                       us_training_loss(t, t->step));
    } else {
        us_task_status(t->task, "step 0 of %llu", target);
    }
}

static struct us_error *report(struct us_training *t) {
    tell_status(t);
    struct us_error *stop = us_task_progress(t->task, (double)t->step / (double)t->target);
    return stop ? stopped(t, stop) : NULL;
}

struct us_error *us_training_run(struct us_training *t, const float *init) {
    bool finite = false;
    us_checkpoint_tidy(t->folder);
    US_TRY(us_training_resume(t, init));
    t->saved_at = now();
    while (!finite) {
        while (!reached(t)) {
            US_TRY(report(t));
            US_TRY(step(t, init));
            US_TRY(save_if_due(t, init));
        }
        us_training_settle(t);
        US_TRY(us_training_team_check(t));
        us_training_warn(t, us_training_save(t, true, &finite));
        us_training_settle(t);
        if (!finite) {
            US_TRY(us_training_not_finite(t, init, "a weight is not finite"));
        }
    }
    return us_training_parameters(t);
}
