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

const struct us_nn_layout *nn_cpu_layout(const struct us_nn_trainer *trainer) {
    const struct nn_cpu_trainer *t = (const struct nn_cpu_trainer *)trainer;
    return &t->params.layout;
}

enum us_nn_status nn_cpu_read(const struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                              float *flat) {
    const struct nn_cpu_trainer *t = (const struct nn_cpu_trainer *)trainer;
    const float *arena = arena_of(t, buffer);
    return arena ? nn_params_export(&t->params, arena, flat) : US_NN_BAD_CONFIG;
}

enum us_nn_status nn_cpu_write(struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                               const float *flat) {
    struct nn_cpu_trainer *t = (struct nn_cpu_trainer *)trainer;
    float *arena = arena_of(t, buffer);
    if (!arena || buffer == US_NN_GRADIENTS) {
        return US_NN_BAD_CONFIG;
    }
    return nn_params_import(&t->params, flat, arena);
}

enum us_nn_status nn_infer(struct nn_net *net, struct nn_tensor *input,
                           const struct nn_outputs outputs[2], enum us_nn_side decoder,
                           const float *faces, int count, float *images, float *masks) {
    const size_t area = (size_t)input->h * (size_t)input->w, face = 3 * area;
    float *in = nn_net_at(net, input->value);
    for (int done = 0; done < count; done += input->n) {
        const size_t part = (size_t)(count - done < input->n ? count - done : input->n);
        const size_t first = (size_t)done;
        memcpy(in, faces + first * face, part * face * sizeof *in);
        memset(in + part * face, 0, ((size_t)input->n - part) * face * sizeof *in);
        const enum us_nn_status status = nn_net_forward(net, 1 << decoder);
        if (status) {
            return status;
        }
        memcpy(images + first * face, nn_net_at(net, outputs[decoder].image->value),
               part * face * sizeof *images);
        if (masks) {
            memcpy(masks + first * area, nn_net_at(net, outputs[decoder].mask->value),
                   part * area * sizeof *masks);
        }
    }
    return US_NN_OK;
}

enum us_nn_status nn_cpu_infer(struct us_nn_trainer *trainer, enum us_nn_side decoder,
                               const float *faces, int count, float *images, float *masks) {
    struct nn_cpu_trainer *t = (struct nn_cpu_trainer *)trainer;
    omp_set_num_threads(t->base.config.threads);
    return nn_infer(&t->inference, t->inference_input, t->inference_outputs, decoder, faces, count,
                    images, masks);
}
