/* For tests of the trainer on the emulation: pictures, small networks, comparisons. */
#ifndef US_TESTS_KERNELS_CUDA_TRAINER_FIXTURE_H
#define US_TESTS_KERNELS_CUDA_TRAINER_FIXTURE_H

#include <math.h>
#include <string.h>

#include "emulation.h"
#include "kernels/cuda/trainer_internal.h"
#include "kernels/half.h"
#include "kernels/nn/engine_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "tests/support/check.h"

enum { FACES = 2, GPU = 1 };

static inline float *picture(int size, int planes, uint32_t stream) {
    float *values = us_nn_alloc((size_t)(planes * size * size) * sizeof *values);
    for (int i = 0; i < planes * size * size; i++) {
        uint32_t words[4];
        us_philox(3, stream, 0, (uint64_t)i, words);
        const float wave = sinf((float)(i % size) * 0.2f + (float)(i / size) * 0.13f);
        values[i] = 0.5f + 0.3f * wave + 0.1f * (us_philox_unit(words[0]) - 0.5f);
    }
    return values;
}

static inline struct us_nn_batch make_batch(int size, int identities) {
    struct us_nn_batch batch = {0};
    for (uint32_t i = 0; i < (uint32_t)identities; i++) {
        batch.faces[i].inputs = picture(size, 3 * FACES, 10 + i);
        batch.faces[i].targets = picture(size, 3 * FACES, 20 + i);
        batch.faces[i].masks = picture(size, FACES, 30 + i);
        batch.faces[i].priorities = picture(size, FACES, 40 + i);
    }
    return batch;
}

static inline void free_batch(struct us_nn_batch *batch) {
    for (int i = 0; i < US_NN_IDENTITIES; i++) {
        us_nn_free((float *)batch->faces[i].inputs);
        us_nn_free((float *)batch->faces[i].targets);
        us_nn_free((float *)batch->faces[i].masks);
        us_nn_free((float *)batch->faces[i].priorities);
    }
}

static inline struct us_nn_trainer_config config_of(const char *name, int resolution) {
    struct us_nn_trainer_config config = {
        .arch =
            {.resolution = resolution, .ae_dims = 8, .e_dims = 6, .d_dims = 5, .d_mask_dims = 4},
        .optimizer = us_nn_optimizer_usual(US_NN_ADABELIEF),
        .loss = us_nn_loss_usual(),
        .batch = FACES,
        .threads = 1,
        .seed = 11,
    };
    config.loss.priority = 3;
    config.optimizer.clip_norm = 1;
    config.optimizer.average_decay = 0.9f;
    assert_true(us_nn_arch_parse(name, &config.arch));
    return config;
}

static inline struct us_nn_trainer *create(const struct us_nn_trainer_config *config, int device) {
    struct us_nn_trainer *trainer;
    struct us_nn_trainer_config own = *config;
    own.device = device;
    const char *problem = us_nn_trainer_problem(&own);
    if (problem) {
        fail_msg("%s", problem);
    }
    assert_int_equal(us_nn_trainer_create(&own, &trainer), US_NN_OK);
    return trainer;
}

static inline float *read_buffer(struct us_nn_trainer *trainer, enum us_nn_buffer buffer) {
    float *flat = us_nn_alloc(us_nn_trainer_layout(trainer)->count * sizeof *flat);
    assert_int_equal(us_nn_trainer_read(trainer, buffer, flat), US_NN_OK);
    return flat;
}

static inline double distance(const float *a, const float *b, size_t count, double *norm) {
    double sum = 0, square = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = (double)a[i] - (double)b[i];
        sum += d * d;
        square += (double)a[i] * (double)a[i];
    }
    *norm = sqrt(square);
    return sqrt(sum);
}

static inline void assert_losses(const struct us_nn_losses *a, const struct us_nn_losses *b,
                                 int identities, double tolerance) {
    for (int i = 0; i < identities; i++) {
        const double *x = &a->faces[i].dssim, *y = &b->faces[i].dssim;
        for (int k = 0; k < 5; k++) {
            ASSERT_NEAR(y[k], x[k], tolerance * fabs(x[k]));
        }
        assert_true(a->faces[i].total > 0);
    }
    ASSERT_NEAR(b->total, a->total, tolerance * a->total);
    ASSERT_NEAR(b->gradient_norm, a->gradient_norm, 100 * tolerance * a->gradient_norm);
}

static inline void assert_same_bits(struct us_nn_trainer *a, struct us_nn_trainer *b) {
    static const enum us_nn_buffer buffers[] = {US_NN_PARAMETERS, US_NN_MOMENT1, US_NN_MOMENT2,
                                                US_NN_AVERAGE};
    for (int i = 0; i < 4; i++) {
        float *x = read_buffer(a, buffers[i]), *y = read_buffer(b, buffers[i]);
        assert_memory_equal(x, y, us_nn_trainer_layout(a)->count * sizeof *x);
        us_nn_free(x);
        us_nn_free(y);
    }
}

#endif
