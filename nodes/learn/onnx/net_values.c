#include <stdio.h>
#include <string.h>

#include "nodes/learn/onnx/net_internal.h"

static const size_t most_kept = (size_t)1 << 30;
static const size_t most_elements = (size_t)1 << 31;

struct us_error *us_onnx_keep(struct us_onnx_net *net, size_t bytes, void *block_address) {
    void **block = block_address;
    if (bytes > most_kept || net->kept + bytes > most_kept) {
        return us_fail(US_FAILED, "the model wants more than %zu MiB besides its weights",
                       most_kept >> 20);
    }
    net->kept += bytes;
    *block = us_arena_alloc(&net->arena, bytes ? bytes : 1);
    return NULL;
}

struct us_onnx_value *us_onnx_in(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                 int index) {
    return index < op->input_count && op->inputs[index] >= 0 ? &net->values[op->inputs[index]]
                                                             : NULL;
}

struct us_onnx_value *us_onnx_out(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                  int index) {
    return index < op->output_count && op->outputs[index] >= 0 ? &net->values[op->outputs[index]]
                                                               : NULL;
}

void *us_onnx_data(const struct us_onnx_net *net, const struct us_onnx_value *value) {
    return value->constant ? (void *)value->constant
                           : net->memory + net->values[value->home].offset;
}

struct us_error *us_onnx_shape_out(struct us_onnx_net *net, struct us_onnx_op *op, int index,
                                   bool integer, const struct us_onnx_shape *shape) {
    struct us_onnx_value *value = us_onnx_out(net, op, index);
    if (!value) {
        return NULL;
    }
    value->shape = *shape;
    value->integer = integer;
    if (!us_onnx_elements(shape, &value->count)) {
        return us_fail(US_FAILED, "its result would be %s", us_onnx_shape_text(shape));
    }
    if (value->count > most_elements || value->count * 4 > net->binding.memory) {
        return us_error_hint(us_fail(US_FAILED,
                                     "its result of %s is larger than the %zu MiB allowed",
                                     us_onnx_shape_text(shape), net->binding.memory >> 20),
                             "give smaller images, tiles, or a larger memory");
    }
    return NULL;
}

struct us_error *us_onnx_view(struct us_onnx_net *net, struct us_onnx_op *op,
                              const struct us_onnx_shape *shape) {
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    struct us_onnx_value *out = us_onnx_out(net, op, 0);
    US_TRY(us_onnx_shape_out(net, op, 0, in->integer, shape));
    if (out->count != in->count) {
        return us_fail(US_FAILED, "%s cannot hold the %zu values of its input",
                       us_onnx_shape_text(shape), in->count);
    }
    out->constant = in->constant;
    if (!in->constant) {
        out->home = in->home;
        net->values[in->home].uses += out->uses;
    }
    return NULL;
}

struct us_error *us_onnx_in_place(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    struct us_onnx_value *out = us_onnx_out(net, op, 0);
    US_TRY(us_onnx_shape_out(net, op, 0, in->integer, &in->shape));
    if (!in->constant && net->values[in->home].uses == 1) {
        out->home = in->home;
        net->values[in->home].uses += out->uses;
    }
    return NULL;
}

int64_t us_onnx_int(const struct us_onnx_op *op, const char *name, int64_t missing) {
    const struct us_onnx_attribute *found = us_onnx_attribute(op->node, name);
    return found ? found->integer : missing;
}

float us_onnx_float(const struct us_onnx_op *op, const char *name, float missing) {
    const struct us_onnx_attribute *found = us_onnx_attribute(op->node, name);
    return found ? found->number : missing;
}

const char *us_onnx_word(const struct us_onnx_op *op, const char *name, const char *missing) {
    const struct us_onnx_attribute *found = us_onnx_attribute(op->node, name);
    return found ? found->text : missing;
}

struct us_error *us_onnx_need_constant(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                       int input, const char *what) {
    const struct us_onnx_value *value = us_onnx_in(net, op, input);
    return !value || value->constant
               ? NULL
               : us_fail(US_FAILED, "its %s ('%.80s') depend on the image, known are constants",
                         what, value->name);
}

struct us_error *us_onnx_ints(struct us_onnx_net *net, const struct us_onnx_op *op,
                              const char *attribute, int input, struct us_onnx_list *list) {
    const struct us_onnx_attribute *found = us_onnx_attribute(op->node, attribute);
    const struct us_onnx_value *value = us_onnx_in(net, op, input);
    *list = (struct us_onnx_list){0};
    if (found) {
        *list = (struct us_onnx_list){found->integers, found->integer_count, true};
        return NULL;
    }
    if (!value || input == 0) {
        return NULL;
    }
    US_TRY(us_onnx_need_constant(net, op, input, attribute));
    if (!value->integer || value->shape.rank > 1) {
        return us_fail(US_FAILED, "its %s are no list of whole numbers", attribute);
    }
    *list = (struct us_onnx_list){value->constant, value->count, true};
    return NULL;
}

struct us_error *us_onnx_scalar(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                int input, float *number) {
    const struct us_onnx_value *value = us_onnx_in(net, op, input);
    if (!value) {
        return NULL;
    }
    US_TRY(us_onnx_need_constant(net, op, input, "bounds"));
    if (value->count != 1) {
        return us_fail(US_FAILED, "input '%.80s' is not one number", value->name);
    }
    *number =
        value->integer ? (float)*(const int64_t *)value->constant : *(const float *)value->constant;
    return NULL;
}

struct us_error *us_onnx_floats(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                int input, const char *what, size_t count, const float **values) {
    const struct us_onnx_value *value = us_onnx_in(net, op, input);
    *values = NULL;
    if (!value) {
        return NULL;
    }
    US_TRY(us_onnx_need_constant(net, op, input, what));
    if (value->integer || (count && value->count != count)) {
        return us_fail(US_FAILED, "its %s are %zu values, wanted %zu floats", what, value->count,
                       count);
    }
    *values = value->constant;
    return NULL;
}

struct us_error *us_onnx_axis(int64_t axis, int rank, int *index) {
    if (axis < -rank || axis >= rank) {
        return us_fail(US_FAILED, "axis %lld is outside of %d dimensions", (long long)axis, rank);
    }
    *index = (int)(axis < 0 ? axis + rank : axis);
    return NULL;
}

struct us_error *us_onnx_broadcast(struct us_onnx_shape *shape, const struct us_onnx_shape *b) {
    struct us_onnx_shape out = {.rank = shape->rank > b->rank ? shape->rank : b->rank};
    for (int i = 1; i <= out.rank; i++) {
        const int64_t x = i <= shape->rank ? shape->dims[shape->rank - i] : 1;
        const int64_t y = i <= b->rank ? b->dims[b->rank - i] : 1;
        if (x != y && x != 1 && y != 1) {
            return us_fail(US_FAILED, "dimensions of %lld and %lld do not go together",
                           (long long)x, (long long)y);
        }
        out.dims[out.rank - i] = x == 1 ? y : x;
    }
    *shape = out;
    return NULL;
}

void us_onnx_steps(const struct us_onnx_shape *shape, int64_t steps[US_ONNX_RANK]) {
    int64_t step = 1;
    for (int i = shape->rank - 1; i >= 0; i--) {
        steps[i] = step;
        step *= shape->dims[i];
    }
}

const char *us_onnx_shape_text(const struct us_onnx_shape *shape) {
    static _Thread_local char text[US_ONNX_RANK * 24];
    size_t length = 0;
    snprintf(text, sizeof text, "one number");
    for (int i = 0; i < shape->rank; i++) {
        const char *between = i ? " x " : "";
        const int64_t dim = shape->dims[i];
        length += (size_t)(dim < 0 ? snprintf(text + length, sizeof text - length, "%sany", between)
                                   : snprintf(text + length, sizeof text - length, "%s%lld",
                                              between, (long long)dim));
    }
    return text;
}

struct us_error *us_onnx_status(enum us_nn_status status) {
    if (status == US_NN_OK) {
        return NULL;
    }
    return us_fail(status == US_NN_NO_MEMORY ? US_RETRY : US_FAILED, "cannot compute it: %s",
                   us_nn_status_text(status));
}
