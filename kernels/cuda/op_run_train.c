#include "kernels/augment_cuda.h"
#include "kernels/cuda/op_run_internal.h"
#include "kernels/nn/loss_cuda.h"
#include "kernels/nn/optimizer_cuda.h"

static enum us_nn_status enter(void *context) {
    const struct us_op_run *run = context;
    return cudaSetDevice(run->ordinal) == cudaSuccess ? US_NN_OK : US_NN_FAILED;
}

enum us_nn_status us_op_run_loss(void *context, struct us_nn_loss_call *call) {
    struct us_desk desk;
    if (enter(context)) {
        return US_NN_FAILED;
    }
    us_desk_open(&desk);
    const size_t masks = (size_t)(call->count * call->size * call->size) * sizeof(float);
    const struct nn_cuda_loss_images images = {
        .image = us_desk_bytes(&desk, call->image, 3 * masks),
        .mask = us_desk_bytes(&desk, call->mask, masks),
        .target = us_desk_bytes(&desk, call->target, 3 * masks),
        .target_mask = us_desk_bytes(&desk, call->target_mask, masks),
        .priority = call->priority ? us_desk_bytes(&desk, call->priority, masks) : NULL,
        .image_gradient = us_desk_block(&desk, 3 * masks),
        .mask_gradient = us_desk_block(&desk, masks),
    };
    struct us_nn_loss_terms *terms = us_desk_block(&desk, sizeof *terms);
    void *scratch = us_desk_block(&desk, nn_cuda_loss_scratch(call->size, call->count));
    if (!desk.status) {
        us_desk_check(&desk, nn_cuda_loss(&call->weights, call->size, call->count, 1, &images,
                                          terms, scratch, desk.stream));
    }
    us_desk_read(&desk, terms, &call->terms, sizeof call->terms);
    us_desk_read(&desk, images.image_gradient, call->image_gradient, 3 * masks);
    us_desk_read(&desk, images.mask_gradient, call->mask_gradient, masks);
    return us_desk_close(&desk);
}

enum us_nn_status us_op_run_optimize(void *context, const struct us_nn_optimizer_call *call) {
    struct us_desk desk;
    if (enter(context)) {
        return US_NN_FAILED;
    }
    us_desk_open(&desk);
    const size_t count = call->count, bytes = count * sizeof(float);
    const struct nn_cuda_clock start = {.step = call->step - 1, .rate = call->optimizer.rate};
    struct nn_cuda_clock *clock = us_desk_bytes(&desk, &start, sizeof start);
    double *sum = us_desk_block(&desk, sizeof *sum);
    void *scratch = us_desk_block(&desk, nn_cuda_sum_scratch(count));
    const struct nn_cuda_parameters p = {
        .parameters = us_desk_bytes(&desk, call->parameters, bytes),
        .moment1 = us_desk_bytes(&desk, call->moment1, bytes),
        .moment2 = us_desk_bytes(&desk, call->moment2, bytes),
        .average = call->average ? us_desk_bytes(&desk, call->average, bytes) : NULL,
        .gradients = us_desk_bytes(&desk, call->gradients, bytes),
        .gradient_type = NN_CUDA_F32,
        .copy = us_desk_block(&desk, count * sizeof(uint16_t)),
        .count = count,
    };
    if (!desk.status) {
        us_desk_check(&desk, nn_cuda_sum_of_squares(NN_CUDA_F32, p.gradients, count, 1, false, sum,
                                                    scratch, desk.stream));
        us_desk_check(&desk, nn_cuda_optimizer_begin(&call->optimizer, clock, sum, 1, desk.stream));
        us_desk_check(&desk,
                      nn_cuda_optimizer_step(&call->optimizer, &p, clock, call->seed, desk.stream));
    }
    us_desk_read(&desk, p.parameters, call->parameters, bytes);
    us_desk_read(&desk, p.moment1, call->moment1, bytes);
    us_desk_read(&desk, p.moment2, call->moment2, bytes);
    if (call->average) {
        us_desk_read(&desk, p.average, call->average, bytes);
    }
    return us_desk_close(&desk);
}

enum us_nn_status us_op_run_augment(void *context, const struct us_nn_augment_call *call) {
    struct us_desk desk;
    if (enter(context)) {
        return US_NN_FAILED;
    }
    us_desk_open(&desk);
    const size_t area = (size_t)call->size * (size_t)call->size;
    const size_t masks = (size_t)call->batch * area * sizeof(float);
    const struct us_augment_turn now = {
        .step = call->step, .ranges = call->ranges, .stream = call->stream};
    const struct us_cuda_faces faces = {
        .faces = us_desk_bytes(&desk, call->faces, call->count * area * 4 * sizeof(uint16_t)),
        .count = call->count};
    const struct us_augment_turn *turn = us_desk_bytes(&desk, &now, sizeof now);
    void *scratch = us_desk_block(&desk, us_cuda_augment_scratch(call->batch));
    const struct us_cuda_augmented out = {.inputs = us_desk_block(&desk, 3 * masks),
                                          .targets = us_desk_block(&desk, 3 * masks),
                                          .masks = us_desk_block(&desk, masks)};
    if (!desk.status) {
        us_desk_check(&desk, us_cuda_augment(&faces, turn, call->seed, 0, call->batch, call->size,
                                             &out, scratch, desk.stream));
    }
    us_desk_read(&desk, out.inputs, call->inputs, 3 * masks);
    us_desk_read(&desk, out.targets, call->targets, 3 * masks);
    us_desk_read(&desk, out.masks, call->masks, masks);
    return us_desk_close(&desk);
}
