/* What kernels/cuda/conv_plan.h promises, in plain loops: stands in for cuDNN's convolutions. */
#include <cuda_runtime.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* C lets a function share its struct's name */
#include "kernels/cuda/conv_plan.h"
#pragma GCC diagnostic pop

struct us_conv_planner {
    int plans;
};

struct us_conv_plan {
    struct us_conv_desc desc;
};

enum { WORKSPACE = 4096 };

enum us_nn_status us_conv_planner_create(int, const char *, const char *,
                                         struct us_conv_planner **planner) {
    *planner = (struct us_conv_planner *)calloc(1, sizeof **planner);
    return US_NN_OK;
}

void us_conv_planner_destroy(struct us_conv_planner *planner) {
    free(planner);
}

const char *us_conv_planner_problem(const struct us_conv_planner *) {
    return "";
}

enum us_nn_status us_conv_plan_create(struct us_conv_planner *planner,
                                      const struct us_conv_desc *desc, struct us_conv_plan **plan) {
    *plan = NULL;
    if (us_conv_desc_problem(desc)) {
        return US_NN_BAD_CONFIG;
    }
    *plan = (struct us_conv_plan *)malloc(sizeof **plan);
    (*plan)->desc = *desc;
    planner->plans++;
    return US_NN_OK;
}

enum us_nn_status us_conv_plans_create(struct us_conv_planner *planner, struct us_conv_job *jobs,
                                       int count) {
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < count; i++) {
        jobs[i].plan = NULL;
    }
    for (int i = 0; i < count && status == US_NN_OK; i++) {
        status = us_conv_plan_create(planner, &jobs[i].desc, &jobs[i].plan);
    }
    for (int i = 0; i < count && status != US_NN_OK; i++) {
        us_conv_plan_destroy(jobs[i].plan);
        jobs[i].plan = NULL;
    }
    return status;
}

void us_conv_plan_destroy(struct us_conv_plan *plan) {
    free(plan);
}

size_t us_conv_plan_workspace(const struct us_conv_plan *) {
    return WORKSPACE;
}

namespace {

float value(uint16_t v) {
    const uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
float value(float v) {
    return v;
}
void put(float *at, float v) {
    *at = v;
}
void put(uint16_t *at, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    *at = (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

struct job {
    struct us_conv_desc d;
    struct us_conv_buffers b;
};

/* Floats of a tensor of T. */
template <class T> float *widened(const void *from, size_t count) {
    float *to = (float *)malloc(count * sizeof *to);
    for (size_t i = 0; i < count; i++) {
        to[i] = value(((const T *)from)[i]);
    }
    return to;
}

/* Calls f(y index, x index, tap) for every place of output and input that a tap joins. */
template <class F> void taps(const us_conv_desc &d, F f) {
    for (int n = 0; n < d.batch; n++) {
        for (int p = 0; p < d.out_height; p++) {
            for (int q = 0; q < d.out_width; q++) {
                for (int r = 0; r < d.kernel_height; r++) {
                    for (int s = 0; s < d.kernel_width; s++) {
                        const int h = p * d.stride - d.pad_top + r;
                        const int w = q * d.stride - d.pad_left + s;
                        if (h >= 0 && h < d.in_height && w >= 0 && w < d.in_width) {
                            f(((size_t)n * d.out_height + p) * d.out_width + q,
                              ((size_t)n * d.in_height + h) * d.in_width + w,
                              (size_t)r * d.kernel_width + s);
                        }
                    }
                }
            }
        }
    }
}

float dot(const float *a, const float *b, size_t count) {
    float lanes[8] = {0};
    for (size_t i = 0; i < count; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            lanes[k] += a[i + k] * b[i + k];
        }
    }
    float sum = 0;
    for (size_t k = 0; k < 8; k++) {
        sum += lanes[k];
    }
    return sum;
}

void add_scaled(float *to, const float *from, float factor, size_t count) {
    for (size_t i = 0; i < count; i++) {
        to[i] += factor * from[i];
    }
}

template <class T> void forward(const job &j, size_t in, size_t out, size_t ways) {
    const us_conv_desc &d = j.d;
    const size_t pixels = (size_t)d.batch * d.out_height * d.out_width;
    float *x = widened<T>(j.b.x, (size_t)d.batch * d.in_height * d.in_width * in);
    float *w = widened<T>(j.b.w, out * ways * in);
    float *y = (float *)calloc(pixels * out, sizeof *y);
    taps(d, [&](size_t at, size_t from, size_t tap) {
        for (size_t k = 0; k < out; k++) {
            y[at * out + k] += dot(x + from * in, w + (k * ways + tap) * in, in);
        }
    });
    for (size_t i = 0; i < pixels * out; i++) {
        float v = y[i] + (d.bias ? j.b.bias[i % out] : 0) +
                  (d.residual ? value(((const T *)j.b.residual)[i]) : 0);
        put((T *)j.b.out + i, v > 0 ? v : v * d.slope);
    }
    free(x), free(w), free(y);
}

template <class T> void data_gradient(const job &j, size_t in, size_t out, size_t ways) {
    const us_conv_desc &d = j.d;
    const size_t pixels = (size_t)d.batch * d.in_height * d.in_width;
    float *dy = widened<T>(j.b.dy, (size_t)d.batch * d.out_height * d.out_width * out);
    float *w = widened<T>(j.b.w, out * ways * in);
    float *dx = (float *)calloc(pixels * in, sizeof *dx);
    taps(d, [&](size_t at, size_t from, size_t tap) {
        for (size_t k = 0; k < out; k++) {
            if (dy[at * out + k] != 0) {
                add_scaled(dx + from * in, w + (k * ways + tap) * in, dy[at * out + k], in);
            }
        }
    });
    for (size_t i = 0; i < pixels * in; i++) {
        float v = dx[i] + (d.residual ? value(((const T *)j.b.residual)[i]) : 0);
        if (d.slope != 1 && !(value(((const T *)j.b.x)[i]) > 0)) {
            v *= d.slope;
        }
        put((T *)j.b.out + i, v);
    }
    free(dy), free(w), free(dx);
}

template <class T> void weight_gradient(const job &j, size_t in, size_t out, size_t ways) {
    const us_conv_desc &d = j.d;
    float *x = widened<T>(j.b.x, (size_t)d.batch * d.in_height * d.in_width * in);
    float *dy = widened<T>(j.b.dy, (size_t)d.batch * d.out_height * d.out_width * out);
    float *dw = (float *)calloc(out * ways * in, sizeof *dw);
    taps(d, [&](size_t at, size_t from, size_t tap) {
        for (size_t k = 0; k < out; k++) {
            if (dy[at * out + k] != 0) {
                add_scaled(dw + (k * ways + tap) * in, x + from * in, dy[at * out + k], in);
            }
        }
    });
    for (size_t i = 0; i < out * ways * in; i++) {
        put((T *)j.b.out + i, dw[i]);
    }
    free(x), free(dy), free(dw);
}

template <class T> void convolve(const job &j) {
    const size_t in = (size_t)j.d.in_channels, out = (size_t)j.d.out_channels;
    const size_t ways = (size_t)j.d.kernel_height * (size_t)j.d.kernel_width;
    switch (j.d.op) {
    case US_CONV_FORWARD:
        forward<T>(j, in, out, ways);
        break;
    case US_CONV_DATA_GRADIENT:
        data_gradient<T>(j, in, out, ways);
        break;
    case US_CONV_WEIGHT_GRADIENT:
        weight_gradient<T>(j, in, out, ways);
        break;
    }
}

void work(const void *context) {
    const job &j = *(const job *)context;
    memset(j.b.workspace, 0xFF, WORKSPACE);
    if (j.d.type == US_CONV_BF16) {
        convolve<uint16_t>(j);
    } else {
        convolve<float>(j);
    }
}

bool is_good(const void *at, bool needed, size_t bytes) {
    return !needed || ((uintptr_t)at % 16 == 0 && us_emulation_is_device(at, bytes));
}

bool all_good(const job &j) {
    const us_conv_desc &d = j.d;
    const size_t size = d.type == US_CONV_BF16 ? 2 : 4;
    const size_t x = (size_t)d.batch * d.in_height * d.in_width * d.in_channels * size;
    const size_t y = (size_t)d.batch * d.out_height * d.out_width * d.out_channels * size;
    const size_t w =
        (size_t)d.out_channels * d.kernel_height * d.kernel_width * d.in_channels * size;
    const bool forward = d.op == US_CONV_FORWARD, data = d.op == US_CONV_DATA_GRADIENT;
    const size_t out = forward ? y : data ? x : w;
    return is_good(j.b.out, true, out) && is_good(j.b.x, !data || d.slope != 1, x) &&
           is_good(j.b.w, forward || data, w) && is_good(j.b.dy, !forward, y) &&
           is_good(j.b.residual, d.residual, out) &&
           is_good(j.b.bias, d.bias, (size_t)d.out_channels * 4) &&
           is_good(j.b.workspace, true, WORKSPACE);
}

} // namespace

enum us_nn_status us_conv_plan_run(struct us_conv_plan *plan, void *stream,
                                   const struct us_conv_buffers *buffers) {
    const job j = {plan->desc, *buffers};
    if (!all_good(j)) {
        fprintf(stderr, "a convolution got memory that is not the device's or not aligned\n");
        return US_NN_FAILED;
    }
    return us_emulation_enqueue((cudaStream_t)stream, work, &j, sizeof j) == cudaSuccess
               ? US_NN_OK
               : US_NN_FAILED;
}
