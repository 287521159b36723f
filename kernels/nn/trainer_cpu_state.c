#include <omp.h>
#include <string.h>

#include "kernels/nn/trainer_internal.h"

static float *arena_of(const struct nn_cpu_trainer *t, enum us_nn_buffer buffer) {
    switch (buffer) {
    case US_NN_PARAMETERS:
        return t->weights;
    case US_NN_MOMENT1:
        return t->moment1;
    case US_NN_MOMENT2:
        return t->moment2;
    case US_NN_AVERAGE:
        return t->average;
    case US_NN_GRADIENTS:
        return t->gradients;
    }
    return NULL;
}

static float *rest_of(const struct nn_cpu_trainer *t, enum us_nn_buffer buffer) {
    return buffer < sizeof t->rest / sizeof *t->rest ? t->rest[buffer] : NULL;
}

const struct us_nn_layout *nn_cpu_layout(const struct us_nn_trainer *trainer) {
    const struct nn_cpu_trainer *t = (const struct nn_cpu_trainer *)trainer;
    return &t->params.layout;
}

enum us_nn_status nn_cpu_read(const struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                              float *flat) {
    const struct nn_cpu_trainer *t = (const struct nn_cpu_trainer *)trainer;
    const float *arena = arena_of(t, buffer), *rest = rest_of(t, buffer);
    if (!arena) {
        return US_NN_BAD_CONFIG;
    }
    if (rest) {
        memcpy(flat, rest, t->params.layout.count * sizeof *flat);
    } else {
        memset(flat, 0, t->params.layout.count * sizeof *flat); /* gradients of layers not had */
    }
    return nn_params_export(&t->params, arena, flat);
}

enum us_nn_status nn_cpu_write(struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                               const float *flat) {
    struct nn_cpu_trainer *t = (struct nn_cpu_trainer *)trainer;
    float *arena = arena_of(t, buffer);
    if (!arena || buffer == US_NN_GRADIENTS) {
        return US_NN_BAD_CONFIG;
    }
    if (rest_of(t, buffer)) {
        memcpy(rest_of(t, buffer), flat, t->params.layout.count * sizeof *flat);
    }
    return nn_params_import(&t->params, flat, arena);
}

enum us_nn_status nn_cpu_infer(struct us_nn_trainer *trainer, enum us_nn_side decoder,
                               const float *faces, int count, float *images, float *masks) {
    struct nn_cpu_trainer *t = (struct nn_cpu_trainer *)trainer;
    omp_set_num_threads(t->base.config.threads);
    return nn_network_infer(&t->inference, (int)decoder, faces, count, images, masks);
}

/* FNV-1a over where each layer's weights and biases lie, in blocks of how many channels. */
uint64_t nn_cpu_arrangement(const struct us_nn_trainer *trainer) {
    const struct nn_params *p = &((const struct nn_cpu_trainer *)trainer)->params;
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < p->count; i++) {
        const struct nn_weight *w = &p->weights[i];
        const uint64_t place[] = {w->offset, w->count, w->bias_offset, (uint64_t)p->block};
        for (size_t k = 0; k < sizeof place / sizeof *place; k++) {
            hash = (hash ^ place[k]) * 1099511628211u;
        }
    }
    return hash;
}
