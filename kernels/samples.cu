#include <cuda_runtime.h>

extern "C" {
#include "kernels/samples.h"
}
#include "kernels/cuda/grid_internal.h"
#include "kernels/samples_internal.h"

static __global__ void read(struct us_samples samples, int32_t x, int32_t y, float outside,
                            struct us_view plane) {
    size_t i = grid_index();
    if (i >= (size_t)plane.width * (size_t)plane.height) {
        return;
    }
    int32_t u = (int32_t)(i % (size_t)plane.width), v = (int32_t)(i / (size_t)plane.width);
    ptrdiff_t at = sample_place(&samples, (int64_t)x + u, (int64_t)y + v);
    plane.data[v * plane.stride + u] = at < 0 ? outside : sample_at(&samples, (size_t)at);
}

static __global__ void write(struct us_samples samples, int32_t x, int32_t y, struct us_view plane,
                             struct us_view where) {
    size_t i = grid_index();
    if (i >= (size_t)plane.width * (size_t)plane.height) {
        return;
    }
    int32_t u = (int32_t)(i % (size_t)plane.width), v = (int32_t)(i / (size_t)plane.width);
    ptrdiff_t at = sample_place(&samples, (int64_t)x + u, (int64_t)y + v);
    bool wanted = !where.data || where.data[v * where.stride + u] > 0.0f;
    if (at >= 0 && wanted) {
        sample_put(&samples, (size_t)at, plane.data[v * plane.stride + u]);
    }
}

void us_samples_read_cuda(struct us_samples samples, int32_t x, int32_t y, float outside,
                          struct us_view plane, void *stream) {
    GRID_LAUNCH(read, (size_t)plane.width * (size_t)plane.height, stream, samples, x, y, outside,
                plane);
}

void us_samples_write_cuda(struct us_samples samples, int32_t x, int32_t y, struct us_view plane,
                           const struct us_view *where, void *stream) {
    const struct us_view everywhere = {NULL, 0, 0, 0};
    GRID_LAUNCH(write, (size_t)plane.width * (size_t)plane.height, stream, samples, x, y, plane,
                where ? *where : everywhere);
}

static __global__ void copy(struct us_samples from, int32_t x, int32_t y, struct us_samples to) {
    size_t at = grid_index();
    if (at < (size_t)to.width * (size_t)to.height) {
        int32_t u = (int32_t)(at % (size_t)to.width), v = (int32_t)(at / (size_t)to.width);
        sample_copy(&from, sample_place(&from, (int64_t)x + u, (int64_t)y + v), &to, at);
    }
}

void us_samples_copy_cuda(struct us_samples from, int32_t x, int32_t y, struct us_samples to,
                          void *stream) {
    GRID_LAUNCH(copy, (size_t)to.width * (size_t)to.height, stream, from, x, y, to);
}
