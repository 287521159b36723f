#include <string.h>

#include "nodes/face/tflite_model.h"

enum { SAME, VALID };
enum { MAX_CHANNELS = 1 << 16, MAX_STEP = 1 << 10 };

static struct us_tflite_tensor *input_of(struct us_tflite *model, const struct us_tflite_op *op,
                                         int32_t index) {
    return &model->tensors[op->inputs[index]];
}

static bool is_image(const struct us_tflite_tensor *t) {
    return t->rank == 4 && t->shape[0] == 1 && t->type == US_TFLITE_FLOAT32 && !t->constant;
}

static struct us_error *need_inputs(const struct us_tflite_op *op, const char *name, int32_t low,
                                    int32_t high) {
    return op->input_count >= low && op->input_count <= high
               ? NULL
               : us_fail(US_FAILED, "%s has %d inputs, wanted %d to %d", name, op->input_count, low,
                         high);
}

/* The activations an operator maps, both images; `weights` is the first constant input. */
static struct us_error *need_images(struct us_tflite *model, const struct us_tflite_op *op,
                                    const char *name) {
    return is_image(input_of(model, op, 0)) && is_image(&model->tensors[op->output])
               ? NULL
               : us_fail(US_FAILED, "%s wants one float image of batch 1 in and out", name);
}

static struct us_error *read_fused(struct us_flat *flat, size_t options, unsigned field,
                                   enum us_fused *fused) {
    int32_t code = us_flat_byte(flat, options, field, 0);
    if (code != 0 && code != 1 && code != 3) {
        return us_fail(US_FAILED, "fused activation %d is not known (none, RELU, RELU6)", code);
    }
    *fused = code == 0 ? US_FUSED_NONE : code == 1 ? US_FUSED_RELU : US_FUSED_RELU6;
    return NULL;
}

/* Output size and padding in one direction, as TFLite computes them. */
static bool fit(int32_t in, int32_t kernel, int32_t stride, int32_t padding, int32_t out,
                int32_t *before) {
    *before = 0;
    if (padding == VALID) {
        return in >= kernel && out == (in - kernel) / stride + 1;
    }
    if (out != (in + stride - 1) / stride) {
        return false;
    }
    int32_t needed = (out - 1) * stride + kernel - in; /* less than kernel + stride */
    *before = needed > 0 ? needed / 2 : 0;
    return true;
}

static struct us_error *fit_window(struct us_tflite *model, struct us_tflite_op *op,
                                   struct us_flat *flat, size_t options) {
    const struct us_tflite_tensor *in = input_of(model, op, 0), *out = &model->tensors[op->output];
    struct us_sliding *w = &op->window;
    int32_t padding = us_flat_byte(flat, options, 0, SAME);
    w->stride_x = us_flat_int(flat, options, 1, 0);
    w->stride_y = us_flat_int(flat, options, 2, 0);
    if (padding > VALID || w->stride_x < 1 || w->stride_y < 1 || w->stride_x > MAX_STEP ||
        w->stride_y > MAX_STEP || w->kernel_height < 1 || w->kernel_width < 1 ||
        w->kernel_height > MAX_STEP || w->kernel_width > MAX_STEP) {
        return us_fail(US_FAILED, "window %dx%d with stride %dx%d and padding %d is not known",
                       w->kernel_width, w->kernel_height, w->stride_x, w->stride_y, padding);
    }
    if (!fit(in->shape[1], w->kernel_height, w->stride_y, padding, out->shape[1], &w->pad_top) ||
        !fit(in->shape[2], w->kernel_width, w->stride_x, padding, out->shape[2], &w->pad_left)) {
        return us_fail(US_FAILED, "an output of %dx%d does not follow from an input of %dx%d",
                       out->shape[2], out->shape[1], in->shape[2], in->shape[1]);
    }
    return NULL;
}

static struct us_error *take_bias(struct us_tflite *model, struct us_tflite_op *op,
                                  int32_t channels) {
    size_t padded = ((size_t)channels + US_TFLITE_BLOCK - 1) / US_TFLITE_BLOCK * US_TFLITE_BLOCK;
    float *bias = NULL;
    US_TRY(us_tflite_store(model, padded, &bias));
    op->bias = bias;
    if (op->input_count < 3) {
        return NULL;
    }
    const struct us_tflite_tensor *t = input_of(model, op, 2);
    if (!t->constant || t->elements != (size_t)channels) {
        return us_fail(US_FAILED, "the bias is not %d stored floats", channels);
    }
    memcpy(bias, t->constant, t->elements * sizeof *bias);
    return NULL;
}

static struct us_error *prepare_conv(struct us_tflite *model, struct us_tflite_op *op,
                                     struct us_flat *flat, size_t options) {
    US_TRY(need_inputs(op, "CONV_2D", 2, 3));
    US_TRY(need_images(model, op, "CONV_2D"));
    const struct us_tflite_tensor *in = input_of(model, op, 0), *out = &model->tensors[op->output];
    const struct us_tflite_tensor *w = input_of(model, op, 1);
    if (!w->constant || w->rank != 4 || w->shape[0] != out->shape[3] ||
        w->shape[3] != in->shape[3] || w->shape[0] > MAX_CHANNELS) {
        return us_fail(US_FAILED, "CONV_2D's weights do not fit its %d input channels",
                       in->shape[3]);
    }
    op->window.kernel_height = w->shape[1];
    op->window.kernel_width = w->shape[2];
    US_TRY(fit_window(model, op, flat, options));
    US_TRY(read_fused(flat, options, 3, &op->window.fused));
    if (us_flat_int(flat, options, 4, 1) != 1 || us_flat_int(flat, options, 5, 1) != 1) {
        return us_fail(US_FAILED, "a dilated CONV_2D is not known");
    }
    int32_t taps = w->shape[1] * w->shape[2];
    float *packed = NULL;
    US_TRY(
        us_tflite_store(model, us_tflite_packed_floats(taps, w->shape[3], w->shape[0]), &packed));
    us_tflite_pack_weights(w->constant, taps, w->shape[3], w->shape[0], packed);
    op->weights = packed;
    size_t scratch = us_tflite_conv_scratch(&op->window, in->shape[3], out->shape[2]);
    model->scratch = scratch > model->scratch ? scratch : model->scratch;
    return take_bias(model, op, out->shape[3]);
}

static struct us_error *prepare_depthwise(struct us_tflite *model, struct us_tflite_op *op,
                                          struct us_flat *flat, size_t options) {
    US_TRY(need_inputs(op, "DEPTHWISE_CONV_2D", 2, 3));
    US_TRY(need_images(model, op, "DEPTHWISE_CONV_2D"));
    const struct us_tflite_tensor *in = input_of(model, op, 0), *out = &model->tensors[op->output];
    const struct us_tflite_tensor *w = input_of(model, op, 1);
    if (!w->constant || w->rank != 4 || w->shape[0] != 1 || w->shape[3] != in->shape[3] ||
        out->shape[3] != in->shape[3] || us_flat_int(flat, options, 3, 1) != 1) {
        return us_fail(US_FAILED, "DEPTHWISE_CONV_2D's weights do not fit its %d channels",
                       in->shape[3]);
    }
    op->window.kernel_height = w->shape[1];
    op->window.kernel_width = w->shape[2];
    op->weights = w->constant;
    US_TRY(fit_window(model, op, flat, options));
    US_TRY(read_fused(flat, options, 4, &op->window.fused));
    if (us_flat_int(flat, options, 5, 1) != 1 || us_flat_int(flat, options, 6, 1) != 1) {
        return us_fail(US_FAILED, "a dilated DEPTHWISE_CONV_2D is not known");
    }
    return take_bias(model, op, out->shape[3]);
}

static struct us_error *prepare_pool(struct us_tflite *model, struct us_tflite_op *op,
                                     struct us_flat *flat, size_t options) {
    US_TRY(need_images(model, op, "MAX_POOL_2D"));
    const struct us_tflite_tensor *in = input_of(model, op, 0), *out = &model->tensors[op->output];
    op->window.kernel_width = us_flat_int(flat, options, 3, 0);
    op->window.kernel_height = us_flat_int(flat, options, 4, 0);
    US_TRY(read_fused(flat, options, 5, &op->window.fused));
    if (out->shape[3] != in->shape[3]) {
        return us_fail(US_FAILED, "MAX_POOL_2D changes the channels");
    }
    return fit_window(model, op, flat, options);
}

static struct us_error *prepare_pad(struct us_tflite *model, struct us_tflite_op *op) {
    US_TRY(need_inputs(op, "PAD", 2, 2));
    US_TRY(need_images(model, op, "PAD"));
    const struct us_tflite_tensor *in = input_of(model, op, 0), *out = &model->tensors[op->output];
    const struct us_tflite_tensor *t = input_of(model, op, 1);
    if (!t->data || t->type != US_TFLITE_INT32 || t->elements != 8) {
        return us_fail(US_FAILED, "PAD wants four stored pairs of integers");
    }
    int32_t pads[8];
    memcpy(pads, t->data, sizeof pads);
    for (int i = 0; i < 4; i++) {
        int64_t total = (int64_t)in->shape[i] + pads[2 * i] + pads[2 * i + 1];
        if (pads[2 * i] < 0 || pads[2 * i + 1] < 0 || total != out->shape[i]) {
            return us_fail(US_FAILED, "PAD by %d and %d does not lead from %d to %d", pads[2 * i],
                           pads[2 * i + 1], in->shape[i], out->shape[i]);
        }
    }
    memcpy(op->before, (int32_t[3]){pads[2], pads[4], pads[6]}, sizeof op->before);
    return NULL;
}

static struct us_error *prepare_equal(struct us_tflite *model, const struct us_tflite_op *op,
                                      int32_t inputs, const char *name) {
    US_TRY(need_inputs(op, name, inputs, inputs));
    const struct us_tflite_tensor *out = &model->tensors[op->output];
    for (int32_t i = 0; i < inputs; i++) {
        const struct us_tflite_tensor *in = input_of(model, op, i);
        if (in->elements != out->elements || in->type != US_TFLITE_FLOAT32 || in->constant) {
            return us_fail(US_FAILED, "%s wants float inputs as large as its output", name);
        }
    }
    return NULL;
}

static struct us_error *prepare_prelu(struct us_tflite *model, struct us_tflite_op *op) {
    US_TRY(need_inputs(op, "PRELU", 2, 2));
    US_TRY(need_images(model, op, "PRELU"));
    const struct us_tflite_tensor *in = input_of(model, op, 0), *out = &model->tensors[op->output];
    const struct us_tflite_tensor *slopes = input_of(model, op, 1);
    if (!slopes->constant || slopes->elements != (size_t)in->shape[3] ||
        memcmp(in->shape, out->shape, sizeof in->shape) != 0) {
        return us_fail(US_FAILED, "PRELU wants one stored slope for each of %d channels",
                       in->shape[3]);
    }
    op->weights = slopes->constant;
    return NULL;
}

static struct us_error *prepare_resize(struct us_tflite *model, struct us_tflite_op *op,
                                       struct us_flat *flat, size_t options) {
    US_TRY(need_images(model, op, "RESIZE_BILINEAR"));
    const struct us_tflite_tensor *in = input_of(model, op, 0), *out = &model->tensors[op->output];
    op->align_corners = us_flat_byte(flat, options, 2, 0) != 0;
    op->half_pixel_centers = us_flat_byte(flat, options, 3, 0) != 0;
    return in->shape[3] == out->shape[3]
               ? NULL
               : us_fail(US_FAILED, "RESIZE_BILINEAR changes the channels");
}

/* Copies runs of `inner` values from each input in turn, `outer` times. */
static struct us_error *prepare_concat(struct us_tflite *model, struct us_tflite_op *op,
                                       struct us_flat *flat, size_t options) {
    const struct us_tflite_tensor *out = &model->tensors[op->output];
    int32_t axis = us_flat_int(flat, options, 0, 0);
    axis += axis < 0 ? out->rank : 0;
    if (axis < 0 || axis >= out->rank || us_flat_byte(flat, options, 1, 0) != 0) {
        return us_fail(US_FAILED, "CONCATENATION along axis %d is not known", axis);
    }
    op->outer = 1;
    for (int32_t i = 0; i < axis; i++) {
        op->outer *= (size_t)out->shape[i];
    }
    size_t total = 0;
    for (int32_t i = 0; i < op->input_count; i++) {
        const struct us_tflite_tensor *in = input_of(model, op, i);
        bool same = in->rank == out->rank && in->type == US_TFLITE_FLOAT32 && !in->constant;
        for (int32_t d = 0; same && d < out->rank; d++) {
            same = d == axis || in->shape[d] == out->shape[d];
        }
        if (!same) {
            return us_fail(US_FAILED, "CONCATENATION's input %d has another shape", i);
        }
        op->inner[i] = in->elements / op->outer;
        total += in->elements;
    }
    return total == out->elements ? NULL
                                  : us_fail(US_FAILED, "CONCATENATION gives %zu values, not %zu",
                                            total, out->elements);
}

static struct us_error *prepare_dequantize(struct us_tflite *model, const struct us_tflite_op *op) {
    const struct us_tflite_tensor *in = input_of(model, op, 0);
    struct us_tflite_tensor *out = &model->tensors[op->output];
    if (!in->constant || in->elements != out->elements) {
        return us_fail(US_FAILED, "DEQUANTIZE is known for stored float16 values only");
    }
    out->constant = in->constant;
    return NULL;
}

struct us_error *us_tflite_prepare(struct us_tflite *model, struct us_tflite_op *op,
                                   struct us_flat *flat, size_t options) {
    switch (op->kind) {
    case US_TFLITE_ADD:
        US_TRY(read_fused(flat, options, 0, &op->window.fused));
        return prepare_equal(model, op, 2, "ADD");
    case US_TFLITE_CONCATENATION:
        return prepare_concat(model, op, flat, options);
    case US_TFLITE_CONV_2D:
        return prepare_conv(model, op, flat, options);
    case US_TFLITE_DEPTHWISE_CONV_2D:
        return prepare_depthwise(model, op, flat, options);
    case US_TFLITE_DEQUANTIZE:
        return prepare_dequantize(model, op);
    case US_TFLITE_MAX_POOL_2D:
        return prepare_pool(model, op, flat, options);
    case US_TFLITE_RELU:
    case US_TFLITE_RELU6:
        op->window.fused = op->kind == US_TFLITE_RELU ? US_FUSED_RELU : US_FUSED_RELU6;
        return prepare_equal(model, op, 1, "RELU");
    case US_TFLITE_RESHAPE:
        op->input_count = 1;
        return prepare_equal(model, op, 1, "RESHAPE");
    case US_TFLITE_RESIZE_BILINEAR:
        return prepare_resize(model, op, flat, options);
    case US_TFLITE_PAD:
        return prepare_pad(model, op);
    case US_TFLITE_PRELU:
        return prepare_prelu(model, op);
    }
    return us_fail(US_FAILED, "builtin operator %d is not known", (int)op->kind);
}
