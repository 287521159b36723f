#include <string.h>

#include "kernels/nn/onnx_ops.h"
#include "nodes/learn/onnx/net_internal.h"
#include "nodes/learn/onnx/window.h"
#include "runtime/base/mem.h"

static const int64_t most_window = (int64_t)1 << 16, most_length = (int64_t)1 << 24;

static struct us_error *read_pair(const struct us_onnx_op *op, const char *name, int axes,
                                  int64_t least, int64_t pair[2]) {
    const struct us_onnx_attribute *list = us_onnx_attribute(op->node, name);
    if (!list) {
        return NULL;
    }
    if (list->integer_count != (size_t)axes) {
        return us_fail(US_FAILED, "its %s are %zu numbers, wanted %d", name, list->integer_count,
                       axes);
    }
    for (int i = 0; i < axes; i++) {
        pair[2 - axes + i] = list->integers[i];
        if (list->integers[i] < least || list->integers[i] > most_window) {
            return us_fail(US_FAILED, "its %s have %lld", name, (long long)list->integers[i]);
        }
    }
    return NULL;
}

static struct us_error *read_pads(const struct us_onnx_op *op, int axes,
                                  struct us_onnx_sliding *window) {
    const struct us_onnx_attribute *list = us_onnx_attribute(op->node, "pads");
    if (!list) {
        return NULL;
    }
    if (list->integer_count != 2 * (size_t)axes) {
        return us_fail(US_FAILED, "its pads are %zu numbers, wanted %d", list->integer_count,
                       2 * axes);
    }
    for (int i = 0; i < axes; i++) {
        const int64_t before = list->integers[i], after = list->integers[axes + i];
        if (before < 0 || after < 0 || before > most_window || after > most_window) {
            return us_fail(US_FAILED, "its pads are %lld and %lld", (long long)before,
                           (long long)after);
        }
        window->before[2 - axes + i] = before;
        window->after[2 - axes + i] = after;
    }
    return NULL;
}

struct us_error *us_onnx_read_window(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                     const int64_t kernel[2], struct us_onnx_sliding *window) {
    const struct us_onnx_shape *in = &us_onnx_in(net, op, 0)->shape;
    if ((in->rank != 4 && in->rank != 3) || us_onnx_in(net, op, 0)->count == 0) {
        return us_fail(US_FAILED, "its input is %s, known are images and rows",
                       us_onnx_shape_text(in));
    }
    const int axes = in->rank - 2;
    *window = (struct us_onnx_sliding){.axes = axes,
                                       .in = {axes == 2 ? in->dims[2] : 1, in->dims[in->rank - 1]},
                                       .kernel = {kernel[0], kernel[1]},
                                       .stride = {1, 1},
                                       .dilation = {1, 1}};
    US_TRY(read_pair(op, "kernel_shape", axes, 1, window->kernel));
    US_TRY(read_pair(op, "strides", axes, 1, window->stride));
    US_TRY(read_pair(op, "dilations", axes, 1, window->dilation));
    US_TRY(read_pads(op, axes, window));
    const char *automatic = us_onnx_word(op, "auto_pad", "NOTSET");
    window->same = strncmp(automatic, "SAME_", 5) == 0;
    window->same_lower = strcmp(automatic, "SAME_LOWER") == 0;
    if (strcmp(automatic, "VALID") == 0) {
        memset(window->before, 0, sizeof window->before);
        memset(window->after, 0, sizeof window->after);
    }
    for (int i = 0; i < 2; i++) {
        if (window->kernel[i] < 1 || window->kernel[i] > most_window ||
            window->kernel[i] * window->dilation[i] > most_length) {
            return us_fail(US_FAILED, "its window is %lld x %lld, dilated by %lld x %lld",
                           (long long)window->kernel[0], (long long)window->kernel[1],
                           (long long)window->dilation[0], (long long)window->dilation[1]);
        }
        if (window->in[i] > most_length) {
            return us_fail(US_FAILED, "its input is %s", us_onnx_shape_text(in));
        }
    }
    return NULL;
}

static void share_pads(struct us_onnx_sliding *w, int i, int64_t total) {
    total = total > 0 ? total : 0;
    w->before[i] = (total + (w->same_lower ? 1 : 0)) / 2;
    w->after[i] = total - w->before[i];
}

struct us_error *us_onnx_slide(struct us_onnx_sliding *w, bool ceil_mode) {
    for (int i = 0; i < 2; i++) {
        const int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
        if (w->same) {
            const int64_t out = (w->in[i] - 1) / w->stride[i] + 1;
            share_pads(w, i, (out - 1) * w->stride[i] + reach - w->in[i]);
        }
        const int64_t room = w->in[i] + w->before[i] + w->after[i] - reach;
        const int64_t more = ceil_mode ? w->stride[i] - 1 : 0;
        w->out[i] = room < 0 ? 0 : (room + more) / w->stride[i] + 1;
        /* A last window that would begin beyond the input is left out. */
        if (ceil_mode && (w->out[i] - 1) * w->stride[i] >= w->in[i] + w->before[i]) {
            w->out[i]--;
        }
        if (w->out[i] < 1) {
            return us_fail(US_FAILED, "its window of %lld does not fit into %lld", (long long)reach,
                           (long long)w->in[i]);
        }
    }
    return NULL;
}

static struct us_error *grow(const struct us_onnx_op *op, struct us_onnx_sliding *w) {
    int64_t more[2] = {0, 0}, wanted[2] = {0, 0};
    US_TRY(read_pair(op, "output_padding", w->axes, 0, more));
    US_TRY(read_pair(op, "output_shape", w->axes, 1, wanted));
    w->same_lower |= !w->same; /* pads that follow from output_shape alone */
    for (int i = 0; i < 2; i++) {
        const int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
        const int64_t whole = (w->in[i] - 1) * w->stride[i] + reach + more[i];
        if (w->same && !wanted[i]) {
            wanted[i] = w->in[i] * w->stride[i];
        }
        if (wanted[i]) {
            share_pads(w, i, whole - wanted[i]);
            more[i] += wanted[i] > whole ? wanted[i] - whole : 0;
        }
        w->out[i] = wanted[i] ? wanted[i] : whole - w->before[i] - w->after[i];
        w->after[i] -= more[i]; /* the library's end of the input, which may lie inside */
        if (w->out[i] < 1 || w->out[i] > most_length || whole > INT32_MAX) {
            return us_fail(US_FAILED, "its result would have %lld rows or columns",
                           (long long)w->out[i]);
        }
    }
    return NULL;
}

static struct us_error *conv_shape(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                   struct us_onnx_conv_shape *s) {
    const struct us_onnx_shape *in = &us_onnx_in(net, op, 0)->shape;
    const struct us_onnx_shape *weights = &us_onnx_in(net, op, 1)->shape;
    const int64_t most = (int64_t)1 << 20;
    s->n = in->dims[0];
    s->in_channels = in->dims[1];
    s->groups = us_onnx_int(op, "group", 1);
    const bool fits = s->groups > 0 && s->groups <= most && weights->dims[0] > 0 &&
                      weights->dims[1] > 0 && weights->dims[0] <= most &&
                      weights->dims[1] <= most && s->in_channels <= most;
    const int64_t out =
        fits ? (s->transposed ? weights->dims[1] * s->groups : weights->dims[0]) : 0;
    const int64_t per =
        fits ? (s->transposed ? weights->dims[0] : weights->dims[1] * s->groups) : 0;
    if (!fits || per != s->in_channels || out % s->groups || s->in_channels % s->groups ||
        weights->rank != in->rank) {
        return us_fail(US_FAILED, "weights of %lld x %lld in %lld groups do not fit %lld channels",
                       (long long)weights->dims[0], (long long)weights->dims[1],
                       (long long)s->groups, (long long)s->in_channels);
    }
    s->out_channels = out;
    return NULL;
}

static struct us_error *create_conv(struct us_onnx_net *net, struct us_onnx_op *op,
                                    const struct us_onnx_conv_shape *s) {
    const float *weights, *bias;
    US_TRY(us_onnx_floats(net, op, 1, "weights", 0, &weights));
    US_TRY(us_onnx_floats(net, op, 2, "bias", (size_t)s->out_channels, &bias));
    enum us_nn_status status =
        us_onnx_conv_create(s, weights, bias, net->binding.threads, &op->conv);
    US_TRY(us_onnx_status(status));
    const size_t scratch = us_onnx_conv_scratch(op->conv);
    if (scratch > net->binding.memory) {
        return us_fail(US_FAILED, "it needs %zu MiB to work in, allowed are %zu", scratch >> 20,
                       net->binding.memory >> 20);
    }
    net->kept += us_onnx_conv_bytes(op->conv);
    net->scratch_bytes = scratch > net->scratch_bytes ? scratch : net->scratch_bytes;
    return NULL;
}

static struct us_error *prepare_conv(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_shape *in = &us_onnx_in(net, op, 0)->shape;
    const struct us_onnx_value *weights = us_onnx_in(net, op, 1);
    struct us_onnx_conv_shape s = {.transposed = strcmp(op->kind->name, "ConvTranspose") == 0};
    struct us_onnx_sliding w;
    const struct us_onnx_shape *k = &weights->shape;
    const int64_t kernel[2] = {k->rank == 4 ? k->dims[2] : 1, k->dims[k->rank ? k->rank - 1 : 0]};
    US_TRY(us_onnx_read_window(net, op, kernel, &w));
    US_TRY(conv_shape(net, op, &s));
    if (w.kernel[0] != kernel[0] || w.kernel[1] != kernel[1]) {
        return us_fail(US_FAILED, "its kernel is not its weights'");
    }
    US_TRY(s.transposed ? grow(op, &w) : us_onnx_slide(&w, false));
    for (int i = 0; i < 2; i++) {
        s.in[i] = w.in[i];
        s.out[i] = w.out[i];
        s.kernel[i] = w.kernel[i];
        s.stride[i] = w.stride[i];
        s.dilation[i] = w.dilation[i];
        s.before[i] = w.before[i];
        /* What of the input no window reaches counts as padding taken away. */
        const int64_t reach = (w.kernel[i] - 1) * w.dilation[i] + 1;
        s.after[i] = s.transposed ? w.after[i]
                                  : (w.out[i] - 1) * w.stride[i] + reach - w.in[i] - w.before[i];
    }
    struct us_onnx_shape out = {in->rank, {s.n, s.out_channels}};
    out.dims[in->rank - 1] = s.out[1];
    out.dims[2] = in->rank == 4 ? s.out[0] : s.out[1];
    US_TRY(us_onnx_shape_out(net, op, 0, false, &out));
    return create_conv(net, op, &s);
}

static struct us_error *run_conv(struct us_onnx_net *net, struct us_onnx_op *op) {
    const float *in = us_onnx_data(net, us_onnx_in(net, op, 0));
    float *out = us_onnx_data(net, us_onnx_out(net, op, 0));
    if (net->memory) {
        return us_onnx_status(us_onnx_conv_run(op->conv, in, out, net->memory + net->scratch));
    }
    /* A convolution of constants, while preparing. */
    void *scratch = us_try_alloc_pixels(us_onnx_conv_scratch(op->conv) + 1);
    if (!scratch) {
        return us_fail(US_RETRY, "no memory for a convolution");
    }
    const enum us_nn_status status = us_onnx_conv_run(op->conv, in, out, scratch);
    us_free(scratch);
    return us_onnx_status(status);
}

/* Products: every one of a batch, and where each operand begins. */
struct products {
    struct us_onnx_product product;
    int64_t count;
    int64_t *a, *b;             /* NULL: one product */
    struct us_onnx_walk spread; /* of Gemm's third input */
    float scale;
    bool added;
};

static struct us_error *check_product(const struct us_onnx_product *p, int64_t b_rows) {
    if (p->k != b_rows) {
        return us_fail(US_FAILED, "matrices of %lld x %lld and %lld x %lld do not multiply",
                       (long long)p->m, (long long)p->k, (long long)b_rows, (long long)p->n);
    }
    return p->m && p->n && p->k ? NULL : us_fail(US_FAILED, "a matrix has no elements");
}

static struct us_error *prepare_gemm(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *a = us_onnx_in(net, op, 0), *b = us_onnx_in(net, op, 1);
    const struct us_onnx_value *c = us_onnx_in(net, op, 2);
    struct products *plan;
    if (a->shape.rank != 2 || b->shape.rank != 2 || b->integer || (c && c->integer)) {
        return us_fail(US_FAILED, "its operands are no matrices of floats");
    }
    US_TRY(us_onnx_keep(net, sizeof *plan, &plan));
    op->plan = plan;
    struct us_onnx_product *p = &plan->product;
    p->flip_a = us_onnx_int(op, "transA", 0) != 0;
    p->flip_b = us_onnx_int(op, "transB", 0) != 0;
    p->m = a->shape.dims[p->flip_a];
    p->k = a->shape.dims[!p->flip_a];
    p->n = b->shape.dims[!p->flip_b];
    p->alpha = us_onnx_float(op, "alpha", 1);
    plan->scale = us_onnx_float(op, "beta", 1);
    plan->added = c != NULL;
    p->beta = plan->added ? 1 : 0;
    US_TRY(check_product(p, b->shape.dims[p->flip_b]));
    struct us_onnx_shape out = {2, {p->m, p->n}};
    US_TRY(us_onnx_shape_out(net, op, 0, false, &out));
    if (c) {
        int64_t steps[US_ONNX_RANK];
        US_TRY(us_onnx_broadcast(&out, &c->shape));
        if (out.rank != 2 || out.dims[0] != p->m || out.dims[1] != p->n) {
            return us_fail(US_FAILED, "its third input is %s", us_onnx_shape_text(&c->shape));
        }
        us_onnx_steps(&c->shape, steps);
        plan->spread = (struct us_onnx_walk){.rank = 2, .counts = {p->m, p->n}};
        for (int i = 1; i <= c->shape.rank; i++) {
            const int at = c->shape.rank - i;
            plan->spread.steps[0][2 - i] = c->shape.dims[at] == 1 ? 0 : steps[at];
        }
    }
    return NULL;
}

static struct us_error *run_gemm(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct products *plan = op->plan;
    float *out = us_onnx_data(net, us_onnx_out(net, op, 0));
    if (plan->added) {
        const float *c = us_onnx_data(net, us_onnx_in(net, op, 2));
        us_onnx_binary(US_BINARY_MUL, &plan->spread, c, &plan->scale, out);
    }
    return us_onnx_status(
        us_onnx_multiply(&plan->product, us_onnx_data(net, us_onnx_in(net, op, 0)),
                         us_onnx_data(net, us_onnx_in(net, op, 1)), out, net->binding.threads));
}

/* Where the matrices of a stack begin, for every matrix of the result's. */
static void place_stack(const struct us_onnx_shape *out, const struct us_onnx_shape *operand,
                        int64_t count, int64_t *starts) {
    int64_t steps[US_ONNX_RANK];
    us_onnx_steps(operand, steps);
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i;
        for (int axis = out->rank - 1; axis >= 0; axis--) {
            const int own = operand->rank - 2 - (out->rank - axis);
            const int64_t index = rest % out->dims[axis];
            rest /= out->dims[axis];
            starts[i] += own >= 0 && operand->dims[own] != 1 ? index * steps[own] : 0;
        }
    }
}

static struct us_error *prepare_matmul(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_value *a = us_onnx_in(net, op, 0), *b = us_onnx_in(net, op, 1);
    struct products *plan;
    if (a->shape.rank < 2 || b->shape.rank < 2 || b->integer || !a->count || !b->count) {
        return us_fail(US_FAILED, "its operands are no matrices of floats");
    }
    US_TRY(us_onnx_keep(net, sizeof *plan, &plan));
    op->plan = plan;
    struct us_onnx_shape out = a->shape, stack = b->shape;
    out.rank -= 2;
    stack.rank -= 2;
    const int64_t *rows = a->shape.dims + out.rank, *columns = b->shape.dims + stack.rank;
    plan->product =
        (struct us_onnx_product){.m = rows[0], .k = rows[1], .n = columns[1], .alpha = 1};
    US_TRY(check_product(&plan->product, columns[0]));
    US_TRY(us_onnx_broadcast(&out, &stack));
    stack = out;
    out.dims[out.rank++] = rows[0];
    out.dims[out.rank++] = columns[1];
    US_TRY(us_onnx_shape_out(net, op, 0, false, &out));
    const size_t matrix = (size_t)rows[0] * (size_t)columns[1];
    plan->count = (int64_t)(us_onnx_out(net, op, 0)->count / matrix);
    US_TRY(us_onnx_keep(net, (size_t)plan->count * sizeof *plan->a, &plan->a));
    US_TRY(us_onnx_keep(net, (size_t)plan->count * sizeof *plan->b, &plan->b));
    place_stack(&stack, &a->shape, plan->count, plan->a);
    place_stack(&stack, &b->shape, plan->count, plan->b);
    return NULL;
}

static struct us_error *run_matmul(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct products *plan = op->plan;
    const float *a = us_onnx_data(net, us_onnx_in(net, op, 0));
    const float *b = us_onnx_data(net, us_onnx_in(net, op, 1));
    float *out = us_onnx_data(net, us_onnx_out(net, op, 0));
    for (int64_t i = 0; i < plan->count; i++, out += plan->product.m * plan->product.n) {
        US_TRY(us_onnx_status(us_onnx_multiply(&plan->product, a + plan->a[i], b + plan->b[i], out,
                                               net->binding.threads)));
    }
    return NULL;
}

const struct us_onnx_kind us_onnx_linear_kinds[] = {
    {"Conv", 2, 3, 1, false, prepare_conv, run_conv},
    {"ConvTranspose", 2, 3, 1, false, prepare_conv, run_conv},
    {"Gemm", 2, 3, 1, false, prepare_gemm, run_gemm},
    {"MatMul", 2, 2, 1, false, prepare_matmul, run_matmul},
    {0},
};
