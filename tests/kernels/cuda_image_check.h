/* For tests of image kernels on the emulation: planes with a stride of their own in both memories,
 * filled with light below 0, above 1 and, where wanted, NaN and infinities. */
#ifndef US_TESTS_KERNELS_CUDA_IMAGE_CHECK_H
#define US_TESTS_KERNELS_CUDA_IMAGE_CHECK_H

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "emulation.h"
#include "kernels/view.h"
#include "tests/support/check.h"

#define ASSERT_CUDA(call) assert_int_equal((call), cudaSuccess)

enum { PAD = 3 }; /* floats behind each row that nobody may touch */

struct pair {
    struct us_view host, device;
    size_t bytes;
};

static inline float noise_of(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 16777216.0f;
}

/* The host's plane goes to the device. */
static inline void push(const struct pair *p) {
    ASSERT_CUDA(cudaMemcpy(p->device.data, p->host.data, p->bytes, cudaMemcpyHostToDevice));
}

/* Values from `low` to `high`; with `odd` some that are not finite, and zeros of both signs. */
static inline struct pair make_pair(int32_t width, int32_t height, float low, float high, bool odd,
                                    uint32_t seed) {
    struct pair p = {{NULL, width, height, width + PAD}, {NULL, width, height, width + PAD}, 0};
    size_t count = (size_t)height * (size_t)(width + PAD);
    const float odds[] = {NAN, INFINITY, -INFINITY, -0.0f, 0.0f, 70000.0f, 1e-30f};
    p.bytes = count * sizeof(float);
    p.host.data = malloc(p.bytes);
    for (size_t i = 0; i < count; i++) {
        p.host.data[i] = low + (high - low) * noise_of(&seed);
        if (odd && noise_of(&seed) < 0.05f) {
            p.host.data[i] = odds[(size_t)(noise_of(&seed) * 7.0f) % 7];
        }
    }
    void *block;
    ASSERT_CUDA(cudaMalloc(&block, p.bytes));
    p.device.data = block;
    push(&p);
    return p;
}

static inline void drop_pair(struct pair *p) {
    ASSERT_CUDA(cudaFree(p->device.data));
    free(p->host.data);
}

static inline void *device_copy(const void *from, size_t bytes) {
    void *block;
    ASSERT_CUDA(cudaMalloc(&block, bytes ? bytes : 1));
    ASSERT_CUDA(cudaMemcpy(block, from, bytes, cudaMemcpyHostToDevice));
    return block;
}

/* Two values are one: equal bits, or both NaN, or within the tolerance. */
static inline bool same_value(float a, float b, double tolerance) {
    if (isnan(a) || isnan(b) || isinf(a) || isinf(b)) {
        return (isnan(a) && isnan(b)) || a == b;
    }
    return fabs((double)a - (double)b) <= tolerance * (1 + fabs((double)b));
}

/* The device's plane is the host's, padding included. */
static inline void assert_pair(const struct pair *p, double tolerance) {
    float *back = malloc(p->bytes);
    ASSERT_CUDA(cudaMemcpy(back, p->device.data, p->bytes, cudaMemcpyDeviceToHost));
    for (int32_t y = 0; y < p->host.height; y++) {
        for (int32_t x = 0; x < p->host.stride; x++) {
            size_t i = (size_t)y * (size_t)p->host.stride + (size_t)x;
            bool pixel = x < p->host.width;
            if (!same_value(back[i], p->host.data[i], pixel ? tolerance : 0)) {
                fail_msg("(%d, %d) of %d x %d: %.9g on the device, %.9g on the processor", x, y,
                         p->host.width, p->host.height, (double)back[i], (double)p->host.data[i]);
            }
        }
    }
    free(back);
}

static const int32_t sizes[][2] = {{1, 1}, {1, 7}, {9, 1}, {37, 29}, {64, 3}, {31, 50}};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Runs a check for each size, with blocks and threads in several orders. */
static inline void each_size(void (*check)(int32_t width, int32_t height)) {
    for (int i = 0; i < SIZES; i++) {
        us_emulation_set_order((enum us_emulation_order)(i % 3));
        check(sizes[i][0], sizes[i][1]);
    }
    us_emulation_set_order(US_ORDER_UP);
}

#endif
