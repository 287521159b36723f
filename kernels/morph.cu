#include <cuda_runtime.h>

#include <math.h>

extern "C" {
#include "kernels/morph.h"
}
#include "kernels/cuda/grid_internal.h"

enum { MOST_LEVELS = 24 };

/* Level p holds, at every sample of the padded plane, the least of the 2^p samples from there on;
 * each level is one plane. */
struct table {
    float *data;
    int32_t width, height, border, levels;
    size_t plane;
};

static struct table table_of(int32_t width, int32_t height, double radius, float *data) {
    struct table t;
    t.border = (int32_t)fmin(fabs(radius), 1e6) + 2;
    t.width = width + 2 * t.border;
    t.height = height + 2 * t.border;
    t.plane = (size_t)t.width * (size_t)t.height;
    t.data = data;
    t.levels = 1;
    while (t.levels < MOST_LEVELS && (2 << (t.levels - 1)) <= 2 * t.border + 1) {
        t.levels++;
    }
    return t;
}

static __global__ void pad_plane(struct us_view source, struct table t, float sign) {
    size_t at = grid_index();
    if (at >= t.plane) {
        return;
    }
    int32_t x = (int32_t)(at % (size_t)t.width) - t.border;
    int32_t y = (int32_t)(at / (size_t)t.width) - t.border;
    x = x < 0 ? 0 : x >= source.width ? source.width - 1 : x;
    y = y < 0 ? 0 : y >= source.height ? source.height - 1 : y;
    t.data[at] = sign * source.data[y * source.stride + x];
}

/* Past the end of the plane the table repeats what it can see; nobody asks there. */
static __global__ void next_level(struct table t, int32_t level) {
    size_t at = grid_index();
    if (at >= t.plane) {
        return;
    }
    const float *below = t.data + (size_t)(level - 1) * t.plane;
    size_t other = at + ((size_t)1 << (level - 1));
    float a = below[at], b = other < t.plane ? below[other] : a;
    t.data[(size_t)level * t.plane + at] = b < a ? b : a;
}

/* The least of `length` samples from `at` on. */
static __device__ float least_of(struct table t, size_t at, int32_t length) {
    int32_t level = 0;
    while ((2 << level) <= length) {
        level++;
    }
    const float *plane = t.data + (size_t)level * t.plane;
    float a = plane[at], b = plane[at + (size_t)(length - (1 << level))];
    return b < a ? b : a;
}

static __device__ float lesser(float value, float least) {
    return value < least ? value : least;
}

static __device__ float least_in_row(struct table t, size_t centre, int32_t dy, double radius,
                                     float least) {
    double flat = radius * radius - (double)dy * dy;
    int32_t half = flat >= 0.0 ? (int32_t)sqrt(flat) : -1;
    if (half >= 0) {
        least = lesser(least_of(t, centre - (size_t)half, 2 * half + 1), least);
    }
    for (int32_t dx = half + 1;; dx++) {
        double rise = hypot((double)dx, (double)dy) - radius;
        if (rise >= 1.0) {
            return least;
        }
        least = lesser(t.data[centre - (size_t)dx] + (float)rise, least);
        least = lesser(t.data[centre + (size_t)dx] + (float)rise, least);
    }
}

static __global__ void grow(struct table t, struct us_view destination, double radius, float sign) {
    size_t at = grid_index();
    if (at >= (size_t)destination.width * (size_t)destination.height) {
        return;
    }
    int32_t x = (int32_t)(at % (size_t)destination.width);
    int32_t y = (int32_t)(at / (size_t)destination.width);
    int32_t reach = (int32_t)radius + 1;
    size_t width = (size_t)t.width;
    size_t centre = (size_t)(y + t.border) * width + (size_t)(x + t.border);
    float least = t.data[centre];
    for (int32_t dy = -reach; dy <= reach; dy++) {
        size_t there = dy < 0 ? centre - (size_t)-dy * width : centre + (size_t)dy * width;
        least = least_in_row(t, there, dy, radius, least);
    }
    destination.data[y * destination.stride + x] = sign * least;
}

size_t us_matte_grow_scratch_cuda(int32_t width, int32_t height, double radius) {
    struct table t = table_of(width, height, radius, NULL);
    return t.plane * (size_t)t.levels;
}

void us_matte_grow_cuda(struct us_view source, struct us_view destination, double radius,
                        float *scratch, void *stream) {
    float sign = radius > 0.0 ? -1.0f : 1.0f;
    struct table t = table_of(source.width, source.height, radius, scratch);
    radius = fmin(fabs(radius), 1e6);
    GRID_LAUNCH(pad_plane, t.plane, stream, source, t, sign);
    for (int32_t level = 1; level < t.levels; level++) {
        GRID_LAUNCH(next_level, t.plane, stream, t, level);
    }
    GRID_LAUNCH(grow, (size_t)source.width * (size_t)source.height, stream, t, destination, radius,
                sign);
}
