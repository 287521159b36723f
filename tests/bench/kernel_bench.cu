/* Times each of our kernels alone, at the sizes of a training step of df-ud at 256 px (ae 256, e
 * 64, d 64, mask 22) with 16 pairs in bfloat16: bench_kernels [WORD...], only rows whose names have
 * one of the words. Launches are captured in a graph and rotate over sets of random data that
 * together are four times the size of the L2 cache. The last columns: bytes that must move at least
 * over the time, and that over the rate of a copy on the device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <vector>

#include "kernels/augment_cuda.h"
#include "kernels/cuda/take_gradient.h"
#include "kernels/nn/dssim_cuda_internal.h"
#include "kernels/nn/head_cuda.h"
#include "kernels/nn/loss_cuda.h"
#include "kernels/nn/norm_cuda.h"
#include "kernels/nn/optimizer_cuda.h"
#include "kernels/nn/shape_ops_cuda.h"

#define MUST(call)                                                         \
    do {                                                                   \
        const cudaError_t error = (call);                                  \
        if (error != cudaSuccess) {                                        \
            fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error)); \
            exit(1);                                                       \
        }                                                                  \
    } while (0)

enum { PAIRS = 16, SIDE = 256, FACES = 64, REPLAYS = 9, MOST_SETS = 64, LEAST_LAUNCHES = 24 };

static const enum nn_cuda_type BF16 = NN_CUDA_BF16;

/* One row of the table. `parts` are bytes of the blocks that a launch gets, `bytes` what it must
 * move. */
struct row {
    const char *kernel;
    int sizes[4], launches; /* in a step */
    double bytes;
    std::vector<size_t> parts;
    cudaError_t (*launch)(const struct row &row, void *const *at, cudaStream_t stream);
};

/* Every half is a bfloat16 from -1 to 1, so that every word is such a float too, and as a binary16
 * every half is finite. */
static __global__ void fill(uint16_t *at, size_t count, unsigned seed) {
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        unsigned h = (unsigned)i * 2654435761u + seed;
        h = (h ^ h >> 15) * 2246822519u;
        h = (h ^ h >> 13) * 3266489917u;
        const float v = (float)(int)(h ^ h >> 16) * 0x1p-31f;
        at[i] = (uint16_t)(__float_as_uint(v * 0.99f) >> 16);
    }
}

static size_t map_elements(const int s[4]) {
    return (size_t)s[0] * (size_t)s[1] * (size_t)s[2] * (size_t)s[3];
}

/* Bias gradients: rows as n, h, w; channels. */

static cudaError_t bias(const struct row &r, void *const *at, cudaStream_t stream) {
    const size_t rows = (size_t)r.sizes[0] * (size_t)r.sizes[1] * (size_t)r.sizes[2];
    return nn_cuda_bias_gradient(BF16, at[0], NULL, NULL, 1, NULL, (float *)at[1], rows, r.sizes[3],
                                 at[2], stream);
}

static struct row bias_row(int n, int side, int channels, int launches) {
    struct row r = {"bias gradient", {n, side, side, channels}, launches, 0, {}, bias};
    const size_t rows = (size_t)n * (size_t)side * (size_t)side, c = (size_t)channels;
    r.parts = {2 * rows * c, 4 * c, nn_cuda_bias_scratch(rows, channels)};
    r.bytes = 2.0 * (double)(rows * c);
    return r;
}

/* Depth-to-space: sizes are those of the smaller map, channels of the larger. */

static struct nn_cuda_map map_of(const struct row &r) {
    return {r.sizes[0], r.sizes[1], r.sizes[2], r.sizes[3]};
}

static cudaError_t shuffle(const struct row &r, void *const *at, cudaStream_t stream) {
    const struct nn_cuda_map map = map_of(r);
    return nn_cuda_shuffle_forward(BF16, at[0], NULL, 1, at[1], &map, stream);
}

static cudaError_t shuffle_back(const struct row &r, void *const *at, cudaStream_t stream) {
    const struct nn_cuda_map map = map_of(r);
    return nn_cuda_shuffle_backward(BF16, at[0], NULL, at[2], 0.1f, at[1], &map, stream);
}

static cudaError_t shuffle_bias(const struct row &r, void *const *at, cudaStream_t stream) {
    const struct nn_cuda_map map = map_of(r);
    return nn_cuda_shuffle_bias_gradient(BF16, at[0], NULL, at[2], 0.1f, at[1], (float *)at[3],
                                         &map, at[4], stream);
}

static struct row shuffle_row(int kind, const int s[5]) {
    static const char *const names[] = {"shuffle forward", "shuffle backward",
                                        "shuffle and bias gradient"};
    struct row r = {names[kind], {s[0], s[1], s[2], s[3]}, s[4], 0, {}, shuffle};
    const size_t bytes = 2 * 4 * map_elements(r.sizes);
    r.launch = kind == 0 ? shuffle : kind == 1 ? shuffle_back : shuffle_bias;
    r.bytes = (kind == 0 ? 2.0 : 3.0) * (double)bytes;
    r.parts = {bytes, bytes};
    if (kind > 0) {
        r.parts.push_back(bytes);
    }
    if (kind == 2) {
        const size_t rows = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
        r.parts.push_back(16 * (size_t)s[3]);
        r.parts.push_back(nn_cuda_bias_scratch(rows, 4 * s[3]));
    }
    return r;
}

/* DSSIM: planes, side, window. */

static struct nn_cuda_dssim_planes planes_of(const struct row &r, void *const *at) {
    return {(const float *)at[0], (const float *)at[1], (const float *)at[2], r.sizes[0]};
}

static cudaError_t dssim(const struct row &r, void *const *at, cudaStream_t stream) {
    const struct nn_cuda_dssim d = nn_cuda_dssim_of(r.sizes[1], r.sizes[2], 1);
    const struct nn_cuda_dssim_planes p = planes_of(r, at);
    return nn_cuda_dssim_forward(&d, &p, (float *)at[3], (double *)at[4], stream);
}

static cudaError_t dssim_back(const struct row &r, void *const *at, cudaStream_t stream) {
    const struct nn_cuda_dssim d = nn_cuda_dssim_of(r.sizes[1], r.sizes[2], 1);
    const struct nn_cuda_dssim_planes p = planes_of(r, at);
    return nn_cuda_dssim_backward(&d, &p, (const float *)at[3], 1e-6f, true, (float *)at[4],
                                  stream);
}

static struct row dssim_row(bool backward, int window, int launches) {
    const struct nn_cuda_dssim d = nn_cuda_dssim_of(SIDE, window, 1);
    const int planes = 3 * PAIRS;
    struct row r = {backward ? "dssim backward" : "dssim forward",
                    {planes, SIDE, window, 0},
                    launches,
                    0,
                    {},
                    backward ? dssim_back : dssim};
    const size_t plane = 4 * (size_t)planes * SIDE * SIDE;
    const size_t maps = 4 * nn_cuda_dssim_maps(&d, planes);
    r.parts = {plane, plane, plane / 3, maps,
               backward ? plane : 8 * nn_cuda_dssim_blocks(&d, planes)};
    r.bytes = (double)(2 * plane + plane / 3 + maps) + (backward ? 2.0 * (double)plane : 0);
    return r;
}

/* A whole loss, with all of its kernels. */

static cudaError_t loss(const struct row &r, void *const *at, cudaStream_t stream) {
    struct us_nn_loss_weights weights = {}; /* the usual ones */
    weights.dssim = r.sizes[3] ? 10.0f : 0.0f;
    weights.square = weights.mask = 10;
    weights.masked = true;
    struct nn_cuda_loss_images images = {};
    images.image = (const float *)at[0], images.target = (const float *)at[1];
    images.mask = (const float *)at[2], images.target_mask = (const float *)at[3];
    images.image_gradient = (float *)at[4], images.mask_gradient = (float *)at[5];
    return nn_cuda_loss(&weights, SIDE, PAIRS, 1, &images, (struct us_nn_loss_terms *)at[6], at[7],
                        stream);
}

static struct row loss_row(bool structured) {
    struct row r = {structured ? "loss, all of it" : "loss without dssim",
                    {PAIRS, SIDE, SIDE, structured},
                    structured ? 2 : 0,
                    0,
                    {},
                    loss};
    const size_t mask = 4 * (size_t)PAIRS * SIDE * SIDE;
    r.parts = {3 * mask,
               3 * mask,
               mask,
               mask,
               3 * mask,
               mask,
               sizeof(struct us_nn_loss_terms),
               nn_cuda_loss_scratch(SIDE, PAIRS)};
    r.bytes = 12.0 * (double)mask; /* each input and output once */
    return r;
}

/* Ends of the decoders: pixels, padded channels and factor. */

static struct nn_cuda_head head_of(const struct row &r) {
    const int factor = r.sizes[3] > 8 ? 2 : 1;
    return {r.sizes[0], factor == 2 ? 3 : 1, r.sizes[3], r.sizes[1], r.sizes[2], factor};
}

static cudaError_t head(const struct row &r, void *const *at, cudaStream_t stream) {
    const struct nn_cuda_head h = head_of(r);
    return nn_cuda_head_forward(BF16, at[0], NULL, (float *)at[1], &h, stream);
}

static cudaError_t head_back(const struct row &r, void *const *at, cudaStream_t stream) {
    const struct nn_cuda_head h = head_of(r);
    return nn_cuda_head_backward(BF16, (const float *)at[2], (const float *)at[1], at[0], &h,
                                 stream);
}

static struct row head_row(bool backward, int side, int padded) {
    struct row r = {backward ? "head backward" : "head forward",
                    {PAIRS, side, side, padded},
                    2,
                    0,
                    {},
                    backward ? head_back : head};
    const size_t planes = 4 * (padded > 8 ? 3 : 1) * (size_t)PAIRS * SIDE * SIDE;
    r.parts = {2 * map_elements(r.sizes), planes, planes};
    r.bytes = 2.0 * (double)map_elements(r.sizes) + (backward ? 2.0 : 1.0) * (double)planes;
    return r;
}

/* Draws and makes the faces of one identity. */

static cudaError_t augment(const struct row &, void *const *at, cudaStream_t stream) {
    const struct us_cuda_faces faces = {(const uint16_t *)at[0], NULL, FACES, false};
    const struct us_cuda_augmented out = {NULL, at[2], (float *)at[3], (float *)at[4], NULL, BF16};
    return us_cuda_augment(&faces, (const struct us_augment_turn *)at[1], 1, 0, PAIRS, SIDE, &out,
                           at[5], stream);
}

static struct row augment_row() {
    struct row r = {"augment", {PAIRS, SIDE, SIDE, 0}, 2, 0, {}, augment};
    const size_t area = (size_t)SIDE * SIDE, all = PAIRS * area;
    r.parts = {FACES * area * 8, sizeof(struct us_augment_turn), all * 16, all * 12,
               all * 4,          us_cuda_augment_scratch(PAIRS)};
    r.bytes = (double)all * (8 + 16 + 12 + 4);
    return r;
}

/* Weight gradients into the arena, and their sum of squares. */

static cudaError_t take(const struct row &r, void *const *at, cudaStream_t stream) {
    return cu_take_gradient(BF16, at[0], NULL, false, NN_CUDA_F32, at[1], map_elements(r.sizes),
                            stream);
}

static cudaError_t squares(const struct row &r, void *const *at, cudaStream_t stream) {
    return nn_cuda_sum_of_squares(BF16, at[0], map_elements(r.sizes), 1, false, (double *)at[1],
                                  at[2], stream);
}

static struct row take_row(int out, int kernel, int in, int launches) {
    struct row r = {"take gradient", {out, kernel, kernel, in}, launches, 0, {}, take};
    const size_t count = map_elements(r.sizes);
    r.parts = {2 * count, 4 * count};
    r.bytes = 6.0 * (double)count;
    return r;
}

static struct row squares_row() {
    struct row r = {"sum of squares", {83, 1000, 1000, 1}, 1, 0, {}, squares};
    const size_t count = map_elements(r.sizes);
    r.parts = {2 * count, 8, nn_cuda_sum_scratch(count)};
    r.bytes = 2.0 * (double)count;
    return r;
}

static void add_bias_rows(std::vector<struct row> *rows) {
    static const int maps[][4] = {{32, 128, 64, 1}, {32, 64, 128, 1}, {32, 32, 256, 1},
                                  {32, 16, 512, 1}, {32, 1, 256, 1},  {32, 1, 16384, 1},
                                  {16, 32, 512, 4}, {16, 64, 256, 4}, {16, 128, 128, 4},
                                  {16, 128, 16, 2}, {16, 256, 8, 2}};
    for (const int *m : maps) {
        rows->push_back(bias_row(m[0], m[1], m[2], m[3]));
    }
}

static std::vector<struct row> all_rows() {
    static const int maps[][5] = {{32, 8, 8, 256, 1},   {16, 16, 16, 512, 2}, {16, 32, 32, 256, 2},
                                  {16, 64, 64, 128, 2}, {16, 16, 16, 176, 2}, {16, 32, 32, 88, 2},
                                  {16, 64, 64, 48, 2},  {16, 128, 128, 24, 2}};
    std::vector<struct row> rows;
    add_bias_rows(&rows);
    for (int kind = 0; kind < 3; kind++) {
        for (const int *m : maps) {
            rows.push_back(shuffle_row(kind, m));
            rows.back().launches = kind != 1 ? m[4] : 0; /* backward comes with the bias */
        }
    }
    for (int backward = 0; backward < 2; backward++) {
        rows.push_back(dssim_row(backward, 22, 2));
        rows.push_back(dssim_row(backward, 11, 2));
    }
    rows.push_back(loss_row(true));
    rows.push_back(loss_row(false));
    for (int backward = 0; backward < 2; backward++) {
        rows.push_back(head_row(backward, SIDE / 2, 16));
        rows.push_back(head_row(backward, SIDE, 8));
    }
    rows.push_back(augment_row());
    rows.push_back(take_row(256, 1, 131072, 1));
    rows.push_back(take_row(16384, 1, 256, 1));
    rows.push_back(take_row(2048, 3, 256, 2));
    rows.push_back(take_row(512, 3, 512, 4));
    rows.push_back(take_row(128, 3, 128, 4));
    rows.push_back(squares_row());
    return rows;
}

static size_t padded(size_t bytes) {
    return (bytes + 255) / 256 * 256;
}

static struct us_augment_turn usual_turn() {
    struct us_augment_turn turn = {};
    turn.ranges.rotation_degrees = 10;
    turn.ranges.scale = turn.ranges.shift = 0.05;
    turn.ranges.warp = 0.24;
    turn.ranges.light = 0.02;
    return turn;
}

/* Random data for `sets` launches; where each part of each set lies. */
static std::vector<void *> fill_sets(const struct row &r, int sets, char *memory) {
    std::vector<void *> at;
    size_t used = 0;
    for (int s = 0; s < sets; s++) {
        for (const size_t bytes : r.parts) {
            at.push_back(memory + used);
            used += padded(bytes);
        }
    }
    fill<<<1024, 256>>>((uint16_t *)memory, used / 2, 12345);
    MUST(cudaGetLastError());
    for (size_t i = 0; r.launch == augment && i < at.size(); i += r.parts.size()) {
        const struct us_augment_turn turn = usual_turn();
        MUST(cudaMemcpy(at[i + 1], &turn, sizeof turn, cudaMemcpyHostToDevice));
    }
    MUST(cudaDeviceSynchronize());
    return at;
}

static cudaGraphExec_t captured(const struct row &r, int sets, int launches, void *const *at,
                                cudaStream_t stream) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < launches; i++) {
        MUST(r.launch(r, at + (size_t)(i % sets) * r.parts.size(), stream));
    }
    MUST(cudaStreamEndCapture(stream, &graph));
    MUST(cudaGraphInstantiate(&exec, graph, 0));
    MUST(cudaGraphDestroy(graph));
    return exec;
}

/* Median microseconds of a replay. */
static double replayed(cudaGraphExec_t exec, cudaStream_t stream) {
    std::vector<float> times;
    cudaEvent_t begin, end;
    MUST(cudaEventCreate(&begin));
    MUST(cudaEventCreate(&end));
    for (int i = 0; i < REPLAYS + 2; i++) {
        float ms;
        MUST(cudaEventRecord(begin, stream));
        MUST(cudaGraphLaunch(exec, stream));
        MUST(cudaEventRecord(end, stream));
        MUST(cudaEventSynchronize(end));
        MUST(cudaEventElapsedTime(&ms, begin, end));
        if (i >= 2) {
            times.push_back(ms * 1e3f);
        }
    }
    MUST(cudaEventDestroy(begin));
    MUST(cudaEventDestroy(end));
    std::sort(times.begin(), times.end());
    return (double)times[REPLAYS / 2];
}

/* Microseconds of one launch. */
static double measured(const struct row &r, size_t l2, cudaStream_t stream) {
    size_t set = 0;
    for (const size_t bytes : r.parts) {
        set += padded(bytes);
    }
    const int sets = (int)std::min<size_t>(MOST_SETS, 4 * l2 / set + 2);
    const int launches = (LEAST_LAUNCHES + sets - 1) / sets * sets;
    void *memory;
    MUST(cudaMalloc(&memory, set * (size_t)sets));
    const std::vector<void *> at = fill_sets(r, sets, (char *)memory);
    const cudaGraphExec_t exec = captured(r, sets, launches, at.data(), stream);
    const double time = replayed(exec, stream) / launches;
    MUST(cudaGraphExecDestroy(exec));
    MUST(cudaFree(memory));
    return time;
}

static cudaError_t copy(const struct row &r, void *const *at, cudaStream_t stream) {
    return cudaMemcpyAsync(at[1], at[0], r.parts[0], cudaMemcpyDeviceToDevice, stream);
}

static bool wanted(const struct row &r, int words, char **word) {
    bool any = words == 0;
    for (int i = 0; i < words; i++) {
        any = any || strstr(r.kernel, word[i]);
    }
    return any;
}

int main(int argc, char **argv) {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        printf("skipped: no CUDA device\n");
        return 0;
    }
    struct cudaDeviceProp device;
    cudaStream_t stream;
    MUST(cudaGetDeviceProperties(&device, 0));
    MUST(cudaStreamCreate(&stream));
    const size_t l2 = (size_t)device.l2CacheSize, large = (size_t)1 << 30;
    struct row copies = {"copy", {}, 0, 2.0 * (double)large, {large, large}, copy};
    const double rate = copies.bytes / measured(copies, l2, stream) * 1e-3;
    printf("%s: a copy moves %.0f GB/s\n", device.name, rate);
    printf("%-26s %-22s %9s %8s %9s %9s %8s\n", "kernel", "sizes", "us", "a step", "MB", "GB/s",
           "of copy");
    double sum = 0;
    for (const struct row &r : all_rows()) {
        if (wanted(r, argc - 1, argv + 1)) {
            char sizes[64];
            const double us = measured(r, l2, stream);
            snprintf(sizes, sizeof sizes, "%d x %d x %d x %d", r.sizes[0], r.sizes[1], r.sizes[2],
                     r.sizes[3]);
            printf("%-26s %-22s %9.2f %6d x %9.2f %9.0f %7.0f %%\n", r.kernel, sizes, us,
                   r.launches, r.bytes * 1e-6, r.bytes / us * 1e-3,
                   100 * r.bytes / us * 1e-3 / rate);
            sum += us * r.launches;
        }
    }
    printf("%.0f us a step; the loss counts its DSSIM again\n", sum);
    MUST(cudaStreamDestroy(stream));
    return 0;
}
