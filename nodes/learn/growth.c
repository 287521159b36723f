#include "nodes/learn/growth.h"

#include <math.h>
#include <string.h>

#include "nodes/learn/model_file.h"
#include "nodes/learn/training_state.h"
#include "nodes/learn/training_team.h"
#include "runtime/base/mem.h"

/* The size at a step, and the first step that has it. */
static int size_at(const struct train_params *p, int resolution, uint64_t step, uint64_t *begun) {
    const uint64_t each = (uint64_t)p->grow_steps;
    int size = (int)p->grow_start < resolution ? (int)p->grow_start : resolution;
    for (*begun = 0; size < resolution && step - *begun >= each; size *= 2) {
        *begun += each;
    }
    return size;
}

uint64_t us_growth_since(const struct train_params *p, const struct us_nn_arch *arch,
                         uint64_t step) {
    uint64_t begun = 0;
    if (arch->family == US_NN_COMB) {
        size_at(p, arch->resolution, step, &begun);
    }
    return begun;
}

void us_growth_at(const struct train_params *p, uint64_t step, struct us_nn_arch *arch) {
    if (arch->family != US_NN_COMB) {
        return;
    }
    const uint64_t half = ((uint64_t)p->grow_steps + 1) / 2;
    uint64_t begun;
    arch->size = size_at(p, arch->resolution, step, &begun);
    arch->fading = begun > 0 && step - begun < half;
    arch->fade = arch->fading ? ((float)(step - begun) + 0.5f) / (float)half : 0;
}

static bool same_shape(const struct us_nn_arch *a, const struct us_nn_arch *b) {
    return a->size == b->size && a->fading == b->fading;
}

/* Another trainer with the state of this one. */
static struct us_error *rebuild(struct us_training *t, const struct us_nn_arch *arch) {
    struct us_checkpoint state = {0};
    const uint64_t steps = us_nn_trainer_steps(t->trainer);
    struct us_error *error = us_training_read(t, &state);
    if (!error) {
        us_nn_trainer_destroy(t->trainer);
        t->trainer = NULL;
        t->config.arch = *arch;
        error = us_training_built(t, us_nn_trainer_create(&t->config, &t->trainer));
        t->together.trainer = t->trainer;
    }
    if (!error) {
        error = us_training_write(t, &state);
    }
    if (!error) {
        us_nn_trainer_set_steps(t->trainer, steps);
        /* at each size, as the other ranks do: what a device draws differs in its last bits */
        error = us_nn_error(us_train_batches_keep(&t->batches, t->trainer),
                            "give the faces to the device");
    }
    us_checkpoint_finish(&state);
    return error;
}

static struct us_error *shape(struct us_training *t, uint64_t step) {
    struct us_nn_arch arch = t->config.arch;
    us_growth_at(t->params, step, &arch);
    if (!same_shape(&arch, &t->config.arch)) {
        US_TRY(rebuild(t, &arch));
    }
    t->config.arch.fade = arch.fade;
    us_nn_trainer_set_fade(t->trainer, arch.fade);
    return NULL;
}

struct us_error *us_training_fit(struct us_training *t) {
    return shape(t, t->step > 0 ? t->step - 1 : 0);
}

struct us_error *us_training_used(const struct us_training *t, bool **used) {
    const struct us_nn_layout *layout = us_nn_trainer_layout(t->trainer);
    *used = us_calloc((size_t)layout->slice_count, sizeof **used);
    return us_nn_error(us_nn_layout_used(layout, &t->config.arch, *used), "look at the layers");
}

/* The moving average of a layer that joins is too small by the same part as all others. */
static void join(const struct us_training *t, const bool *before, const bool *now,
                 const float *weights, float *average) {
    const struct us_nn_layout *layout = us_nn_trainer_layout(t->trainer);
    const double decay = (double)t->config.optimizer.average_decay;
    const float part = (float)(1 - pow(decay, (double)t->step));
    for (int i = 0; i < layout->slice_count; i++) {
        const struct us_nn_slice *slice = &layout->slices[i];
        for (size_t k = slice->offset; now[i] && !before[i] && k < slice->offset + slice->count;
             k++) {
            average[k] = part * weights[k];
        }
    }
}

static struct us_error *join_all(struct us_training *t, const bool *before, const bool *now) {
    struct us_checkpoint state = {0};
    struct us_error *error = us_training_read(t, &state);
    if (!error && state.buffers[US_NN_AVERAGE]) {
        join(t, before, now, state.buffers[US_NN_PARAMETERS], state.buffers[US_NN_AVERAGE]);
        error = us_training_write(t, &state);
    }
    us_checkpoint_finish(&state);
    return error;
}

struct us_error *us_training_grow(struct us_training *t) {
    struct us_nn_arch last = t->config.arch, next = last;
    bool *before = NULL, *now = NULL;
    us_growth_at(t->params, t->step > 0 ? t->step - 1 : 0, &last);
    us_growth_at(t->params, t->step, &next);
    if (same_shape(&last, &next)) {
        return shape(t, t->step);
    }
    US_TRY(us_training_fit(t));
    struct us_error *error = us_training_used(t, &before);
    error = error ? error : shape(t, t->step);
    error = error ? error : us_training_used(t, &now);
    error = error ? error : join_all(t, before, now);
    error = error ? error : us_training_team_state(t);
    us_free(before);
    us_free(now);
    return error;
}
