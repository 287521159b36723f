#include <math.h>
#include <string.h>

#include "nodes/learn/onnx/move.h"

enum place { HALF_PIXEL, PYTORCH, ALIGN_CORNERS, ASYMMETRIC, SYMMETRIC, NEAREST_HALF };
enum rounding { PREFER_FLOOR, PREFER_CEIL, FLOOR, CEIL };

/* How an output's coordinate becomes one of the input. */
struct rule {
    enum place place;
    enum rounding rounding;
    bool linear;
    float scales[US_ONNX_RANK];
};

struct blends {
    struct us_onnx_pick pick; /* nearest; the plan's first member, as run_picks reads it */
    bool linear;
    struct us_onnx_blend *rows, *columns;
};

static int find_word(const char *word, const char *const *words) {
    for (int i = 0; words[i]; i++) {
        if (strcmp(word, words[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static struct us_error *read_rule(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                  struct rule *rule) {
    static const char *const places[] = {
        "half_pixel", "pytorch_half_pixel",   "align_corners",
        "asymmetric", "half_pixel_symmetric", "tf_half_pixel_for_nn",
        NULL};
    static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                            "ceil", NULL};
    const bool early = net->file->opset < 11;
    const char *mode = us_onnx_word(op, "mode", "nearest");
    const char *place =
        early ? "asymmetric" : us_onnx_word(op, "coordinate_transformation_mode", places[0]);
    const char *rounding = early ? "floor" : us_onnx_word(op, "nearest_mode", roundings[0]);
    const char *policy = us_onnx_word(op, "keep_aspect_ratio_policy", "stretch");
    const int place_index = find_word(place, places), round = find_word(rounding, roundings);
    rule->linear = strcmp(mode, "linear") == 0;
    if (!rule->linear && strcmp(mode, "nearest") != 0) {
        return us_fail(US_FAILED, "its mode is '%.40s', known are nearest and linear", mode);
    }
    if (place_index < 0 || round < 0 || strcmp(policy, "stretch") != 0 ||
        us_onnx_int(op, "antialias", 0)) {
        return us_fail(US_FAILED, "it places samples by '%.40s', '%.40s', '%.40s', antialias %lld",
                       place, rounding, policy, (long long)us_onnx_int(op, "antialias", 0));
    }
    rule->place = (enum place)place_index;
    rule->rounding = (enum rounding)round;
    return NULL;
}

static float coordinate(const struct rule *rule, int axis, int64_t at, int64_t in, int64_t out) {
    const float scale = rule->scales[axis], x = (float)at;
    const float half = (x + 0.5f) / scale - 0.5f;
    switch (rule->place) {
    case PYTORCH:
        return out > 1 ? half : 0;
    case ALIGN_CORNERS:
        return out > 1 ? x * (float)(in - 1) / (float)(out - 1) : 0;
    case ASYMMETRIC:
        return x / scale;
    case SYMMETRIC:
        return (float)in / 2 * (1 - (float)out / (scale * (float)in)) + half;
    case NEAREST_HALF:
        return (x + 0.5f) / scale;
    default:
        return half;
    }
}

/* Beyond 2^24 the last index has no float of its own. */
static int64_t within(float x, int64_t in) {
    return !(x > 0) ? 0 : x >= (float)(in - 1) ? in - 1 : (int64_t)x;
}

static int64_t nearest(const struct rule *rule, float x, int64_t in) {
    switch (rule->rounding) {
    case PREFER_FLOOR:
        return within(ceilf(x - 0.5f), in);
    case PREFER_CEIL:
        return within(floorf(x + 0.5f), in);
    case FLOOR:
        return within(floorf(x), in);
    default:
        return within(ceilf(x), in);
    }
}

/* Values given for some axes only go to their places. */
static struct us_error *place_axes(struct us_onnx_net *net, const struct us_onnx_op *op, int rank,
                                   size_t count, int axes[US_ONNX_RANK]) {
    struct us_onnx_list list;
    US_TRY(us_onnx_ints(net, op, "axes", 0, &list));
    if (count != (list.found ? list.count : (size_t)rank) || count > US_ONNX_RANK) {
        return us_fail(US_FAILED, "it gives %zu sizes for %d dimensions", count, rank);
    }
    for (size_t i = 0; i < count; i++) {
        US_TRY(us_onnx_axis(list.found ? list.items[i] : (int64_t)i, rank, &axes[i]));
    }
    return NULL;
}

static struct us_error *size_by_scales(struct us_onnx_net *net, const struct us_onnx_op *op,
                                       const float *scales, size_t count, struct rule *rule,
                                       struct us_onnx_shape *out) {
    int axes[US_ONNX_RANK];
    US_TRY(place_axes(net, op, out->rank, count, axes));
    for (size_t i = 0; i < count; i++) {
        const float size = floorf((float)out->dims[axes[i]] * scales[i]);
        if (!(scales[i] > 0) || !(size >= 1) || size > 1e7f) {
            return us_fail(US_FAILED, "its scale is %g", (double)scales[i]);
        }
        rule->scales[axes[i]] = scales[i];
        out->dims[axes[i]] = (int64_t)size;
    }
    return NULL;
}

static struct us_error *size_by_sizes(struct us_onnx_net *net, const struct us_onnx_op *op,
                                      const struct us_onnx_value *sizes, struct rule *rule,
                                      struct us_onnx_shape *out) {
    int axes[US_ONNX_RANK];
    US_TRY(us_onnx_need_constant(net, op, 3, "sizes"));
    US_TRY(place_axes(net, op, out->rank, sizes->count, axes));
    for (size_t i = 0; i < sizes->count && sizes->integer; i++) {
        const int64_t size = ((const int64_t *)sizes->constant)[i];
        if (size < 1 || size > 10000000) {
            return us_fail(US_FAILED, "its size is %lld", (long long)size);
        }
        rule->scales[axes[i]] = (float)size / (float)out->dims[axes[i]];
        out->dims[axes[i]] = size;
    }
    return NULL;
}

static struct us_error *find_size(struct us_onnx_net *net, const struct us_onnx_op *op,
                                  struct rule *rule, struct us_onnx_shape *out) {
    const struct us_onnx_attribute *stored = us_onnx_attribute(op->node, "scales");
    const struct us_onnx_value *sizes = us_onnx_in(net, op, 3);
    const int at = net->file->opset < 11 ? 1 : 2;
    const struct us_onnx_value *scales = us_onnx_in(net, op, at);
    for (int i = 0; i < out->rank; i++) {
        rule->scales[i] = 1;
    }
    if (stored) {
        return size_by_scales(net, op, stored->numbers, stored->number_count, rule, out);
    }
    if (sizes && sizes->count) {
        return size_by_sizes(net, op, sizes, rule, out);
    }
    const float *values;
    US_TRY(us_onnx_floats(net, op, at, "scales", 0, &values));
    return values ? size_by_scales(net, op, values, scales->count, rule, out)
                  : us_fail(US_FAILED, "it has neither scales nor sizes");
}

static struct us_error *plan_nearest(struct us_onnx_net *net, struct us_onnx_op *op,
                                     const struct rule *rule, const struct us_onnx_shape *in,
                                     const struct us_onnx_shape *out) {
    int64_t steps[US_ONNX_RANK], *maps[US_ONNX_RANK];
    US_TRY(us_onnx_plan_pick(net, op, 0, out, maps));
    us_onnx_steps(in, steps);
    for (int i = 0; i < out->rank && maps[0]; i++) {
        for (int64_t k = 0; k < out->dims[i]; k++) {
            const float x = coordinate(rule, i, k, in->dims[i], out->dims[i]);
            const bool same = in->dims[i] == out->dims[i];
            maps[i][k] = (same ? k : nearest(rule, x, in->dims[i])) * steps[i];
        }
    }
    return NULL;
}

static struct us_error *plan_blends(struct us_onnx_net *net, const struct rule *rule, int axis,
                                    int64_t in, int64_t out, struct us_onnx_blend **blends) {
    US_TRY(us_onnx_keep(net, (size_t)out * sizeof **blends, blends));
    for (int64_t k = 0; k < out; k++) {
        float x = coordinate(rule, axis, k, in, out);
        x = !(x > 0) ? 0 : x > (float)(in - 1) ? (float)(in - 1) : x;
        const int64_t low = (int64_t)x;
        (*blends)[k].low = (int32_t)low;
        (*blends)[k].high = (int32_t)(low + 1 < in ? low + 1 : low);
        (*blends)[k].weight = x - (float)low;
    }
    return NULL;
}

static struct us_error *plan_linear(struct us_onnx_net *net, struct blends *plan,
                                    const struct rule *rule, const struct us_onnx_shape *in,
                                    const struct us_onnx_shape *out) {
    const int rank = in->rank;
    for (int i = 0; i < rank - 2; i++) {
        if (in->dims[i] != out->dims[i]) {
            return us_fail(US_FAILED, "it resizes axis %d, known are rows and columns", i);
        }
    }
    if (rank < 2 || in->dims[rank - 1] > 10000000 || in->dims[rank - 2] > 10000000) {
        return us_fail(US_FAILED, "its input is %s", us_onnx_shape_text(in));
    }
    US_TRY(plan_blends(net, rule, rank - 2, in->dims[rank - 2], out->dims[rank - 2], &plan->rows));
    return plan_blends(net, rule, rank - 1, in->dims[rank - 1], out->dims[rank - 1],
                       &plan->columns);
}

struct us_error *us_onnx_prepare_resize(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *value = us_onnx_in(net, op, 0);
    struct us_onnx_shape out = value->shape;
    struct rule rule = {0};
    struct blends *plan;
    US_TRY(read_rule(net, op, &rule));
    if (value->count == 0) {
        return us_fail(US_FAILED, "its input has no elements");
    }
    US_TRY(find_size(net, op, &rule, &out));
    US_TRY(us_onnx_shape_out(net, op, 0, false, &out));
    US_TRY(us_onnx_keep(net, sizeof *plan, &plan));
    op->plan = plan;
    plan->linear = rule.linear;
    return rule.linear ? plan_linear(net, plan, &rule, &value->shape, &out)
                       : plan_nearest(net, op, &rule, &value->shape, &out);
}

struct us_error *us_onnx_run_resize(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct blends *plan = op->plan;
    if (!plan->linear) {
        return us_onnx_run_picks(net, op);
    }
    const struct us_onnx_value *in = us_onnx_in(net, op, 0), *out = us_onnx_out(net, op, 0);
    const int rank = in->shape.rank;
    const int64_t *from = in->shape.dims + rank - 2, *to = out->shape.dims + rank - 2;
    us_onnx_resize_linear(us_onnx_data(net, in), (int32_t)from[0], (int32_t)from[1],
                          in->count / (size_t)(from[0] * from[1]), plan->rows, (int32_t)to[0],
                          plan->columns, (int32_t)to[1], us_onnx_data(net, out));
    return NULL;
}
