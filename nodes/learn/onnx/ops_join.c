#include <string.h>

#include "nodes/learn/onnx/move.h"

static struct us_error *prepare_concat(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *first = us_onnx_in(net, op, 0);
    struct us_onnx_shape out = first->shape;
    int axis, *plan;
    US_TRY(us_onnx_axis(us_onnx_int(op, "axis", 1), out.rank, &axis));
    for (int k = 1; k < op->input_count; k++) {
        const struct us_onnx_value *value = us_onnx_in(net, op, k);
        bool fits = value && value->integer == first->integer && value->shape.rank == out.rank;
        for (int i = 0; i < out.rank && fits; i++) {
            fits = i == axis || value->shape.dims[i] == out.dims[i];
        }
        if (!fits) {
            return us_fail(US_FAILED, "its input %d is %s, the first is %s", k,
                           value ? us_onnx_shape_text(&value->shape) : "missing", first->name);
        }
        out.dims[axis] += value->shape.dims[axis];
    }
    US_TRY(us_onnx_keep(net, sizeof *plan, &plan));
    *plan = axis;
    op->plan = plan;
    return us_onnx_shape_out(net, op, 0, first->integer, &out);
}

static struct us_error *run_concat(struct us_onnx_net *net, struct us_onnx_op *op) {
    const int axis = *(const int *)op->plan;
    const struct us_onnx_value *out = us_onnx_out(net, op, 0);
    const size_t size = out->integer ? 8 : 4;
    size_t outer = 1;
    for (int i = 0; i < axis; i++) {
        outer *= (size_t)out->shape.dims[i];
    }
    const size_t row = out->count / outer * size;
    char *to = us_onnx_data(net, out);
    for (int k = 0; k < op->input_count && outer; k++) {
        const struct us_onnx_value *in = us_onnx_in(net, op, k);
        const char *from = us_onnx_data(net, in);
        const size_t part = in->count / outer * size;
        for (size_t o = 0; o < outer && part; o++) {
            memcpy(to + o * row, from + o * part, part);
        }
        to += part;
    }
    return NULL;
}

enum { CONSTANT, REFLECT, EDGE };

/* Where sample `at` of a padded axis comes from; -1: the constant. */
static int64_t padded(int mode, int64_t at, int64_t size) {
    if (at >= 0 && at < size) {
        return at;
    }
    if (mode == CONSTANT) {
        return -1;
    }
    if (mode == EDGE) {
        return at < 0 ? 0 : size - 1;
    }
    const int64_t period = size > 1 ? 2 * (size - 1) : 1;
    const int64_t phase = ((at % period) + period) % period;
    return phase < size ? phase : period - phase;
}

static struct us_error *read_fill(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                  struct us_onnx_pick *pick) {
    const struct us_onnx_value *value = us_onnx_in(net, op, 2);
    const float stored = us_onnx_float(op, "value", 0);
    memcpy(&pick->fill, &stored, sizeof stored);
    if (!value) {
        return NULL;
    }
    US_TRY(us_onnx_need_constant(net, op, 2, "value"));
    if (value->count != 1 || value->integer != us_onnx_in(net, op, 0)->integer) {
        return us_fail(US_FAILED, "its value is not one number of its input's type");
    }
    memcpy(&pick->fill, value->constant, pick->size);
    return NULL;
}

/* The pads of every axis, before and after. */
static struct us_error *read_pads(struct us_onnx_net *net, struct us_onnx_op *op, int rank,
                                  int64_t pads[2][US_ONNX_RANK]) {
    struct us_onnx_list list, axes;
    const int64_t most = (int64_t)1 << 30;
    US_TRY(us_onnx_ints(net, op, "pads", 1, &list));
    US_TRY(us_onnx_ints(net, op, "axes", 3, &axes));
    const size_t count = axes.found ? axes.count : (size_t)rank;
    if (list.count != 2 * count || count > US_ONNX_RANK) {
        return us_fail(US_FAILED, "its pads are %zu numbers, wanted %zu", list.count, 2 * count);
    }
    memset(pads, 0, 2 * sizeof pads[0]);
    for (size_t i = 0; i < 2 * count; i++) {
        const size_t at = i % count;
        int axis;
        US_TRY(us_onnx_axis(axes.found ? axes.items[at] : (int64_t)at, rank, &axis));
        if (list.items[i] < -most || list.items[i] > most) {
            return us_fail(US_FAILED, "a pad is %lld", (long long)list.items[i]);
        }
        pads[i / count][axis] = list.items[i];
    }
    return NULL;
}

static struct us_error *prepare_pad(struct us_onnx_net *net, struct us_onnx_op *op) {
    static const char *const modes[] = {"constant", "reflect", "edge"};
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    const char *word = us_onnx_word(op, "mode", modes[0]);
    struct us_onnx_shape out = in->shape;
    int64_t pads[2][US_ONNX_RANK], steps[US_ONNX_RANK], *maps[US_ONNX_RANK];
    int mode = 0;
    while (mode < 3 && strcmp(word, modes[mode]) != 0) {
        mode++;
    }
    if (mode == 3 || (mode != CONSTANT && in->count == 0)) {
        return us_fail(US_FAILED, "its mode is '%.40s', known are constant, reflect and edge",
                       word);
    }
    US_TRY(read_pads(net, op, out.rank, pads));
    for (int i = 0; i < out.rank; i++) {
        out.dims[i] += pads[0][i] + pads[1][i];
    }
    US_TRY(us_onnx_shape_out(net, op, 0, in->integer, &out));
    US_TRY(us_onnx_plan_picks(net, op, 1));
    US_TRY(us_onnx_plan_pick(net, op, 0, &out, maps));
    US_TRY(read_fill(net, op, op->plan));
    us_onnx_steps(&in->shape, steps);
    for (int i = 0; i < out.rank && maps[0]; i++) {
        for (int64_t k = 0; k < out.dims[i]; k++) {
            const int64_t from = padded(mode, k - pads[0][i], in->shape.dims[i]);
            maps[i][k] = from < 0 ? -1 : from * steps[i];
        }
    }
    return NULL;
}

/* Of constants only: shapes are put together so. */
static struct us_error *prepare_where(struct us_onnx_net *net, struct us_onnx_op *op) {
    struct us_onnx_shape out = us_onnx_in(net, op, 0)->shape;
    for (int k = 0; k < op->input_count; k++) {
        const struct us_onnx_value *value = us_onnx_in(net, op, k);
        US_TRY(us_onnx_need_constant(net, op, k, "inputs"));
        if (!value || !value->integer) {
            return us_fail(US_FAILED, "input %d is not of whole numbers", k);
        }
        US_TRY(us_onnx_broadcast(&out, &value->shape));
    }
    return us_onnx_shape_out(net, op, 0, true, &out);
}

static int64_t value_at(const struct us_onnx_value *value, const struct us_onnx_shape *out,
                        size_t index) {
    int64_t steps[US_ONNX_RANK], at = 0;
    us_onnx_steps(&value->shape, steps);
    for (int i = out->rank - 1; i >= 0; i--) {
        const int own = value->shape.rank - (out->rank - i);
        const int64_t k = (int64_t)(index % (size_t)out->dims[i]);
        index /= (size_t)out->dims[i];
        at += own >= 0 && value->shape.dims[own] != 1 ? k * steps[own] : 0;
    }
    return ((const int64_t *)value->constant)[at];
}

static struct us_error *run_where(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *out = us_onnx_out(net, op, 0);
    int64_t *to = us_onnx_data(net, out);
    for (size_t i = 0; i < out->count; i++) {
        const int64_t a = value_at(us_onnx_in(net, op, 0), &out->shape, i);
        const int64_t b = value_at(us_onnx_in(net, op, 1), &out->shape, i);
        to[i] = op->input_count == 2 ? a == b
                : a                  ? b
                                     : value_at(us_onnx_in(net, op, 2), &out->shape, i);
    }
    return NULL;
}

const struct us_onnx_kind us_onnx_join_kinds[] = {
    {"Concat", 1, 1024, 1, true, prepare_concat, run_concat},
    {"Equal", 2, 2, 1, true, prepare_where, run_where},
    {"Pad", 1, 4, 1, true, prepare_pad, us_onnx_run_picks},
    {"Where", 3, 3, 1, true, prepare_where, run_where},
    {0},
};
