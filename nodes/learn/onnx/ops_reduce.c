#include <string.h>

#include "kernels/nn/onnx_ops.h"
#include "nodes/learn/onnx/net_internal.h"

struct reduce {
    enum us_reduce kind;
    int64_t *kept, *gone;
    size_t kept_count, gone_count;
};

static const struct {
    const char *name;
    enum us_reduce kind;
} kinds[] = {
    {"GlobalAveragePool", US_REDUCE_MEAN},
    {"GlobalMaxPool", US_REDUCE_MAX},
    {"ReduceL2", US_REDUCE_L2},
    {"ReduceMax", US_REDUCE_MAX},
    {"ReduceMean", US_REDUCE_MEAN},
    {"ReduceMin", US_REDUCE_MIN},
    {"ReduceSum", US_REDUCE_SUM},
};

/* Which axes go: bits. */
static struct us_error *find_axes(struct us_onnx_net *net, struct us_onnx_op *op, unsigned *gone,
                                  bool *keep) {
    const int rank = us_onnx_in(net, op, 0)->shape.rank;
    struct us_onnx_list axes;
    *gone = 0;
    *keep = true;
    if (strncmp(op->kind->name, "Global", 6) == 0) {
        *gone = rank > 2 ? ((1u << rank) - 1) & ~3u : 0;
        return rank > 2 ? NULL : us_fail(US_FAILED, "its input is no image");
    }
    US_TRY(us_onnx_ints(net, op, "axes", 1, &axes));
    *keep = us_onnx_int(op, "keepdims", 1) != 0;
    for (size_t i = 0; i < axes.count; i++) {
        int axis;
        US_TRY(us_onnx_axis(axes.items[i], rank, &axis));
        *gone |= 1u << axis;
    }
    if (!axes.count && !us_onnx_int(op, "noop_with_empty_axes", 0)) {
        *gone = (1u << rank) - 1;
    }
    return NULL;
}

/* Where every combination of some axes' indices lies in the input. */
static struct us_error *list_places(struct us_onnx_net *net, const struct us_onnx_shape *in,
                                    unsigned axes, int64_t **places, size_t *count) {
    int64_t steps[US_ONNX_RANK];
    *count = 1;
    for (int i = 0; i < in->rank; i++) {
        *count *= axes >> i & 1 ? (size_t)in->dims[i] : 1;
    }
    US_TRY(us_onnx_keep(net, *count * sizeof **places, places));
    us_onnx_steps(in, steps);
    for (size_t k = 0; k < *count; k++) {
        size_t rest = k;
        for (int i = in->rank - 1; i >= 0; i--) {
            if (axes >> i & 1) {
                (*places)[k] += (int64_t)(rest % (size_t)in->dims[i]) * steps[i];
                rest /= (size_t)in->dims[i];
            }
        }
    }
    return NULL;
}

static struct us_error *prepare_reduce(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_shape *in = &us_onnx_in(net, op, 0)->shape;
    struct us_onnx_shape out = {0};
    struct reduce *plan;
    unsigned gone;
    bool keep;
    size_t i = 0;
    if (us_onnx_in(net, op, 0)->count == 0) {
        return us_fail(US_FAILED, "its input has no elements");
    }
    US_TRY(find_axes(net, op, &gone, &keep));
    US_TRY(us_onnx_keep(net, sizeof *plan, &plan));
    op->plan = plan;
    while (strcmp(kinds[i].name, op->kind->name) != 0) {
        i++;
    }
    plan->kind = kinds[i].kind;
    for (int k = 0; k < in->rank; k++) {
        if (!(gone >> k & 1) || keep) {
            out.dims[out.rank++] = gone >> k & 1 ? 1 : in->dims[k];
        }
    }
    US_TRY(us_onnx_shape_out(net, op, 0, false, &out));
    US_TRY(list_places(net, in, ~gone, &plan->kept, &plan->kept_count));
    return list_places(net, in, gone, &plan->gone, &plan->gone_count);
}

static struct us_error *run_reduce(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct reduce *plan = op->plan;
    us_onnx_reduce(plan->kind, us_onnx_data(net, us_onnx_in(net, op, 0)), plan->kept,
                   plan->kept_count, plan->gone, plan->gone_count,
                   us_onnx_data(net, us_onnx_out(net, op, 0)));
    return NULL;
}

struct softmax {
    size_t outer, length, inner;
};

static struct us_error *prepare_softmax(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    const bool early = net->file->opset < 13; /* then all axes from the given one on are one */
    struct softmax *plan;
    int axis;
    US_TRY(us_onnx_axis(us_onnx_int(op, "axis", early ? 1 : -1), in->shape.rank, &axis));
    US_TRY(us_onnx_keep(net, sizeof *plan, &plan));
    op->plan = plan;
    *plan = (struct softmax){1, 1, 1};
    for (int i = 0; i < in->shape.rank; i++) {
        const size_t dim = (size_t)in->shape.dims[i];
        plan->outer *= i < axis ? dim : 1;
        plan->length *= i == axis || (early && i > axis) ? dim : 1;
        plan->inner *= i > axis && !early ? dim : 1;
    }
    return us_onnx_in_place(net, op);
}

static struct us_error *run_softmax(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct softmax *plan = op->plan;
    us_onnx_softmax(us_onnx_data(net, us_onnx_in(net, op, 0)), plan->outer, plan->length,
                    plan->inner, us_onnx_data(net, us_onnx_out(net, op, 0)));
    return NULL;
}

const struct us_onnx_kind us_onnx_reduce_kinds[] = {
    {"GlobalAveragePool", 1, 1, 1, false, prepare_reduce, run_reduce},
    {"GlobalMaxPool", 1, 1, 1, false, prepare_reduce, run_reduce},
    {"ReduceL2", 1, 2, 1, false, prepare_reduce, run_reduce},
    {"ReduceMax", 1, 2, 1, false, prepare_reduce, run_reduce},
    {"ReduceMean", 1, 2, 1, false, prepare_reduce, run_reduce},
    {"ReduceMin", 1, 2, 1, false, prepare_reduce, run_reduce},
    {"ReduceSum", 1, 2, 1, false, prepare_reduce, run_reduce},
    {"Softmax", 1, 1, 1, false, prepare_softmax, run_softmax},
    {0},
};
