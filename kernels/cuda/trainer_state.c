#include <cuda_runtime_api.h>
#include <string.h>

#include "kernels/cuda/trainer_internal.h"
#include "kernels/nn/pointwise_cuda.h"

static float *arena_of(const struct cu_trainer *t, enum us_nn_buffer buffer) {
    switch (buffer) {
    case US_NN_PARAMETERS:
        return t->masters;
    case US_NN_MOMENT1:
        return t->moment1;
    case US_NN_MOMENT2:
        return t->moment2;
    case US_NN_AVERAGE:
        return t->average;
    case US_NN_GRADIENTS:
        break;
    }
    return NULL;
}

static float *rest_of(const struct cu_trainer *t, enum us_nn_buffer buffer) {
    return buffer == US_NN_GRADIENTS ? NULL : t->rest[buffer];
}

/* Everything enqueued so far is done, whatever stream it is on. */
static enum us_nn_status come_to_rest(const struct cu_trainer *t) {
    const enum us_nn_status status = cu_trainer_use(t);
    return status ? status : cu_status(cudaDeviceSynchronize());
}

enum us_nn_status cu_trainer_read(const struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                                  float *flat) {
    const struct cu_trainer *t = (const struct cu_trainer *)trainer;
    const bool gradients = buffer == US_NN_GRADIENTS;
    const void *arena = gradients ? (const void *)t->gradients : arena_of(t, buffer);
    if (!arena) {
        return US_NN_BAD_CONFIG;
    }
    const float *rest = rest_of(t, buffer);
    if (rest) {
        memcpy(flat, rest, t->layout.count * sizeof *flat);
    } else {
        memset(flat, 0, t->layout.count * sizeof *flat); /* gradients of layers not had */
    }
    const enum us_nn_status status = come_to_rest(t);
    const enum nn_cuda_type type = gradients ? t->net.gradient_type : NN_CUDA_F32;
    return status ? status : cu_params_read(&t->params, type, arena, flat);
}

/* The multiplied weights follow the masters. */
static enum us_nn_status refresh_copies(struct cu_trainer *t) {
    if (!t->copies) {
        return US_NN_OK;
    }
    const enum us_nn_status status = cu_status(nn_cuda_cast(
        NN_CUDA_F32, t->masters, NN_CUDA_BF16, t->copies, t->params.arena_count, t->streams.at[0]));
    return status ? status : cu_status(cudaStreamSynchronize(t->streams.at[0]));
}

enum us_nn_status cu_trainer_write(struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                                   const float *flat) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    float *arena = arena_of(t, buffer);
    if (!arena || buffer == US_NN_GRADIENTS) {
        return US_NN_BAD_CONFIG;
    }
    if (rest_of(t, buffer)) {
        memcpy(rest_of(t, buffer), flat, t->layout.count * sizeof *flat);
    }
    enum us_nn_status status = come_to_rest(t);
    status = status ? status : cu_params_write(&t->params, flat, arena);
    if (!status && buffer == US_NN_PARAMETERS) {
        status = refresh_copies(t);
    }
    return status;
}

enum us_nn_status cu_trainer_infer(struct us_nn_trainer *trainer, enum us_nn_side decoder,
                                   const float *faces, int count, float *images, float *masks) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    const enum us_nn_status status = cu_trainer_use(t);
    return status ? status
                  : cu_net_infer(&t->inference, &t->streams, decoder, faces, count, images, masks);
}
