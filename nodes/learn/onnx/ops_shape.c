#include <string.h>

#include "nodes/learn/onnx/net_internal.h"

static struct us_error *prepare_identity(struct us_onnx_net *net, struct us_onnx_op *op) {
    if (us_onnx_out(net, op, 1)) {
        return us_fail(US_FAILED, "it gives a mask");
    }
    return us_onnx_view(net, op, &us_onnx_in(net, op, 0)->shape);
}

static struct us_error *prepare_reshape(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    const bool zeros = us_onnx_int(op, "allowzero", 0) != 0;
    struct us_onnx_shape out = {0};
    struct us_onnx_list list;
    size_t known = 1;
    int free_axis = -1;
    US_TRY(us_onnx_ints(net, op, "shape", 1, &list));
    if (!list.found || list.count > US_ONNX_RANK) {
        return us_fail(US_FAILED, "its shape has %zu dimensions, known are %d", list.count,
                       US_ONNX_RANK);
    }
    out.rank = (int)list.count;
    for (int i = 0; i < out.rank; i++) {
        int64_t dim = list.items[i];
        if (dim == 0 && !zeros) {
            dim = i < in->shape.rank ? in->shape.dims[i] : -2;
        }
        if (dim < -1 || dim > (int64_t)1 << 31 || (dim == -1 && free_axis >= 0)) {
            return us_fail(US_FAILED, "its dimension %d is %lld", i, (long long)list.items[i]);
        }
        free_axis = dim == -1 ? i : free_axis;
        out.dims[i] = dim == -1 ? 1 : dim;
    }
    if (!us_onnx_elements(&out, &known) || (free_axis >= 0 && known == 0)) {
        return us_fail(US_FAILED, "its shape is impossible");
    }
    if (free_axis >= 0) {
        out.dims[free_axis] = (int64_t)(in->count / known);
    }
    return us_onnx_view(net, op, &out);
}

static struct us_error *prepare_flatten(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    const int64_t given = us_onnx_int(op, "axis", 1);
    struct us_onnx_shape out = {2, {1, 1}};
    int axis = in->shape.rank;
    if (given != axis) {
        US_TRY(us_onnx_axis(given, in->shape.rank, &axis));
    }
    for (int i = 0; i < in->shape.rank; i++) {
        out.dims[i >= axis] *= in->shape.dims[i];
    }
    return us_onnx_view(net, op, &out);
}

static struct us_error *prepare_squeeze(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_shape *in = &us_onnx_in(net, op, 0)->shape;
    struct us_onnx_shape out = {0};
    struct us_onnx_list axes;
    unsigned gone = 0;
    US_TRY(us_onnx_ints(net, op, "axes", 1, &axes));
    for (size_t i = 0; i < axes.count; i++) {
        int axis;
        US_TRY(us_onnx_axis(axes.items[i], in->rank, &axis));
        gone |= 1u << axis;
    }
    for (int i = 0; i < in->rank; i++) {
        const bool goes = axes.found ? gone >> i & 1 : in->dims[i] == 1;
        if (!goes) {
            out.dims[out.rank++] = in->dims[i];
        }
    }
    return us_onnx_view(net, op, &out);
}

static struct us_error *prepare_unsqueeze(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_shape *in = &us_onnx_in(net, op, 0)->shape;
    struct us_onnx_shape out = {0};
    struct us_onnx_list axes;
    unsigned made = 0;
    int from = 0;
    US_TRY(us_onnx_ints(net, op, "axes", 1, &axes));
    if (!axes.found || (size_t)in->rank + axes.count > US_ONNX_RANK) {
        return us_fail(US_FAILED, "it adds %zu dimensions to %d", axes.count, in->rank);
    }
    out.rank = in->rank + (int)axes.count;
    for (size_t i = 0; i < axes.count; i++) {
        int axis;
        US_TRY(us_onnx_axis(axes.items[i], out.rank, &axis));
        if (made >> axis & 1) {
            return us_fail(US_FAILED, "it adds axis %d twice", axis);
        }
        made |= 1u << axis;
    }
    for (int i = 0; i < out.rank; i++) {
        out.dims[i] = made >> i & 1 ? 1 : in->dims[from++];
    }
    return us_onnx_view(net, op, &out);
}

/* An output that is known. */
static struct us_error *set_constant(struct us_onnx_net *net, struct us_onnx_op *op, bool integer,
                                     const struct us_onnx_shape *shape, const void *values) {
    US_TRY(us_onnx_shape_out(net, op, 0, integer, shape));
    us_onnx_out(net, op, 0)->constant = values;
    return NULL;
}

static struct us_error *prepare_shape(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_shape *in = &us_onnx_in(net, op, 0)->shape;
    int64_t start = us_onnx_int(op, "start", 0), end = us_onnx_int(op, "end", in->rank), *values;
    start = start < 0 ? start + in->rank : start;
    end = end < 0 ? end + in->rank : end;
    start = start < 0 ? 0 : start > in->rank ? in->rank : start;
    end = end < start ? start : end > in->rank ? in->rank : end;
    const struct us_onnx_shape out = {1, {end - start}};
    US_TRY(us_onnx_keep(net, US_ONNX_RANK * sizeof *values, &values));
    memcpy(values, in->dims + start, (size_t)(end - start) * sizeof *values);
    return set_constant(net, op, true, &out, values);
}

static struct us_error *prepare_constant(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_attribute *a;
    if ((a = us_onnx_attribute(op->node, "value")) && a->tensor) {
        return set_constant(net, op, a->tensor->integer, &a->tensor->shape, a->tensor->data);
    }
    if ((a = us_onnx_attribute(op->node, "value_float"))) {
        return set_constant(net, op, false, &(struct us_onnx_shape){0}, &a->number);
    }
    if ((a = us_onnx_attribute(op->node, "value_int"))) {
        return set_constant(net, op, true, &(struct us_onnx_shape){0}, &a->integer);
    }
    static const int64_t none = 0;
    if ((a = us_onnx_attribute(op->node, "value_floats"))) {
        const struct us_onnx_shape list = {1, {(int64_t)a->number_count}};
        return set_constant(net, op, false, &list, a->numbers ? (const void *)a->numbers : &none);
    }
    if ((a = us_onnx_attribute(op->node, "value_ints"))) {
        const struct us_onnx_shape list = {1, {(int64_t)a->integer_count}};
        return set_constant(net, op, true, &list, a->integers ? a->integers : &none);
    }
    return us_fail(US_FAILED, "it has no value that is a number, a list of numbers or a tensor");
}

static struct us_error *prepare_fill(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_attribute *value = us_onnx_attribute(op->node, "value");
    const struct us_onnx_tensor *tensor = value ? value->tensor : NULL;
    struct us_onnx_shape out = {0};
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    US_TRY(us_onnx_need_constant(net, op, 0, "dimensions"));
    if (!in->integer || in->count > US_ONNX_RANK || (tensor && tensor->count != 1)) {
        return us_fail(US_FAILED, "its dimensions are no list of whole numbers, or its value no "
                                  "single number");
    }
    out.rank = (int)in->count;
    memcpy(out.dims, in->constant, in->count * sizeof *out.dims);
    return us_onnx_shape_out(net, op, 0, tensor && tensor->integer, &out);
}

static struct us_error *run_fill(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_attribute *value = us_onnx_attribute(op->node, "value");
    const struct us_onnx_value *out = us_onnx_out(net, op, 0);
    char *to = us_onnx_data(net, out);
    const size_t size = out->integer ? 8 : 4;
    for (size_t i = 0; i < out->count && value && value->tensor; i++) {
        memcpy(to + i * size, value->tensor->data, size);
    }
    return NULL;
}

static struct us_error *prepare_cast(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    const int64_t to = us_onnx_int(op, "to", 0);
    const bool real = to == US_ONNX_FLOAT || to == US_ONNX_FLOAT16 || to == US_ONNX_DOUBLE;
    if (!real && to != US_ONNX_INT32 && to != US_ONNX_INT64 && to != US_ONNX_BOOL &&
        to != US_ONNX_INT8 && to != US_ONNX_UINT8) {
        return us_fail(US_FAILED, "it casts to type %lld", (long long)to);
    }
    if (real != in->integer && to != US_ONNX_BOOL) {
        return us_onnx_view(net, op, &in->shape); /* floats stay floats, whole numbers whole */
    }
    US_TRY(us_onnx_need_constant(net, op, 0, "values"));
    return us_onnx_shape_out(net, op, 0, !real, &in->shape);
}

static struct us_error *run_cast(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *in = us_onnx_in(net, op, 0), *out = us_onnx_out(net, op, 0);
    const int64_t *wholes = us_onnx_data(net, in);
    const float *reals = us_onnx_data(net, in);
    const bool truth = us_onnx_int(op, "to", 0) == US_ONNX_BOOL;
    for (size_t i = 0; i < in->count; i++) {
        if (!out->integer) {
            ((float *)us_onnx_data(net, out))[i] = (float)wholes[i];
            continue;
        }
        const float real = in->integer ? 0 : reals[i];
        const int64_t number = in->integer                     ? wholes[i]
                               : real > -9e18f && real < 9e18f ? (int64_t)real
                                                               : 0;
        const bool is = in->integer ? number != 0 : real != 0;
        ((int64_t *)us_onnx_data(net, out))[i] = truth ? is : number;
    }
    return NULL;
}

static struct us_error *prepare_range(struct us_onnx_net *net, struct us_onnx_op *op) {
    int64_t ends[3];
    for (int k = 0; k < 3; k++) {
        const struct us_onnx_value *value = us_onnx_in(net, op, k);
        US_TRY(us_onnx_need_constant(net, op, k, "ends"));
        if (!value->integer || value->count != 1) {
            return us_fail(US_FAILED, "input %d is not one whole number", k);
        }
        ends[k] = *(const int64_t *)value->constant;
        if (ends[k] < -((int64_t)1 << 40) || ends[k] > (int64_t)1 << 40) {
            return us_fail(US_FAILED, "input %d is %lld", k, (long long)ends[k]);
        }
    }
    const int64_t length = ends[1] - ends[0], step = ends[2];
    const int64_t count = step == 0 || (length > 0) != (step > 0) || length == 0
                              ? 0
                              : (length + step + (step > 0 ? -1 : 1)) / step;
    const struct us_onnx_shape out = {1, {count}};
    return us_onnx_shape_out(net, op, 0, true, &out);
}

static struct us_error *run_range(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *out = us_onnx_out(net, op, 0);
    const int64_t first = *(const int64_t *)us_onnx_in(net, op, 0)->constant;
    const int64_t step = *(const int64_t *)us_onnx_in(net, op, 2)->constant;
    for (size_t i = 0; i < out->count; i++) {
        ((int64_t *)us_onnx_data(net, out))[i] = first + (int64_t)i * step;
    }
    return NULL;
}

const struct us_onnx_kind us_onnx_shape_kinds[] = {
    {"Cast", 1, 1, 1, true, prepare_cast, run_cast},
    {"Constant", 0, 0, 1, true, prepare_constant, NULL},
    {"ConstantOfShape", 1, 1, 1, true, prepare_fill, run_fill},
    {"Dropout", 1, 3, 2, true, prepare_identity, NULL},
    {"Flatten", 1, 1, 1, true, prepare_flatten, NULL},
    {"Identity", 1, 1, 1, true, prepare_identity, NULL},
    {"Range", 3, 3, 1, true, prepare_range, run_range},
    {"Reshape", 1, 2, 1, true, prepare_reshape, NULL},
    {"Shape", 1, 1, 1, true, prepare_shape, NULL},
    {"Squeeze", 1, 2, 1, true, prepare_squeeze, NULL},
    {"Unsqueeze", 1, 2, 1, true, prepare_unsqueeze, NULL},
    {0},
};
