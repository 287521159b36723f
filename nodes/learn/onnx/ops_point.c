#include <math.h>
#include <string.h>

#include "kernels/nn/onnx_ops.h"
#include "nodes/learn/onnx/net_internal.h"

struct unary {
    enum us_unary kind;
    float a, b;
};

static const struct {
    const char *name;
    enum us_unary kind;
    const char *a_name, *b_name; /* attributes */
    float a, b;
} unaries[] = {
    {"Abs", US_UNARY_ABS, NULL, NULL, 0, 0},
    {"Ceil", US_UNARY_CEIL, NULL, NULL, 0, 0},
    {"Clip", US_UNARY_CLIP, "min", "max", -INFINITY, INFINITY},
    {"Cos", US_UNARY_COS, NULL, NULL, 0, 0},
    {"Elu", US_UNARY_ELU, "alpha", NULL, 1, 0},
    {"Erf", US_UNARY_ERF, NULL, NULL, 0, 0},
    {"Exp", US_UNARY_EXP, NULL, NULL, 0, 0},
    {"Floor", US_UNARY_FLOOR, NULL, NULL, 0, 0},
    {"HardSigmoid", US_UNARY_HARD_SIGMOID, "alpha", "beta", 0.2f, 0.5f},
    {"HardSwish", US_UNARY_HARD_SWISH, NULL, NULL, 0, 0},
    {"LeakyRelu", US_UNARY_LEAKY_RELU, "alpha", NULL, 0.01f, 0},
    {"Log", US_UNARY_LOG, NULL, NULL, 0, 0},
    {"Neg", US_UNARY_NEG, NULL, NULL, 0, 0},
    {"Reciprocal", US_UNARY_RECIPROCAL, NULL, NULL, 0, 0},
    {"Relu", US_UNARY_RELU, NULL, NULL, 0, 0},
    {"Sigmoid", US_UNARY_SIGMOID, NULL, NULL, 0, 0},
    {"Sin", US_UNARY_SIN, NULL, NULL, 0, 0},
    {"Softplus", US_UNARY_SOFTPLUS, NULL, NULL, 0, 0},
    {"Sqrt", US_UNARY_SQRT, NULL, NULL, 0, 0},
    {"Tanh", US_UNARY_TANH, NULL, NULL, 0, 0},
};

static struct us_error *prepare_unary(struct us_onnx_net *net, struct us_onnx_op *op) {
    struct unary *unary;
    size_t i = 0;
    while (strcmp(unaries[i].name, op->kind->name) != 0) {
        i++;
    }
    US_TRY(us_onnx_keep(net, sizeof *unary, &unary));
    unary->kind = unaries[i].kind;
    unary->a = unaries[i].a_name ? us_onnx_float(op, unaries[i].a_name, unaries[i].a) : 0;
    unary->b = unaries[i].b_name ? us_onnx_float(op, unaries[i].b_name, unaries[i].b) : 0;
    if (unary->kind == US_UNARY_CLIP) {
        US_TRY(us_onnx_scalar(net, op, 1, &unary->a));
        US_TRY(us_onnx_scalar(net, op, 2, &unary->b));
    }
    op->plan = unary;
    return us_onnx_in_place(net, op);
}

static struct us_error *run_unary(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct unary *unary = op->plan;
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    us_onnx_unary(unary->kind, unary->a, unary->b, us_onnx_data(net, in),
                  us_onnx_data(net, us_onnx_out(net, op, 0)), in->count);
    return NULL;
}

static const struct {
    const char *name;
    enum us_binary kind;
} binaries[] = {
    {"Add", US_BINARY_ADD}, {"Sub", US_BINARY_SUB}, {"Mul", US_BINARY_MUL},
    {"Div", US_BINARY_DIV}, {"Pow", US_BINARY_POW}, {"Min", US_BINARY_MIN},
    {"Max", US_BINARY_MAX}, {"Sum", US_BINARY_ADD}, {"PRelu", US_BINARY_PRELU},
};

struct binary {
    enum us_binary kind;
    struct us_onnx_walk *walks; /* one for each input after the first */
};

/* Steps of an operand along the output's axes: 0 where it is repeated. */
static void set_steps(const struct us_onnx_shape *out, const struct us_onnx_shape *operand,
                      int64_t steps[US_ONNX_AXES]) {
    int64_t own[US_ONNX_RANK];
    us_onnx_steps(operand, own);
    for (int i = 1; i <= out->rank; i++) {
        const int at = operand->rank - i;
        steps[out->rank - i] = at >= 0 && operand->dims[at] != 1 ? own[at] : 0;
    }
}

static void set_walks(const struct us_onnx_net *net, const struct us_onnx_op *op,
                      const struct us_onnx_shape *shape, struct us_onnx_walk *walks) {
    for (int k = 1; k < op->input_count || k == 1; k++) {
        struct us_onnx_walk *walk = &walks[k - 1];
        const struct us_onnx_value *x = us_onnx_in(net, op, 0), *y = us_onnx_in(net, op, k);
        walk->rank = shape->rank;
        memcpy(walk->counts, shape->dims, sizeof walk->counts);
        set_steps(shape, k == 1 ? &x->shape : shape, walk->steps[0]);
        if (y) {
            set_steps(shape, &y->shape, walk->steps[1]);
        }
    }
}

static struct us_error *prepare_binary(struct us_onnx_net *net, struct us_onnx_op *op) {
    struct binary *binary;
    struct us_onnx_shape shape = us_onnx_in(net, op, 0)->shape;
    const bool integer = us_onnx_in(net, op, 0)->integer;
    size_t i = 0;
    while (strcmp(binaries[i].name, op->kind->name) != 0) {
        i++;
    }
    for (int k = 1; k < op->input_count; k++) {
        const struct us_onnx_value *value = us_onnx_in(net, op, k);
        if (!value || value->integer != integer) {
            return us_fail(US_FAILED, "input %d is missing or of another type", k);
        }
        US_TRY(us_onnx_broadcast(&shape, &value->shape));
    }
    US_TRY(us_onnx_shape_out(net, op, 0, integer, &shape)); /* what walks count in fits now */
    US_TRY(us_onnx_keep(net, sizeof *binary, &binary));
    const size_t walks = op->input_count > 1 ? (size_t)op->input_count - 1 : 1;
    US_TRY(us_onnx_keep(net, walks * sizeof *binary->walks, &binary->walks));
    binary->kind = binaries[i].kind;
    set_walks(net, op, &shape, binary->walks);
    op->plan = binary;
    const struct us_onnx_shape *own = &us_onnx_in(net, op, 0)->shape;
    return memcmp(own, &shape, sizeof shape) == 0 && !integer ? us_onnx_in_place(net, op) : NULL;
}

static int64_t whole(enum us_binary kind, int64_t x, int64_t y, bool *bad) {
    const uint64_t p = (uint64_t)x, q = (uint64_t)y;
    switch (kind) {
    case US_BINARY_ADD:
        return (int64_t)(p + q);
    case US_BINARY_SUB:
        return (int64_t)(p - q);
    case US_BINARY_MUL:
        return (int64_t)(p * q);
    case US_BINARY_DIV:
        *bad |= y == 0;
        return y == 0 ? 0 : y == -1 ? (int64_t)(0 - p) : x / y;
    case US_BINARY_MIN:
        return x < y ? x : y;
    case US_BINARY_MAX:
        return x > y ? x : y;
    default:
        *bad = true;
        return 0;
    }
}

/* Constants only: few, so index by index. */
static struct us_error *run_whole(enum us_binary kind, const struct us_onnx_walk *walk,
                                  const int64_t *x, const int64_t *y, int64_t *out, size_t count) {
    bool bad = false;
    for (size_t i = 0; i < count; i++) {
        int64_t rest = (int64_t)i, at[2] = {0, 0};
        for (int k = walk->rank - 1; k >= 0; k--) {
            at[0] += rest % walk->counts[k] * walk->steps[0][k];
            at[1] += rest % walk->counts[k] * walk->steps[1][k];
            rest /= walk->counts[k];
        }
        out[i] = whole(kind, x[at[0]], y[at[1]], &bad);
    }
    return bad ? us_fail(US_FAILED, "whole numbers cannot be combined so") : NULL;
}

static struct us_error *run_binary(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct binary *binary = op->plan;
    const struct us_onnx_value *out = us_onnx_out(net, op, 0);
    const void *x = us_onnx_data(net, us_onnx_in(net, op, 0));
    void *to = us_onnx_data(net, out);
    if (op->input_count == 1) {
        memmove(to, x, out->count * (out->integer ? 8 : 4));
    }
    for (int k = 1; k < op->input_count; k++, x = to) {
        const void *y = us_onnx_data(net, us_onnx_in(net, op, k));
        if (out->integer) {
            US_TRY(run_whole(binary->kind, &binary->walks[k - 1], x, y, to, out->count));
        } else {
            us_onnx_binary(binary->kind, &binary->walks[k - 1], x, y, to);
        }
    }
    return NULL;
}

enum { MOST = 64 };

#define UNARY(name) \
    { name, 1, 1, 1, false, prepare_unary, run_unary }
#define BINARY(name, integers) \
    { name, 2, 2, 1, integers, prepare_binary, run_binary }
#define VARIADIC(name) \
    { name, 1, MOST, 1, true, prepare_binary, run_binary }

const struct us_onnx_kind us_onnx_point_kinds[] = {
    UNARY("Abs"),
    UNARY("Ceil"),
    {"Clip", 1, 3, 1, false, prepare_unary, run_unary},
    UNARY("Cos"),
    UNARY("Elu"),
    UNARY("Erf"),
    UNARY("Exp"),
    UNARY("Floor"),
    UNARY("HardSigmoid"),
    UNARY("HardSwish"),
    UNARY("LeakyRelu"),
    UNARY("Log"),
    UNARY("Neg"),
    UNARY("Reciprocal"),
    UNARY("Relu"),
    UNARY("Sigmoid"),
    UNARY("Sin"),
    UNARY("Softplus"),
    UNARY("Sqrt"),
    UNARY("Tanh"),
    BINARY("Add", true),
    BINARY("Sub", true),
    BINARY("Mul", true),
    BINARY("Div", true),
    BINARY("Pow", false),
    BINARY("PRelu", false),
    VARIADIC("Max"),
    VARIADIC("Min"),
    VARIADIC("Sum"),
    {0},
};
