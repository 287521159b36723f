#include <string.h>

#include "nodes/face/tflite_model.h"

enum { ALIGNMENT = 16 }; /* floats */

struct us_nhwc us_tflite_image(const struct us_tflite_tensor *t, float *data) {
    if (t->rank == 4 && t->shape[0] == 1) {
        return (struct us_nhwc){data, t->shape[1], t->shape[2], t->shape[3]};
    }
    return (struct us_nhwc){data, 1, 1, (int32_t)t->elements};
}

static size_t aligned(size_t floats) {
    return (floats + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* The lowest place where `tensor` overlaps no placed tensor that lives at the same time. `placed`
 * are in the order of their offsets. */
static size_t free_place(const struct us_tflite *model, const uint32_t *placed, uint32_t count,
                         const struct us_tflite_tensor *tensor) {
    size_t offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct us_tflite_tensor *other = &model->tensors[placed[i]];
        bool together = other->first <= tensor->last && tensor->first <= other->last;
        size_t end = other->offset + aligned(other->elements);
        if (together && offset < end && other->offset < offset + aligned(tensor->elements)) {
            offset = end;
        }
    }
    return offset;
}

static void insert(const struct us_tflite *model, uint32_t *placed, uint32_t count, uint32_t i) {
    for (; count > 0 && model->tensors[placed[count - 1]].offset > model->tensors[i].offset;
         count--) {
        placed[count] = placed[count - 1];
    }
    placed[count] = i;
}

void us_tflite_place(struct us_tflite *model) {
    uint32_t *placed = us_arena_alloc(&model->arena, model->tensor_count * sizeof *placed);
    uint32_t count = 0;
    size_t scratch = model->scratch;
    for (uint32_t i = 0; i < model->tensor_count; i++) {
        struct us_tflite_tensor *tensor = &model->tensors[i];
        if (!tensor->made || tensor->constant) {
            continue;
        }
        tensor->offset = free_place(model, placed, count, tensor);
        insert(model, placed, count++, i);
        size_t end = tensor->offset + aligned(tensor->elements);
        model->memory = end > model->memory ? end : model->memory;
    }
    model->scratch = model->memory;
    model->memory += aligned(scratch);
}

void us_tflite_input_shape(const struct us_tflite *model, int32_t shape[3]) {
    memcpy(shape, model->tensors[model->input].shape + 1, 3 * sizeof *shape);
}

size_t us_tflite_output_count(const struct us_tflite *model) {
    return model->output_count;
}

size_t us_tflite_output_size(const struct us_tflite *model, size_t index) {
    return model->tensors[model->outputs[index]].elements;
}

size_t us_tflite_memory(const struct us_tflite *model) {
    return model->memory;
}

float *us_tflite_input(const struct us_tflite *model, float *memory) {
    return memory + model->tensors[model->input].offset;
}

const float *us_tflite_output(const struct us_tflite *model, const float *memory, size_t index) {
    return memory + model->tensors[model->outputs[index]].offset;
}

static struct us_nhwc image_of(const struct us_tflite *model, int32_t tensor, float *memory) {
    const struct us_tflite_tensor *t = &model->tensors[tensor];
    return us_tflite_image(t, memory + t->offset);
}

static void concatenate(const struct us_tflite *model, const struct us_tflite_op *op,
                        float *memory) {
    float *to = memory + model->tensors[op->output].offset;
    for (size_t o = 0; o < op->outer; o++) {
        for (int32_t i = 0; i < op->input_count; i++) {
            const float *from = memory + model->tensors[op->inputs[i]].offset;
            memcpy(to, from + o * op->inner[i], op->inner[i] * sizeof *to);
            to += op->inner[i];
        }
    }
}

static void run_op(const struct us_tflite *model, const struct us_tflite_op *op, float *memory) {
    struct us_nhwc in = image_of(model, op->inputs[0], memory);
    struct us_nhwc out = image_of(model, op->output, memory);
    size_t count = model->tensors[op->output].elements;
    switch (op->kind) {
    case US_TFLITE_ADD: {
        struct us_nhwc other = image_of(model, op->inputs[1], memory);
        us_tflite_add(in.data, other.data, out.data, count, op->window.fused);
        return;
    }
    case US_TFLITE_CONCATENATION:
        concatenate(model, op, memory);
        return;
    case US_TFLITE_CONV_2D:
        us_tflite_conv(in, out, op->weights, op->bias, &op->window, memory + model->scratch);
        return;
    case US_TFLITE_DEPTHWISE_CONV_2D:
        us_tflite_depthwise(in, out, op->weights, op->bias, &op->window);
        return;
    case US_TFLITE_DEQUANTIZE:
        return;
    case US_TFLITE_MAX_POOL_2D:
        us_tflite_max_pool(in, out, &op->window);
        return;
    case US_TFLITE_RELU:
    case US_TFLITE_RELU6:
        us_tflite_relu(in.data, out.data, count, op->window.fused);
        return;
    case US_TFLITE_RESHAPE:
        memcpy(out.data, in.data, count * sizeof *out.data);
        return;
    case US_TFLITE_RESIZE_BILINEAR:
        us_tflite_resize_bilinear(in, out, op->align_corners, op->half_pixel_centers);
        return;
    case US_TFLITE_PAD:
        us_tflite_pad(in, out, op->before);
        return;
    case US_TFLITE_PRELU:
        us_tflite_prelu(in, op->weights, out.data);
        return;
    }
}

void us_tflite_run(const struct us_tflite *model, float *memory) {
    for (uint32_t i = 0; i < model->op_count; i++) {
        run_op(model, &model->ops[i], memory);
    }
}
