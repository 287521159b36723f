#include "nodes/learn/training_state.h"

#include <math.h>
#include <string.h>

#include "nodes/learn/growth.h"
#include "nodes/learn/model_file.h"
#include "nodes/learn/training_guard.h"
#include "nodes/learn/training_team.h"
#include "runtime/base/mem.h"

static const enum us_nn_buffer buffers[US_CHECKPOINT_BUFFERS] = {US_NN_PARAMETERS, US_NN_MOMENT1,
                                                                 US_NN_MOMENT2, US_NN_AVERAGE};

static int buffer_count(const struct us_training *t) {
    return t->config.optimizer.average_decay > 0 ? 4 : 3;
}

double us_losses_mean(const float *losses, uint64_t step, uint64_t window, int side) {
    const uint64_t from = step > window ? step - window : 0;
    double sum = 0;
    for (uint64_t i = from; i < step; i++) {
        sum += (double)losses[2 * i + (uint64_t)side];
    }
    return step > 0 ? sum / (double)(step - from) : 0;
}

static bool all_finite(const float *values, size_t count) {
    float sum = 0; /* of zeros, unless one is not finite */
    for (size_t i = 0; i < count; i++) {
        sum += values[i] * 0.0f;
    }
    return sum == 0;
}

struct us_error *us_training_read(const struct us_training *t, struct us_checkpoint *state) {
    state->count = us_nn_trainer_layout(t->trainer)->count;
    for (int i = 0; i < buffer_count(t); i++) {
        state->buffers[i] = us_try_alloc_pixels(state->count * sizeof(float));
        if (!state->buffers[i]) {
            return us_fail(US_RETRY, "no memory to save %zu weights", state->count);
        }
        US_TRY(us_nn_error(us_nn_trainer_read(t->trainer, buffers[i], state->buffers[i]),
                           "read the net's state"));
    }
    return NULL;
}

struct us_error *us_training_write(struct us_training *t, const struct us_checkpoint *state) {
    for (int i = 0; i < buffer_count(t); i++) {
        US_TRY(us_nn_error(us_nn_trainer_write(t->trainer, buffers[i], state->buffers[i]),
                           "restore the net's state"));
    }
    return NULL;
}

static struct us_error *read_judges(const struct us_training *t, struct us_checkpoint *state,
                                    bool *finite) {
    state->judge_count = us_nn_trainer_judge_count(t->trainer);
    if (state->judge_count == 0) {
        return NULL;
    }
    state->judges = us_try_alloc_pixels(state->judge_count * sizeof(float));
    if (!state->judges) {
        return us_fail(US_RETRY, "no memory to save %zu weights", state->judge_count);
    }
    US_TRY(us_nn_error(us_nn_trainer_read_judges(t->trainer, state->judges),
                       "read the discriminators' state"));
    *finite = *finite && all_finite(state->judges, state->judge_count);
    return NULL;
}

/* A copy of all that a checkpoint has. */
static struct us_error *take_state(const struct us_training *t, struct us_checkpoint *state,
                                   bool *finite) {
    const size_t bytes = 2 * (size_t)t->step * sizeof(float);
    *state = (struct us_checkpoint){.step = t->step,
                                    .generation = t->generation,
                                    .returns = t->returns,
                                    .trouble = t->trouble,
                                    .returned_to = t->returned_to,
                                    .seconds = t->seconds,
                                    .wait_seconds = t->wait_seconds};
    US_TRY(us_training_read(t, state));
    *finite = true;
    for (int i = 0; i < buffer_count(t); i++) {
        *finite = *finite && all_finite(state->buffers[i], state->count);
    }
    US_TRY(read_judges(t, state, finite));
    state->losses = us_try_alloc_pixels(bytes + 1);
    if (!state->losses) {
        return us_fail(US_RETRY, "no memory to save %zu bytes of losses", bytes);
    }
    memcpy(state->losses, t->losses, bytes);
    state->lines = us_strdup(us_str_text(&t->lines));
    return NULL;
}

struct us_error *us_training_save(struct us_training *t, bool final, bool *finite) {
    const struct us_loss_guard guard = us_training_loss_guard(t);
    const struct us_checkpoint_order order = {.folder = t->folder,
                                              .final = final,
                                              .good = us_loss_guard_good(&guard, t->step),
                                              .keep = (int)t->params->checkpoint_keep};
    struct us_checkpoint state;
    *finite = true;
    struct us_error *error = take_state(t, &state, finite);
    if (!error && *finite) {
        return us_checkpoint_writer_start(&t->writer, &order, &state);
    }
    us_checkpoint_finish(&state);
    return error;
}

void us_training_warn(struct us_training *t, struct us_error *error) {
    if (error) {
        const struct us_error *inner = error;
        while (inner->cause) {
            inner = inner->cause;
        }
        us_task_warn(t->task, "%s%s%s; the checkpoint before it stands, and training goes on",
                     error->text, inner == error ? "" : ": ", inner == error ? "" : inner->text);
        us_error_free(error);
    }
}

void us_training_settle(struct us_training *t) {
    us_training_warn(t, us_checkpoint_writer_wait(&t->writer));
}

/* First step at which a training would have stopped for its loss; `step` when it would not. */
static uint64_t first_stop(const float *losses, uint64_t step, double until) {
    for (uint64_t s = US_LOSS_WINDOW; !isnan(until) && s < step; s++) {
        if (us_losses_mean(losses, s, US_LOSS_WINDOW, 0) +
                us_losses_mean(losses, s, US_LOSS_WINDOW, 1) <
            until) {
            return s;
        }
    }
    return step;
}

static struct us_error *adopt(struct us_training *t, struct us_checkpoint *state) {
    US_TRY(us_training_write(t, state));
    US_TRY(us_nn_error(us_nn_trainer_write_judges(t->trainer, state->judges),
                       "restore the discriminators' state"));
    us_nn_trainer_set_steps(t->trainer, state->step);
    us_free(t->losses);
    t->losses = state->losses;
    t->loss_capacity = (size_t)state->step;
    state->losses = NULL;
    us_str_clear(&t->lines);
    us_str_append(&t->lines, state->lines);
    t->step = state->step;
    t->generation = state->generation;
    t->returns = state->returns;
    t->trouble = state->trouble;
    t->returned_to = state->returned_to;
    t->seconds = t->line_seconds = state->seconds;
    t->wait_seconds = t->line_wait_seconds = state->wait_seconds;
    return us_training_fit(t);
}

static struct us_error *start_anew(struct us_training *t, const float *init) {
    const struct us_nn_layout *layout = us_nn_trainer_layout(t->trainer);
    float *values = us_try_alloc_pixels(layout->count * sizeof *values);
    if (!values) {
        return us_fail(US_RETRY, "no memory for %zu weights", layout->count);
    }
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < buffer_count(t) && status == US_NN_OK; i++) {
        if (buffers[i] != US_NN_PARAMETERS) {
            memset(values, 0, layout->count * sizeof *values);
        } else if (init) {
            memcpy(values, init, layout->count * sizeof *values);
        } else {
            us_nn_layout_initialise(layout, t->config.seed, values);
        }
        status = us_nn_trainer_write(t->trainer, buffers[i], values);
    }
    us_free(values);
    status = status ? status : us_nn_trainer_write_judges(t->trainer, NULL);
    us_nn_trainer_set_steps(t->trainer, 0);
    us_str_clear(&t->lines);
    t->step = t->generation = t->returns = t->trouble = t->returned_to = 0;
    t->seconds = t->wait_seconds = t->line_seconds = t->line_wait_seconds = 0;
    US_TRY(us_nn_error(status, "set the first weights"));
    return us_training_fit(t);
}

/* Tries one checkpoint; *limit falls when it shows that the training stops before it. */
static struct us_error *try_checkpoint(struct us_training *t, uint64_t step, uint64_t *limit,
                                       bool *adopted) {
    struct us_checkpoint state = {0};
    const struct us_checkpoint_shape shape = {.count = us_nn_trainer_layout(t->trainer)->count,
                                              .buffers = buffer_count(t),
                                              .judge_count = us_nn_trainer_judge_count(t->trainer)};
    struct us_error *error = us_checkpoint_read(t->folder, step, &shape, &state);
    *adopted = false;
    if (error) {
        us_task_warn(t->task, "%s (%s); an older one is used", error->text,
                     error->cause ? error->cause->text : "no more is known");
        us_error_free(error);
    } else {
        *limit = first_stop(state.losses, step, t->params->until_loss);
        *adopted = *limit == step;
        error = *adopted ? adopt(t, &state) : NULL;
        us_checkpoint_finish(&state);
        return error;
    }
    us_checkpoint_finish(&state);
    return NULL;
}

struct us_error *us_training_restore(struct us_training *t, uint64_t limit, const float *init) {
    uint64_t *steps;
    size_t count;
    bool adopted = false;
    struct us_error *error = NULL;
    us_checkpoint_list(t->folder, &steps, &count);
    for (size_t i = count; i-- > 0 && !adopted && !error;) {
        if (steps[i] <= limit) {
            error = try_checkpoint(t, steps[i], &limit, &adopted);
        }
    }
    us_free(steps);
    if (!error && !adopted) {
        error = start_anew(t, init);
    }
    return error ? error : us_training_team_state(t);
}

struct us_error *us_training_resume(struct us_training *t, const float *init) {
    return us_training_restore(t, t->target, init);
}

/* Layers of sizes that a comb is not at have no average that counts. */
static struct us_error *take_weights(struct us_training *t) {
    const struct us_nn_layout *layout = us_nn_trainer_layout(t->trainer);
    float *weights = us_try_alloc_pixels(layout->count * sizeof *weights);
    bool *used = NULL;
    struct us_error *error = weights
                                 ? us_training_used(t, &used)
                                 : us_fail(US_RETRY, "no memory for %zu weights", layout->count);
    if (!error) {
        error = us_nn_error(us_nn_trainer_read(t->trainer, US_NN_PARAMETERS, weights),
                            "read the weights");
    }
    for (int i = 0; i < layout->slice_count && !error; i++) {
        const struct us_nn_slice *slice = &layout->slices[i];
        if (!used[i]) {
            memcpy(t->parameters + slice->offset, weights + slice->offset,
                   slice->count * sizeof *weights);
        }
    }
    us_free(used);
    us_free(weights);
    return error;
}

/* The moving average starts at 0, so that after few steps it is too small by a known part (as the
 * moments of Adam are). */
struct us_error *us_training_parameters(struct us_training *t) {
    const double decay = (double)t->config.optimizer.average_decay;
    const enum us_nn_buffer buffer = decay > 0 ? US_NN_AVERAGE : US_NN_PARAMETERS;
    const size_t count = us_nn_trainer_layout(t->trainer)->count;
    if (!t->parameters) {
        t->parameters = us_try_alloc_pixels(count * sizeof(float));
    }
    if (!t->parameters) {
        return us_fail(US_RETRY, "no memory for %zu weights", count);
    }
    US_TRY(us_nn_error(us_nn_trainer_read(t->trainer, buffer, t->parameters), "read the weights"));
    const float scale = (float)(1 / (1 - pow(decay, (double)t->step)));
    for (size_t i = 0; i < count && decay > 0; i++) {
        t->parameters[i] *= scale;
    }
    return decay > 0 && t->config.arch.family == US_NN_COMB ? take_weights(t) : NULL;
}
