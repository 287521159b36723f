#include <cuda_runtime_api.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/conv_plan.h"
#include "kernels/cuda/self_test_internal.h"
#include "kernels/nn/memory.h"

/* One convolution's numbers on the host. Values are such that bfloat16 holds them. */
struct trial {
    struct us_conv_desc desc;
    size_t in, out, weights, result; /* elements */
    float *x, *dy, *w, *residual, *bias, *got;
    double *wanted;
};

static float *noise(size_t count, uint32_t state) {
    float *values = us_nn_alloc(count * sizeof *values);
    for (size_t i = 0; values && i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)((int)(state >> 24) - 128) / 128;
    }
    return values;
}

static bool trial_init(struct trial *t, const struct us_conv_desc *desc) {
    const size_t batch = (size_t)desc->batch;
    *t = (struct trial){.desc = *desc};
    t->in = batch * (size_t)(desc->in_height * desc->in_width * desc->in_channels);
    t->out = batch * (size_t)(desc->out_height * desc->out_width * desc->out_channels);
    t->weights = (size_t)(desc->out_channels * desc->kernel_height * desc->kernel_width) *
                 (size_t)desc->in_channels;
    t->result = desc->op == US_CONV_FORWARD         ? t->out
                : desc->op == US_CONV_DATA_GRADIENT ? t->in
                                                    : t->weights;
    t->x = noise(t->in, 1);
    t->dy = noise(t->out, 2);
    t->w = noise(t->weights, 3);
    t->residual = noise(t->result, 4);
    t->bias = noise((size_t)desc->out_channels, 5);
    t->got = us_nn_alloc(t->result * sizeof *t->got);
    t->wanted = us_nn_alloc(t->result * sizeof *t->wanted);
    return t->x && t->dy && t->w && t->residual && t->bias && t->got && t->wanted;
}

static void trial_finish(struct trial *t) {
    void *const blocks[] = {t->x, t->dy, t->w, t->residual, t->bias, t->got, t->wanted};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        us_nn_free(blocks[i]);
    }
}

/* One place of an output, and of the input that a kernel position joins it with. */
static void add_place(struct trial *t, size_t y, size_t x, size_t tap) {
    const struct us_conv_desc *d = &t->desc;
    const size_t in = (size_t)d->in_channels, out = (size_t)d->out_channels;
    const size_t taps = (size_t)(d->kernel_height * d->kernel_width);
    for (size_t k = 0; k < out; k++) {
        for (size_t c = 0; c < in; c++) {
            const size_t w = (k * taps + tap) * in + c;
            if (d->op == US_CONV_FORWARD) {
                t->wanted[y * out + k] += (double)t->x[x * in + c] * (double)t->w[w];
            } else if (d->op == US_CONV_DATA_GRADIENT) {
                t->wanted[x * in + c] += (double)t->dy[y * out + k] * (double)t->w[w];
            } else {
                t->wanted[w] += (double)t->dy[y * out + k] * (double)t->x[x * in + c];
            }
        }
    }
}

static void add_places(struct trial *t, int n, int p, int q) {
    const struct us_conv_desc *d = &t->desc;
    for (int r = 0; r < d->kernel_height; r++) {
        for (int s = 0; s < d->kernel_width; s++) {
            const int h = p * d->stride - d->pad_top + r, w = q * d->stride - d->pad_left + s;
            if (h >= 0 && h < d->in_height && w >= 0 && w < d->in_width) {
                add_place(t, (size_t)((n * d->out_height + p) * d->out_width + q),
                          (size_t)((n * d->in_height + h) * d->in_width + w),
                          (size_t)(r * d->kernel_width + s));
            }
        }
    }
}

/* The formulas of conv_plan.h as they stand, in double. */
static void compute(struct trial *t) {
    const struct us_conv_desc *d = &t->desc;
    for (int n = 0; n < d->batch; n++) {
        for (int p = 0; p < d->out_height; p++) {
            for (int q = 0; q < d->out_width; q++) {
                add_places(t, n, p, q);
            }
        }
    }
    for (size_t i = 0; i < t->result && d->op != US_CONV_WEIGHT_GRADIENT; i++) {
        const bool forward = d->op == US_CONV_FORWARD;
        double v = t->wanted[i] + (d->residual ? (double)t->residual[i] : 0);
        v += forward && d->bias ? (double)t->bias[i % (size_t)d->out_channels] : 0;
        t->wanted[i] = (forward ? v : (double)t->x[i]) > 0 ? v : v * (double)d->slope;
    }
}

/* -- the device's side */

static void *upload(const float *values, size_t count, bool bf16) {
    const size_t size = count * (bf16 ? 2 : 4);
    void *block = NULL;
    uint16_t *halves = us_nn_alloc(count * sizeof *halves);
    for (size_t i = 0; halves && i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        halves[i] = (uint16_t)(bits >> 16);
    }
    const void *from = bf16 ? (const void *)halves : values;
    if (!halves || cudaMalloc(&block, size) != cudaSuccess ||
        cudaMemcpy(block, from, size, cudaMemcpyHostToDevice) != cudaSuccess) {
        (void)cudaFree(block);
        block = NULL;
    }
    us_nn_free(halves);
    return block;
}

static bool download(float *values, const void *block, size_t count, bool bf16) {
    if (!bf16) {
        return cudaMemcpy(values, block, count * 4, cudaMemcpyDeviceToHost) == cudaSuccess;
    }
    uint16_t *halves = us_nn_alloc(count * sizeof *halves);
    const bool fine =
        halves && cudaMemcpy(halves, block, count * 2, cudaMemcpyDeviceToHost) == cudaSuccess;
    for (size_t i = 0; fine && i < count; i++) {
        const uint32_t bits = (uint32_t)halves[i] << 16;
        memcpy(&values[i], &bits, sizeof bits);
    }
    us_nn_free(halves);
    return fine;
}

static const char *run_plan(struct trial *t, struct us_conv_plan *plan) {
    const bool bf16 = t->desc.type == US_CONV_BF16;
    const size_t workspace = us_conv_plan_workspace(plan);
    void *blocks[7] = {upload(t->x, t->in, bf16),
                       upload(t->w, t->weights, bf16),
                       upload(t->dy, t->out, bf16),
                       upload(t->residual, t->result, bf16),
                       upload(t->bias, (size_t)t->desc.out_channels, false),
                       upload(t->got, t->result, bf16)};
    bool fine = cudaMalloc(&blocks[6], workspace + 16) == cudaSuccess;
    for (int i = 0; i < 6; i++) {
        fine = fine && blocks[i];
    }
    const struct us_conv_buffers buffers = {blocks[0], blocks[1], blocks[2], blocks[3],
                                            blocks[4], blocks[5], blocks[6]};
    fine = fine && us_conv_plan_run(plan, NULL, &buffers) == US_NN_OK &&
           cudaDeviceSynchronize() == cudaSuccess && download(t->got, blocks[5], t->result, bf16);
    for (int i = 0; i < 7; i++) {
        (void)cudaFree(blocks[i]);
    }
    return fine ? NULL : "it does not run";
}

static const char *compare(const struct trial *t) {
    static _Thread_local char text[96];
    double largest = 0, error = 0;
    for (size_t i = 0; i < t->result; i++) {
        const double off = fabs((double)t->got[i] - t->wanted[i]), size = fabs(t->wanted[i]);
        largest = size > largest ? size : largest;
        error = off > error || off != off ? off : error;
    }
    const double allowed = t->desc.type == US_CONV_BF16 ? 0.02 : 1e-5;
    if (error <= allowed * largest) {
        return NULL;
    }
    snprintf(text, sizeof text, "off by %.2g of the largest value, allowed %.2g", error / largest,
             allowed);
    return text;
}

static const char *check(struct us_conv_planner *planner, struct us_conv_job *job) {
    struct trial trial;
    const char *error = trial_init(&trial, &job->desc) ? NULL : "out of memory";
    if (!error && !job->plan && us_conv_plan_create(planner, &job->desc, &job->plan) != US_NN_OK) {
        error = us_conv_planner_problem(planner);
    }
    if (!error) {
        compute(&trial);
        error = run_plan(&trial, job->plan);
    }
    error = error ? error : compare(&trial);
    trial_finish(&trial);
    return error;
}

static const struct {
    const char *name;
    struct us_conv_desc desc;
} cases[] = {
    {"5x5 stride 2",
     {.batch = 2,
      .in_height = 13,
      .in_width = 10,
      .in_channels = 8,
      .out_channels = 24,
      .kernel_height = 5,
      .kernel_width = 5,
      .stride = 2,
      .bias = true,
      .slope = 0.1f}},
    {"3x3 with residual",
     {.batch = 3,
      .in_height = 7,
      .in_width = 9,
      .in_channels = 16,
      .out_channels = 16,
      .kernel_height = 3,
      .kernel_width = 3,
      .stride = 1,
      .bias = true,
      .residual = true,
      .slope = 0.2f}},
    {"3x3 bare",
     {.batch = 1,
      .in_height = 8,
      .in_width = 8,
      .in_channels = 32,
      .out_channels = 8,
      .kernel_height = 3,
      .kernel_width = 3,
      .stride = 1,
      .slope = 1}},
    {"dense",
     {.batch = 5,
      .in_height = 1,
      .in_width = 1,
      .in_channels = 72,
      .out_channels = 40,
      .kernel_height = 1,
      .kernel_width = 1,
      .stride = 1,
      .bias = true,
      .slope = 1}},
};

enum { CASES = sizeof cases / sizeof *cases, JOBS = 6 * CASES };

static void list_jobs(struct us_conv_job jobs[JOBS]) {
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct us_conv_job){.desc = cases[i / 6].desc};
        jobs[i].desc.op = (enum us_conv_op)(i % 3);
        jobs[i].desc.type = i % 6 < 3 ? US_CONV_F32 : US_CONV_BF16;
        us_conv_desc_same(&jobs[i].desc);
    }
}

int conv_self_test(int ordinal, us_cuda_report *report, void *context) {
    static const char *const ops[] = {"forward", "data gradient", "weight gradient"};
    struct us_conv_job jobs[JOBS];
    struct us_conv_planner *planner;
    int bad = 0;
    if (us_conv_planner_create(ordinal, NULL, NULL, &planner) != US_NN_OK) {
        report(context, "convolution", planner ? us_conv_planner_problem(planner) : "no memory");
        us_conv_planner_destroy(planner);
        return 1;
    }
    list_jobs(jobs);
    /* All at once is faster; where that fails, each by itself says which it was. */
    (void)us_conv_plans_create(planner, jobs, JOBS);
    for (int i = 0; i < JOBS; i++) {
        char name[96];
        snprintf(name, sizeof name, "convolution %s, %s, %s", cases[i / 6].name,
                 ops[jobs[i].desc.op], jobs[i].desc.type == US_CONV_F32 ? "f32" : "bf16");
        const char *error = check(planner, &jobs[i]);
        report(context, name, error);
        bad += error != NULL;
        us_conv_plan_destroy(jobs[i].plan);
    }
    us_conv_planner_destroy(planner);
    return bad;
}
