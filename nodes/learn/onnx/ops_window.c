#include <string.h>

#include "kernels/nn/onnx_ops.h"
#include "nodes/learn/onnx/window.h"

struct pool {
    struct us_onnx_window window;
    int32_t in[2], out[2];
};

static struct us_error *set_out(struct us_onnx_net *net, struct us_onnx_op *op,
                                const int64_t size[2]) {
    struct us_onnx_shape out = us_onnx_in(net, op, 0)->shape;
    for (int i = 2; i < out.rank; i++) {
        out.dims[i] = size[2 - out.rank + i];
    }
    return us_onnx_shape_out(net, op, 0, false, &out);
}

static struct us_error *prepare_pool(struct us_onnx_net *net, struct us_onnx_op *op) {
    const int64_t none[2] = {1, 1};
    struct us_onnx_sliding w;
    struct pool *pool;
    US_TRY(us_onnx_read_window(net, op, none, &w));
    US_TRY(us_onnx_slide(&w, us_onnx_int(op, "ceil_mode", 0) != 0));
    if (!us_onnx_attribute(op->node, "kernel_shape") || us_onnx_out(net, op, 1)) {
        return us_fail(US_FAILED, "it has no kernel_shape, or gives indices");
    }
    US_TRY(set_out(net, op, w.out));
    US_TRY(us_onnx_keep(net, sizeof *pool, &pool));
    op->plan = pool;
    for (int i = 0; i < 2; i++) {
        pool->in[i] = (int32_t)w.in[i];
        pool->out[i] = (int32_t)w.out[i];
        pool->window.kernel[i] = (int32_t)w.kernel[i];
        pool->window.stride[i] = (int32_t)w.stride[i];
        pool->window.dilation[i] = (int32_t)w.dilation[i];
        pool->window.before[i] = (int32_t)w.before[i];
        pool->window.after[i] = (int32_t)w.after[i];
        if (w.in[i] > 1 << 24 || w.out[i] > 1 << 24 || w.kernel[i] * w.dilation[i] > 1 << 24) {
            return us_fail(US_FAILED, "its input is %s",
                           us_onnx_shape_text(&us_onnx_in(net, op, 0)->shape));
        }
    }
    pool->window.average = strcmp(op->kind->name, "AveragePool") == 0;
    pool->window.count_padding = us_onnx_int(op, "count_include_pad", 0) != 0;
    return NULL;
}

static struct us_error *run_pool(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct pool *pool = op->plan;
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    const size_t area = (size_t)pool->in[0] * (size_t)pool->in[1];
    us_onnx_pool(&pool->window, us_onnx_data(net, in), pool->in[0], pool->in[1], in->count / area,
                 pool->out[0], pool->out[1], us_onnx_data(net, us_onnx_out(net, op, 0)));
    return NULL;
}

/* [n][c][area] of an input of rank 2 and more. */
struct planes {
    size_t n, channels, area;
    float epsilon;
    const float *a, *b;
};

static struct us_error *read_planes(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                    struct planes *p) {
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    if (in->shape.rank < 2 || in->count == 0) {
        return us_fail(US_FAILED, "its input is %s", us_onnx_shape_text(&in->shape));
    }
    p->n = (size_t)in->shape.dims[0];
    p->channels = (size_t)in->shape.dims[1];
    p->area = in->count / p->n / p->channels;
    p->epsilon = us_onnx_float(op, "epsilon", 1e-5f);
    return NULL;
}

/* Mean and variance are known, so it is one multiplication and one addition. */
static struct us_error *prepare_batch_norm(struct us_onnx_net *net, struct us_onnx_op *op) {
    struct planes *p;
    const float *scale, *bias, *mean, *variance;
    float *a, *b;
    US_TRY(us_onnx_keep(net, sizeof *p, &p));
    op->plan = p;
    US_TRY(read_planes(net, op, p));
    US_TRY(us_onnx_floats(net, op, 1, "scales", p->channels, &scale));
    US_TRY(us_onnx_floats(net, op, 2, "biases", p->channels, &bias));
    US_TRY(us_onnx_floats(net, op, 3, "means", p->channels, &mean));
    US_TRY(us_onnx_floats(net, op, 4, "variances", p->channels, &variance));
    if (us_onnx_int(op, "training_mode", 0) || us_onnx_out(net, op, 1)) {
        return us_fail(US_FAILED, "it is in training mode");
    }
    US_TRY(us_onnx_keep(net, p->channels * sizeof *a, &a));
    US_TRY(us_onnx_keep(net, p->channels * sizeof *b, &b));
    for (size_t c = 0; c < p->channels; c++) {
        const double factor =
            (double)scale[c] / __builtin_sqrt((double)variance[c] + (double)p->epsilon);
        a[c] = (float)factor;
        b[c] = (float)((double)bias[c] - (double)mean[c] * factor);
    }
    p->a = a;
    p->b = b;
    return us_onnx_in_place(net, op);
}

static struct us_error *run_batch_norm(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct planes *p = op->plan;
    us_onnx_affine(us_onnx_data(net, us_onnx_in(net, op, 0)), p->n, p->channels, p->area, p->a,
                   p->b, us_onnx_data(net, us_onnx_out(net, op, 0)));
    return NULL;
}

static struct us_error *prepare_instance_norm(struct us_onnx_net *net, struct us_onnx_op *op) {
    struct planes *p;
    US_TRY(us_onnx_keep(net, sizeof *p, &p));
    op->plan = p;
    US_TRY(read_planes(net, op, p));
    US_TRY(us_onnx_floats(net, op, 1, "scales", p->channels, &p->a));
    US_TRY(us_onnx_floats(net, op, 2, "biases", p->channels, &p->b));
    return us_onnx_shape_out(net, op, 0, false, &us_onnx_in(net, op, 0)->shape);
}

static struct us_error *run_instance_norm(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct planes *p = op->plan;
    us_onnx_instance_norm(us_onnx_data(net, us_onnx_in(net, op, 0)), p->n, p->channels, p->area,
                          p->epsilon, p->a, p->b, us_onnx_data(net, us_onnx_out(net, op, 0)));
    return NULL;
}

static struct us_error *prepare_layer_norm(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    struct planes *p;
    int axis;
    US_TRY(us_onnx_keep(net, sizeof *p, &p));
    op->plan = p;
    US_TRY(us_onnx_axis(us_onnx_int(op, "axis", -1), in->shape.rank, &axis));
    if (in->count == 0 || us_onnx_out(net, op, 1)) {
        return us_fail(US_FAILED, "its input has no elements, or it gives statistics");
    }
    p->area = 1;
    for (int i = axis; i < in->shape.rank; i++) {
        p->area *= (size_t)in->shape.dims[i];
    }
    p->n = in->count / p->area;
    p->epsilon = us_onnx_float(op, "epsilon", 1e-5f);
    US_TRY(us_onnx_floats(net, op, 1, "scales", p->area, &p->a));
    US_TRY(us_onnx_floats(net, op, 2, "biases", p->area, &p->b));
    return us_onnx_shape_out(net, op, 0, false, &in->shape);
}

static struct us_error *run_layer_norm(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct planes *p = op->plan;
    us_onnx_layer_norm(us_onnx_data(net, us_onnx_in(net, op, 0)), p->n, p->area, p->epsilon, p->a,
                       p->b, us_onnx_data(net, us_onnx_out(net, op, 0)));
    return NULL;
}

const struct us_onnx_kind us_onnx_window_kinds[] = {
    {"AveragePool", 1, 1, 1, false, prepare_pool, run_pool},
    {"BatchNormalization", 5, 5, 5, false, prepare_batch_norm, run_batch_norm},
    {"InstanceNormalization", 3, 3, 1, false, prepare_instance_norm, run_instance_norm},
    {"LayerNormalization", 2, 3, 3, false, prepare_layer_norm, run_layer_norm},
    {"MaxPool", 1, 1, 2, false, prepare_pool, run_pool},
    {0},
};
