#include <math.h>

#include "kernels/nn/memory.h"
#include "kernels/nn/op_test_internal.h"

/* Where in y we are. */
struct at {
    int n, c, y, x;
};

static double leaky(double v, float slope) {
    return v > 0 ? v : v * (double)slope;
}

static double value(const struct us_nn_op_call *k, const double *x, int n, int c, int y, int i) {
    return x[((n * k->c + c) * k->h + y) * k->w + i];
}

static int before(int out, int in, const struct us_nn_op_call *k) {
    const int total = (out - 1) * k->stride + k->kernel - in;
    return total > 0 ? total / 2 : 0;
}

static double conv(const struct us_nn_op_call *k, const struct nn_reference_inputs *in,
                   const struct us_nn_op_sizes *s, struct at at, size_t index) {
    const int taps = k->kernel * k->kernel;
    double sum = in->weights[k->channels * k->c * taps + at.c] + (in->x2 ? in->x2[index] : 0);
    for (int i = 0; i < k->c * taps; i++) {
        const int y = at.y * k->stride + i / k->kernel % k->kernel - before(s->y_h, k->h, k);
        const int x = at.x * k->stride + i % k->kernel - before(s->y_w, k->w, k);
        if (y >= 0 && y < k->h && x >= 0 && x < k->w) {
            sum += in->weights[at.c * k->c * taps + i] * value(k, in->x, at.n, i / taps, y, x);
        }
    }
    return leaky(sum, k->slope);
}

static double dense(const struct us_nn_op_call *k, const struct nn_reference_inputs *in,
                    struct at at) {
    const int count = k->c * k->h * k->w;
    double sum = in->weights[k->channels * count + at.c];
    for (int i = 0; i < count; i++) {
        sum += in->weights[at.c * count + i] * in->x[at.n * count + i];
    }
    return leaky(sum, k->slope);
}

static double norm(const struct us_nn_op_call *k, const double *x, struct at at, size_t index) {
    const int count = k->c * k->h * k->w;
    double sum = 0;
    for (int i = 0; i < count; i++) {
        sum += x[at.n * count + i] * x[at.n * count + i];
    }
    return x[index] / sqrt(sum / count + 1e-6);
}

static double pool(const struct us_nn_op_call *k, const double *x, struct at at) {
    double most = -(double)INFINITY;
    for (int i = 0; i < 4; i++) {
        most = fmax(most, value(k, x, at.n, at.c, 2 * at.y + i / 2, 2 * at.x + i % 2));
    }
    return most;
}

static double head(const struct us_nn_op_call *k, const double *x, struct at at) {
    const int group = at.y % k->factor * k->factor + at.x % k->factor;
    const int c = group * k->channels + at.c;
    return 1 / (1 + exp(-value(k, x, at.n, c, at.y / k->factor, at.x / k->factor)));
}

static double element(const struct us_nn_op_call *k, const struct nn_reference_inputs *in,
                      const struct us_nn_op_sizes *s, struct at at, size_t index) {
    const int group = at.y % 2 * 2 + at.x % 2;
    switch (k->op) {
    case US_NN_OP_CONV:
        return conv(k, in, s, at, index);
    case US_NN_OP_DENSE:
        return dense(k, in, at);
    case US_NN_OP_DEPTH_TO_SPACE:
        return leaky(value(k, in->x, at.n, group * s->y_c + at.c, at.y / 2, at.x / 2), k->slope);
    case US_NN_OP_NORM:
        return norm(k, in->x, at, index);
    case US_NN_OP_HEAD:
        return head(k, in->x, at);
    case US_NN_OP_COSINE:
        return in->x[index] * cos(in->x[index]);
    case US_NN_OP_POOL:
        return pool(k, in->x, at);
    case US_NN_OP_UPSAMPLE:
        return value(k, in->x, at.n, at.c, at.y / 2, at.x / 2);
    case US_NN_OP_CONCAT:
        return value(k, at.c < k->c ? in->x : in->x2, at.n, at.c % k->c, at.y, at.x);
    case US_NN_OP_BLEND:
        break;
    }
    return in->x[index] + (double)k->fade * (in->x2[index] - in->x[index]);
}

void nn_op_reference(const struct us_nn_op_call *call, const struct nn_reference_inputs *in,
                     double *y) {
    const struct us_nn_op_sizes s = us_nn_op_sizes(call, in->x2 != NULL);
    for (size_t i = 0; i < s.y; i++) {
        const int pixel = (int)i / s.y_w;
        const struct at at = {.x = (int)i % s.y_w,
                              .y = pixel % s.y_h,
                              .c = pixel / s.y_h % s.y_c,
                              .n = pixel / s.y_h / s.y_c};
        y[i] = element(call, in, &s, at, i);
    }
}

/* Losses: image terms plane by plane, in doubles. */

void nn_soft_mask_reference(const struct us_nn_loss_call *call, double *soft) {
    const int size = call->size;
    const double sigma = size > 32 ? size / 32.0 : 1;
    const int radius = (int)ceil(3 * sigma);
    for (int i = 0; i < call->count * size * size; i++) {
        const float *mask = call->target_mask + i / (size * size) * size * size;
        const int row = i / size % size, column = i % size;
        double sum = 0, weights = 0;
        for (int k = 0; k < (2 * radius + 1) * (2 * radius + 1); k++) {
            const int dy = k / (2 * radius + 1) - radius, dx = k % (2 * radius + 1) - radius;
            const int y = (int)fmin(fmax(row + dy, 0), size - 1);
            const int x = (int)fmin(fmax(column + dx, 0), size - 1);
            const double weight = exp(-(dx * dx + dy * dy) / (2 * sigma * sigma));
            sum += weight * (double)mask[y * size + x];
            weights += weight;
        }
        soft[i] = 2 * fmin(0.5, fmax(sum / weights, 0));
    }
}

/* SSIM of the windows at one place; taps are not normalised. */
static double window_ssim(const double *x, const double *y, int size, int window) {
    double m[6] = {0}; /* weights; of x, y, xx, yy, xy */
    for (int k = 0; k < window * window; k++) {
        const int at = k / window * size + k % window;
        const double dy = k / window - (window - 1) / 2.0, dx = k % window - (window - 1) / 2.0;
        const double w = exp(-(dx * dx + dy * dy) / 4.5);
        m[0] += w, m[1] += w * x[at], m[2] += w * y[at];
        m[3] += w * x[at] * x[at], m[4] += w * y[at] * y[at], m[5] += w * x[at] * y[at];
    }
    const double mx = m[1] / m[0], my = m[2] / m[0];
    const double xx = m[3] / m[0] - mx * mx, yy = m[4] / m[0] - my * my, xy = m[5] / m[0] - mx * my;
    return (2 * mx * my + 1e-4) * (2 * xy + 9e-4) / ((mx * mx + my * my + 1e-4) * (xx + yy + 9e-4));
}

static double plane_reference(const struct us_nn_loss_call *call, const double *image,
                              const double *soft, int plane, double *a, double *b) {
    const struct us_nn_loss_weights *w = &call->weights;
    const int size = call->size, area = size * size, window = (int)(size / 11.6);
    const double each = 1 / (3.0 * call->count * area);
    double sum = 0, ssim = 0;
    for (int i = 0; i < area; i++) {
        const double s = soft ? soft[plane / 3 * area + i] : 1;
        const double p = call->priority ? (double)call->priority[plane / 3 * area + i] : 0;
        a[i] = image[plane * area + i] * s;
        b[i] = (double)call->target[plane * area + i] * s;
        sum += each * (double)w->square * (a[i] - b[i]) * (a[i] - b[i]);
        sum += each * fabs(a[i] - b[i]) * ((double)w->absolute + (double)w->priority * p);
    }
    const int inner = size - window + 1;
    for (int i = 0; i < inner * inner && w->dssim > 0; i++) {
        const int from = i / inner * size + i % inner;
        ssim += window_ssim(a + from, b + from, size, window) / (inner * inner);
    }
    return sum + (w->dssim > 0 ? (double)w->dssim / (3.0 * call->count) * (1 - ssim) / 2 : 0);
}

double nn_loss_reference(const struct us_nn_loss_call *call, const double *image,
                         const double *soft) {
    const int area = call->size * call->size;
    double *work = us_nn_alloc(2 * (size_t)area * sizeof *work), sum = 0;
    if (!work) {
        return (double)NAN;
    }
    for (int plane = 0; plane < 3 * call->count; plane++) {
        sum += plane_reference(call, image, soft, plane, work, work + area);
    }
    for (int i = 0; i < call->count * area; i++) {
        const double d = (double)call->mask[i] - (double)call->target_mask[i];
        sum += (double)call->weights.mask * d * d / (call->count * (double)area);
    }
    us_nn_free(work);
    return sum;
}
