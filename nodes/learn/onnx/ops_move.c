#include <string.h>

#include "nodes/learn/onnx/move.h"

static const int64_t most_map = (int64_t)1 << 26;

struct us_error *us_onnx_plan_picks(struct us_onnx_net *net, struct us_onnx_op *op, int outputs) {
    return us_onnx_keep(net, (size_t)outputs * sizeof(struct us_onnx_pick), &op->plan);
}

struct us_error *us_onnx_plan_pick(struct us_onnx_net *net, struct us_onnx_op *op, int output,
                                   const struct us_onnx_shape *shape, int64_t **maps) {
    struct us_onnx_pick *pick = (struct us_onnx_pick *)op->plan + output;
    size_t count;
    pick->size = us_onnx_in(net, op, 0)->integer ? 8 : 4;
    pick->rank = shape->rank ? shape->rank : 1;
    memset(maps, 0, US_ONNX_RANK * sizeof *maps);
    if (!us_onnx_elements(shape, &count) || count == 0) {
        return NULL;
    }
    for (int i = 0; i < pick->rank; i++) {
        pick->counts[i] = shape->rank ? shape->dims[i] : 1;
        if (pick->counts[i] > most_map) {
            return us_fail(US_FAILED, "its axis %d is %lld long, known are %lld", i,
                           (long long)pick->counts[i], (long long)most_map);
        }
        US_TRY(us_onnx_keep(net, (size_t)pick->counts[i] * sizeof **maps, &maps[i]));
        pick->maps[i] = maps[i];
    }
    return NULL;
}

void us_onnx_ramp(int64_t *map, int64_t count, int64_t first, int64_t step, int64_t stride) {
    for (int64_t i = 0; i < count && map; i++) {
        map[i] = (first + i * step) * stride;
    }
}

struct us_error *us_onnx_run_picks(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_pick *picks = op->plan;
    const void *in = us_onnx_data(net, us_onnx_in(net, op, 0));
    for (int k = 0; k < op->output_count; k++) {
        const struct us_onnx_value *out = us_onnx_out(net, op, k);
        if (out && out->count) {
            us_onnx_pick(&picks[k], in, us_onnx_data(net, out));
        }
    }
    return NULL;
}

static struct us_error *prepare_transpose(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_shape *in = &us_onnx_in(net, op, 0)->shape;
    struct us_onnx_shape out = *in;
    struct us_onnx_list order;
    int64_t steps[US_ONNX_RANK], *maps[US_ONNX_RANK];
    int from[US_ONNX_RANK];
    unsigned seen = 0;
    US_TRY(us_onnx_ints(net, op, "perm", 0, &order));
    if (order.found && order.count != (size_t)in->rank) {
        return us_fail(US_FAILED, "its order of axes is not one of %d", in->rank);
    }
    for (int i = 0; i < in->rank; i++) {
        US_TRY(us_onnx_axis(order.found ? order.items[i] : in->rank - 1 - i, in->rank, &from[i]));
        seen |= 1u << from[i];
        out.dims[i] = in->dims[from[i]];
    }
    if (seen != (1u << in->rank) - 1) {
        return us_fail(US_FAILED, "its order of axes has one twice");
    }
    US_TRY(us_onnx_shape_out(net, op, 0, us_onnx_in(net, op, 0)->integer, &out));
    US_TRY(us_onnx_plan_picks(net, op, 1));
    US_TRY(us_onnx_plan_pick(net, op, 0, &out, maps));
    us_onnx_steps(in, steps);
    for (int i = 0; i < in->rank; i++) {
        us_onnx_ramp(maps[i], out.dims[i], 0, 1, steps[from[i]]);
    }
    return NULL;
}

/* One axis of a slice: where it begins and how it goes on. */
struct cut {
    int64_t first, step, count;
};

static int64_t clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

static struct us_error *cut_axis(int64_t start, int64_t end, int64_t step, int64_t dim,
                                 struct cut *cut) {
    const int64_t far = (int64_t)1 << 40;
    if (step == 0 || step < -far || step > far) {
        return us_fail(US_FAILED, "its step is %lld", (long long)step);
    }
    start = clamp(start < 0 && start >= -far ? start + dim : start, step < 0 ? -1 : 0,
                  step < 0 ? dim - 1 : dim);
    end = clamp(end < 0 && end >= -far ? end + dim : end, step < 0 ? -1 : 0, dim);
    const int64_t length = step > 0 ? end - start : start - end, size = step > 0 ? step : -step;
    *cut = (struct cut){start, step, length > 0 ? (length - 1) / size + 1 : 0};
    return NULL;
}

static struct us_error *read_cuts(struct us_onnx_net *net, struct us_onnx_op *op,
                                  const struct us_onnx_shape *in, struct cut *cuts) {
    struct us_onnx_list starts, ends, axes, steps;
    US_TRY(us_onnx_ints(net, op, "starts", 1, &starts));
    US_TRY(us_onnx_ints(net, op, "ends", 2, &ends));
    US_TRY(us_onnx_ints(net, op, "axes", 3, &axes));
    US_TRY(us_onnx_ints(net, op, "steps", 4, &steps));
    if (!starts.found || starts.count != ends.count || starts.count > (size_t)in->rank ||
        (axes.found && axes.count != starts.count) ||
        (steps.found && steps.count != starts.count)) {
        return us_fail(US_FAILED, "its starts, ends, axes and steps do not go together");
    }
    for (int i = 0; i < in->rank; i++) {
        cuts[i] = (struct cut){0, 1, in->dims[i]};
    }
    for (size_t i = 0; i < starts.count; i++) {
        int axis;
        US_TRY(us_onnx_axis(axes.found ? axes.items[i] : (int64_t)i, in->rank, &axis));
        US_TRY(cut_axis(starts.items[i], ends.items[i], steps.found ? steps.items[i] : 1,
                        in->dims[axis], &cuts[axis]));
    }
    return NULL;
}

static struct us_error *prepare_slice(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_shape *in = &us_onnx_in(net, op, 0)->shape;
    struct us_onnx_shape out = *in;
    struct cut cuts[US_ONNX_RANK];
    int64_t strides[US_ONNX_RANK], *maps[US_ONNX_RANK];
    US_TRY(read_cuts(net, op, in, cuts));
    for (int i = 0; i < in->rank; i++) {
        out.dims[i] = cuts[i].count;
    }
    US_TRY(us_onnx_shape_out(net, op, 0, us_onnx_in(net, op, 0)->integer, &out));
    US_TRY(us_onnx_plan_picks(net, op, 1));
    US_TRY(us_onnx_plan_pick(net, op, 0, &out, maps));
    us_onnx_steps(in, strides);
    for (int i = 0; i < in->rank; i++) {
        us_onnx_ramp(maps[i], out.dims[i], cuts[i].first, cuts[i].step, strides[i]);
    }
    return NULL;
}

/* The length of each part: as listed, or as even as can be. */
static struct us_error *part_lengths(struct us_onnx_net *net, struct us_onnx_op *op, int64_t length,
                                     int64_t *parts) {
    struct us_onnx_list split;
    const int64_t count = op->output_count, each = (length + count - 1) / count;
    int64_t sum = 0;
    US_TRY(us_onnx_ints(net, op, "split", 1, &split));
    if (split.found && split.count != (size_t)count) {
        return us_fail(US_FAILED, "it has %d outputs and %zu lengths", op->output_count,
                       split.count);
    }
    for (int64_t i = 0; i < count; i++) {
        const int64_t even = clamp(length - i * each, 0, each);
        parts[i] = split.found ? split.items[i] : even;
        if (parts[i] < 0 || parts[i] > length - sum) {
            return us_fail(US_FAILED, "its parts are longer than its input");
        }
        sum += parts[i];
    }
    return sum == length ? NULL : us_fail(US_FAILED, "its parts are shorter than its input");
}

static struct us_error *prepare_split(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_shape *in = &us_onnx_in(net, op, 0)->shape;
    int64_t strides[US_ONNX_RANK], *maps[US_ONNX_RANK], first = 0, *parts;
    int axis;
    US_TRY(us_onnx_axis(us_onnx_int(op, "axis", 0), in->rank, &axis));
    US_TRY(us_onnx_keep(net, (size_t)op->output_count * sizeof *parts, &parts));
    US_TRY(part_lengths(net, op, in->dims[axis], parts));
    US_TRY(us_onnx_plan_picks(net, op, op->output_count));
    us_onnx_steps(in, strides);
    for (int k = 0; k < op->output_count; k++) {
        struct us_onnx_shape out = *in;
        out.dims[axis] = parts[k];
        US_TRY(us_onnx_shape_out(net, op, k, us_onnx_in(net, op, 0)->integer, &out));
        US_TRY(us_onnx_plan_pick(net, op, k, &out, maps));
        for (int i = 0; i < in->rank; i++) {
            us_onnx_ramp(maps[i], out.dims[i], i == axis ? first : 0, 1, strides[i]);
        }
        first += parts[k];
    }
    return NULL;
}

/* Both ways between channels and a block of pixels, as a transposition of six axes. `order` gives,
 * for each axis of the result, the one of the input it walks. */
static struct us_error *prepare_blocks(struct us_onnx_net *net, struct us_onnx_op *op,
                                       const struct us_onnx_shape *out, const int64_t split[6],
                                       const int order[6]) {
    const struct us_onnx_shape inner = {
        6, {split[0], split[1], split[2], split[3], split[4], split[5]}};
    struct us_onnx_shape result = {.rank = 6};
    int64_t steps[US_ONNX_RANK], *maps[US_ONNX_RANK];
    for (int i = 0; i < 6; i++) {
        result.dims[i] = split[order[i]];
    }
    US_TRY(us_onnx_shape_out(net, op, 0, us_onnx_in(net, op, 0)->integer, out));
    US_TRY(us_onnx_plan_picks(net, op, 1));
    US_TRY(us_onnx_plan_pick(net, op, 0, &result, maps));
    us_onnx_steps(&inner, steps);
    for (int i = 0; i < 6; i++) {
        us_onnx_ramp(maps[i], result.dims[i], 0, 1, steps[order[i]]);
    }
    return NULL;
}

static struct us_error *block_size(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                   int64_t *block) {
    *block = us_onnx_int(op, "blocksize", 0);
    const bool image = us_onnx_in(net, op, 0)->shape.rank == 4;
    return image && *block > 0 && *block < 1 << 10
               ? NULL
               : us_fail(US_FAILED, "its block size is %lld or its input no image",
                         (long long)*block);
}

static struct us_error *prepare_depth_to_space(struct us_onnx_net *net, struct us_onnx_op *op) {
    static const int orders[2][6] = {{0, 3, 4, 1, 5, 2}, {0, 1, 4, 2, 5, 3}}; /* DCR, CRD */
    int64_t b;
    US_TRY(block_size(net, op, &b));
    const int64_t *d = us_onnx_in(net, op, 0)->shape.dims, c = d[1] / (b * b);
    const bool crd = strcmp(us_onnx_word(op, "mode", "DCR"), "CRD") == 0;
    if (d[1] % (b * b)) {
        return us_fail(US_FAILED, "its %lld channels make no blocks of %lld x %lld",
                       (long long)d[1], (long long)b, (long long)b);
    }
    const struct us_onnx_shape out = {4, {d[0], c, d[2] * b, d[3] * b}};
    const int64_t dcr_split[6] = {d[0], b, b, c, d[2], d[3]};
    const int64_t crd_split[6] = {d[0], c, b, b, d[2], d[3]};
    return prepare_blocks(net, op, &out, crd ? crd_split : dcr_split, orders[crd]);
}

static struct us_error *prepare_space_to_depth(struct us_onnx_net *net, struct us_onnx_op *op) {
    static const int order[6] = {0, 3, 5, 1, 2, 4};
    int64_t b;
    US_TRY(block_size(net, op, &b));
    const int64_t *d = us_onnx_in(net, op, 0)->shape.dims;
    if (d[2] % b || d[3] % b || d[1] > (int64_t)1 << 40) {
        return us_fail(US_FAILED, "an image of %lld x %lld makes no blocks of %lld",
                       (long long)d[3], (long long)d[2], (long long)b);
    }
    const struct us_onnx_shape out = {4, {d[0], d[1] * b * b, d[2] / b, d[3] / b}};
    const int64_t split[6] = {d[0], d[1], d[2] / b, b, d[3] / b, b};
    return prepare_blocks(net, op, &out, split, order);
}

static struct us_error *prepare_expand(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *in = us_onnx_in(net, op, 0);
    const bool tile = strcmp(op->kind->name, "Tile") == 0;
    struct us_onnx_shape out = in->shape, target = {0};
    struct us_onnx_list list;
    int64_t strides[US_ONNX_RANK], *maps[US_ONNX_RANK];
    US_TRY(us_onnx_ints(net, op, "shape", 1, &list));
    if (!list.found || list.count > US_ONNX_RANK ||
        (tile && list.count != (size_t)in->shape.rank)) {
        return us_fail(US_FAILED, "its shape has %zu dimensions", list.count);
    }
    target.rank = (int)list.count;
    for (size_t i = 0; i < list.count; i++) {
        const int64_t dim = tile ? in->shape.dims[i] : 1;
        if (list.items[i] < 0 || list.items[i] > (int64_t)1 << 40 || dim > (int64_t)1 << 20) {
            return us_fail(US_FAILED, "its dimension %zu is %lld", i, (long long)list.items[i]);
        }
        target.dims[i] = list.items[i] * dim;
    }
    if (tile) {
        out = target;
    } else {
        US_TRY(us_onnx_broadcast(&out, &target));
    }
    US_TRY(us_onnx_shape_out(net, op, 0, in->integer, &out));
    US_TRY(us_onnx_plan_picks(net, op, 1));
    US_TRY(us_onnx_plan_pick(net, op, 0, &out, maps));
    us_onnx_steps(&in->shape, strides);
    const int shift = out.rank - in->shape.rank;
    for (int i = 0; i < out.rank && maps[i]; i++) {
        const int64_t dim = i < shift ? 1 : in->shape.dims[i - shift];
        for (int64_t k = 0; k < out.dims[i]; k++) {
            maps[i][k] = i < shift ? 0 : k % dim * strides[i - shift];
        }
    }
    return NULL;
}

/* Along one axis, by a constant list of indices. */
static struct us_error *prepare_gather(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *in = us_onnx_in(net, op, 0), *list = us_onnx_in(net, op, 1);
    struct us_onnx_shape flat = in->shape, out = {0};
    int64_t strides[US_ONNX_RANK], *maps[US_ONNX_RANK];
    int axis;
    US_TRY(us_onnx_axis(us_onnx_int(op, "axis", 0), in->shape.rank, &axis));
    US_TRY(us_onnx_need_constant(net, op, 1, "indices"));
    const int64_t length = in->shape.dims[axis];
    if (!list->integer || in->shape.rank - 1 + list->shape.rank > US_ONNX_RANK) {
        return us_fail(US_FAILED, "its indices are no whole numbers, or of too many dimensions");
    }
    for (int i = 0; i < in->shape.rank; i++) {
        for (int k = 0; k < list->shape.rank && i == axis; k++) {
            out.dims[out.rank++] = list->shape.dims[k];
        }
        if (i != axis) {
            out.dims[out.rank++] = in->shape.dims[i];
        }
    }
    flat.dims[axis] = (int64_t)list->count;
    US_TRY(us_onnx_shape_out(net, op, 0, in->integer, &out));
    US_TRY(us_onnx_plan_picks(net, op, 1));
    US_TRY(us_onnx_plan_pick(net, op, 0, &flat, maps));
    us_onnx_steps(&in->shape, strides);
    for (int i = 0; i < flat.rank && maps[0]; i++) {
        us_onnx_ramp(maps[i], flat.dims[i], 0, 1, strides[i]);
    }
    for (size_t k = 0; k < list->count && maps[axis]; k++) {
        const int64_t index = ((const int64_t *)list->constant)[k];
        if (index < -length || index >= length) {
            return us_fail(US_FAILED, "its index %lld is outside of %lld", (long long)index,
                           (long long)length);
        }
        maps[axis][k] = (index < 0 ? index + length : index) * strides[axis];
    }
    return NULL;
}

const struct us_onnx_kind us_onnx_move_kinds[] = {
    {"DepthToSpace", 1, 1, 1, false, prepare_depth_to_space, us_onnx_run_picks},
    {"Expand", 2, 2, 1, true, prepare_expand, us_onnx_run_picks},
    {"Gather", 2, 2, 1, true, prepare_gather, us_onnx_run_picks},
    {"Resize", 1, 4, 1, false, us_onnx_prepare_resize, us_onnx_run_resize},
    {"Slice", 1, 5, 1, true, prepare_slice, us_onnx_run_picks},
    {"SpaceToDepth", 1, 1, 1, false, prepare_space_to_depth, us_onnx_run_picks},
    {"Split", 1, 2, 64, true, prepare_split, us_onnx_run_picks},
    {"Tile", 2, 2, 1, true, prepare_expand, us_onnx_run_picks},
    {"Transpose", 1, 1, 1, true, prepare_transpose, us_onnx_run_picks},
    {"Upsample", 1, 2, 1, false, us_onnx_prepare_resize, us_onnx_run_resize},
    {0},
};
