#include <math.h>

#include "kernels/nn/onnx_ops.h"

#define EACH(expression)                 \
    for (size_t i = 0; i < count; i++) { \
        const float x = in[i];           \
        out[i] = (expression);           \
    }                                    \
    break

static float within(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

static float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

static void unary_smooth(enum us_unary kind, float a, const float *in, float *out, size_t count) {
    switch (kind) {
    case US_UNARY_COS:
        EACH(cosf(x));
    case US_UNARY_ELU:
        EACH(x < 0 ? a * expm1f(x) : x);
    case US_UNARY_ERF:
        EACH(erff(x));
    case US_UNARY_EXP:
        EACH(expf(x));
    case US_UNARY_LOG:
        EACH(logf(x));
    case US_UNARY_SIGMOID:
        EACH(sigmoid(x));
    case US_UNARY_SIN:
        EACH(sinf(x));
    case US_UNARY_SOFTPLUS:
        EACH(x > 20 ? x : log1pf(expf(x)));
    case US_UNARY_SQRT:
        EACH(sqrtf(x));
    case US_UNARY_TANH:
        EACH(tanhf(x));
    default:
        break;
    }
}

void us_onnx_unary(enum us_unary kind, float a, float b, const float *in, float *out,
                   size_t count) {
    switch (kind) {
    case US_UNARY_ABS:
        EACH(fabsf(x));
    case US_UNARY_CEIL:
        EACH(ceilf(x));
    case US_UNARY_CLIP:
        EACH(within(x, a, b));
    case US_UNARY_FLOOR:
        EACH(floorf(x));
    case US_UNARY_HARD_SIGMOID:
        EACH(within(a * x + b, 0, 1));
    case US_UNARY_HARD_SWISH:
        EACH(x * within(x / 6 + 0.5f, 0, 1));
    case US_UNARY_LEAKY_RELU:
        EACH(x < 0 ? a * x : x);
    case US_UNARY_NEG:
        EACH(-x);
    case US_UNARY_RECIPROCAL:
        EACH(1 / x);
    case US_UNARY_RELU:
        EACH(x < 0 ? 0 : x);
    default:
        unary_smooth(kind, a, in, out, count);
    }
}

/* One row: steps of 0 or 1. */
#define ROW(expression)                           \
    for (int64_t i = 0; i < count; i++) {         \
        const float p = x[i * xs], q = y[i * ys]; \
        out[i] = (expression);                    \
    }                                             \
    break

static inline __attribute__((always_inline)) void row(enum us_binary kind, const float *x,
                                                      int64_t xs, const float *y, int64_t ys,
                                                      float *out, int64_t count) {
    switch (kind) {
    case US_BINARY_ADD:
        ROW(p + q);
    case US_BINARY_SUB:
        ROW(p - q);
    case US_BINARY_MUL:
        ROW(p * q);
    case US_BINARY_DIV:
        ROW(p / q);
    case US_BINARY_POW:
        ROW(q == 2 ? p * p : powf(p, q));
    case US_BINARY_MIN:
        ROW(q < p ? q : p);
    case US_BINARY_MAX:
        ROW(q > p ? q : p);
    case US_BINARY_PRELU:
        ROW(p < 0 ? p * q : p);
    }
}

static void any_row(enum us_binary kind, const float *x, int64_t xs, const float *y, int64_t ys,
                    float *out, int64_t count) {
    if (xs == 1 && ys == 1) {
        row(kind, x, 1, y, 1, out, count);
    } else if (xs == 1 && ys == 0) {
        row(kind, x, 1, y, 0, out, count);
    } else {
        row(kind, x, xs, y, ys, out, count);
    }
}

/* Joins axes that both operands walk without a gap; the last axis ends up as long as can be. */
static struct us_onnx_walk merged(const struct us_onnx_walk *walk) {
    struct us_onnx_walk m = {.rank = 1, .counts = {1}};
    for (int k = 0; k < walk->rank; k++) {
        const int at = m.rank - 1;
        const int64_t count = walk->counts[k];
        const int64_t *x = walk->steps[0], *y = walk->steps[1];
        if (count == 1) {
            continue;
        }
        const bool joins = m.steps[0][at] == x[k] * count && m.steps[1][at] == y[k] * count;
        const int to = m.counts[at] == 1 || joins ? at : m.rank++;
        m.counts[to] = (to == at ? m.counts[at] : 1) * count;
        m.steps[0][to] = x[k];
        m.steps[1][to] = y[k];
    }
    return m;
}

void us_onnx_binary(enum us_binary kind, const struct us_onnx_walk *walk, const float *x,
                    const float *y, float *out) {
    const struct us_onnx_walk m = merged(walk);
    const int last = m.rank - 1;
    int64_t index[US_ONNX_AXES] = {0}, rows = 1;
    for (int k = 0; k < last; k++) {
        rows *= m.counts[k];
    }
    for (int64_t r = 0; r < rows; r++, out += m.counts[last]) {
        any_row(kind, x, m.steps[0][last], y, m.steps[1][last], out, m.counts[last]);
        for (int k = last - 1; k >= 0; k--) {
            x += m.steps[0][k];
            y += m.steps[1][k];
            if (++index[k] < m.counts[k]) {
                break;
            }
            x -= m.steps[0][k] * m.counts[k];
            y -= m.steps[1][k] * m.counts[k];
            index[k] = 0;
        }
    }
}
