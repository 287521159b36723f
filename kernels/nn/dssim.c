#include "kernels/nn/dssim_internal.h"

#include <math.h>
#include <string.h>

void nn_dssim_init(struct nn_dssim *dssim, int size, int window) {
    dssim->size = size;
    dssim->window = window;
    dssim->range = 1;
    double sum = 0, taps[NN_DSSIM_WINDOW];
    for (int i = 0; i < window; i++) {
        const double d = i - (window - 1) / 2.0;
        taps[i] = exp(-d * d / (2 * 1.5 * 1.5));
        sum += taps[i];
    }
    for (int i = 0; i < window; i++) {
        dssim->taps[i] = (float)(taps[i] / sum);
    }
}

size_t nn_dssim_scratch(const struct nn_dssim *dssim) {
    return 9 * (size_t)dssim->size * (size_t)dssim->size;
}

/* out [inner][inner] = the window over in [size][size]; `half` is [inner][size]. */
static void blur(const struct nn_dssim *d, const float *restrict in, float *restrict half,
                 float *restrict out) {
    const int n = d->size, inner = n - d->window + 1;
    for (int j = 0; j < inner; j++) {
        float *to = half + j * n;
        memset(to, 0, (size_t)n * sizeof *to);
        for (int k = 0; k < d->window; k++) {
            const float *from = in + (j + k) * n, tap = d->taps[k];
#pragma omp simd
            for (int i = 0; i < n; i++) {
                to[i] += tap * from[i];
            }
        }
    }
    for (int j = 0; j < inner; j++) {
        float *to = out + j * inner;
        memset(to, 0, (size_t)inner * sizeof *to);
        for (int k = 0; k < d->window; k++) {
            const float *from = half + j * n + k, tap = d->taps[k];
#pragma omp simd
            for (int i = 0; i < inner; i++) {
                to[i] += tap * from[i];
            }
        }
    }
}

/* The transpose of blur. */
static void spread(const struct nn_dssim *d, const float *restrict in, float *restrict half,
                   float *restrict out) {
    const int n = d->size, inner = n - d->window + 1;
    memset(half, 0, (size_t)(inner * n) * sizeof *half);
    for (int j = 0; j < inner; j++) {
        for (int k = 0; k < d->window; k++) {
            float *to = half + j * n + k;
            const float *from = in + j * inner, tap = d->taps[k];
#pragma omp simd
            for (int i = 0; i < inner; i++) {
                to[i] += tap * from[i];
            }
        }
    }
    memset(out, 0, (size_t)(n * n) * sizeof *out);
    for (int j = 0; j < inner; j++) {
        for (int k = 0; k < d->window; k++) {
            float *to = out + (j + k) * n;
            const float *from = half + j * n, tap = d->taps[k];
#pragma omp simd
            for (int i = 0; i < n; i++) {
                to[i] += tap * from[i];
            }
        }
    }
}

/* Window means in, derivatives of SSIM by mean of x, of x^2 + y^2 and of xy out, in place. */
static double differentiate(float range, float *mean_x, const float *mean_y, float *squares,
                            float *product, int count) {
    const float c1 = 1e-4f * range * range, c2 = 9e-4f * range * range;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < count; i++) {
        const float mx = mean_x[i], my = mean_y[i];
        const float both = 2 * mx * my, energy = mx * mx + my * my;
        const float a1 = both + c1, b1 = energy + c1;
        const float a2 = 2 * product[i] - both + c2, b2 = squares[i] - energy + c2;
        const float inverse = 1 / (b1 * b2), ssim = a1 * a2 * inverse;
        sum += (double)ssim;
        mean_x[i] = 2 * my * (a2 - a1) * inverse + 2 * mx * ssim * (1 / b2 - 1 / b1);
        squares[i] = -ssim / b2;
        product[i] = 2 * a1 * inverse;
    }
    return sum;
}

static void add_gradient(const struct nn_dssim *d, const float *x, const float *y, float weight,
                         float *const maps[3], float *half, float *spreaded, float *gradient) {
    const int count = d->size * d->size;
    spread(d, maps[0], half, spreaded);
#pragma omp simd
    for (int i = 0; i < count; i++) {
        gradient[i] += weight * spreaded[i];
    }
    spread(d, maps[1], half, spreaded);
#pragma omp simd
    for (int i = 0; i < count; i++) {
        gradient[i] += weight * 2 * x[i] * spreaded[i];
    }
    spread(d, maps[2], half, spreaded);
#pragma omp simd
    for (int i = 0; i < count; i++) {
        gradient[i] += weight * y[i] * spreaded[i];
    }
}

double nn_dssim_plane(const struct nn_dssim *d, const float *x, const float *y, float weight,
                      float *gradient, float *scratch) {
    const int n = d->size, inner = n - d->window + 1, area = n * n;
    float *half = scratch, *squares = scratch + area, *product = scratch + 2 * area;
    float *maps[4];
    for (int i = 0; i < 4; i++) {
        maps[i] = scratch + (3 + i) * area;
    }
#pragma omp simd
    for (int i = 0; i < area; i++) {
        squares[i] = x[i] * x[i] + y[i] * y[i];
        product[i] = x[i] * y[i];
    }
    blur(d, x, half, maps[0]);
    blur(d, y, half, maps[1]);
    blur(d, squares, half, maps[2]);
    blur(d, product, half, maps[3]);
    const double sum = differentiate(d->range, maps[0], maps[1], maps[2], maps[3], inner * inner);
    if (gradient) {
        const float scale = weight * -0.5f / (float)(inner * inner);
        add_gradient(d, x, y, scale, (float *const[3]){maps[0], maps[2], maps[3]}, half, squares,
                     gradient);
    }
    return (1 - sum / (inner * inner)) / 2;
}
