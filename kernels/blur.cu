#include <cuda_runtime.h>

extern "C" {
#include "kernels/blur.h"
}
#include "kernels/blur_internal.h"
#include "kernels/cuda/grid_internal.h"

/* One block: the weights' sum runs in one fixed order. */
static __global__ void make_kernel(double sigma, int32_t radius, float *kernel) {
    __shared__ double sum;
    if (threadIdx.x == 0) {
        sum = 0.0;
        for (int32_t k = -radius; k <= radius; k++) {
            sum += exp(-0.5 * k * k / (sigma * sigma));
        }
    }
    __syncthreads();
    for (int32_t k = (int32_t)threadIdx.x - radius; k <= radius; k += GRID_THREADS) {
        kernel[k + radius] = (float)(exp(-0.5 * k * k / (sigma * sigma)) / sum);
    }
}

static __device__ int32_t clamped(int32_t at, int32_t size) {
    return at < 0 ? 0 : at >= size ? size - 1 : at;
}

static __global__ void blur_rows(struct us_view source, struct us_view across, const float *kernel,
                                 int32_t radius) {
    size_t at = grid_index();
    if (at >= (size_t)source.width * (size_t)source.height) {
        return;
    }
    int32_t x = (int32_t)(at % (size_t)source.width), y = (int32_t)(at / (size_t)source.width);
    const float *row = source.data + y * source.stride;
    float sum = 0.0f;
    for (int32_t k = -radius; k <= radius; k++) {
        sum += kernel[k + radius] * row[clamped(x + k, source.width)];
    }
    across.data[y * across.stride + x] = sum;
}

static __global__ void blur_columns(struct us_view across, struct us_view destination,
                                    const float *kernel, int32_t radius) {
    size_t at = grid_index();
    if (at >= (size_t)across.width * (size_t)across.height) {
        return;
    }
    int32_t x = (int32_t)(at % (size_t)across.width), y = (int32_t)(at / (size_t)across.width);
    float sum = 0.0f;
    for (int32_t k = -radius; k <= radius; k++) {
        int32_t row = clamped(y + k, across.height);
        sum += kernel[k + radius] * across.data[row * across.stride + x];
    }
    destination.data[y * destination.stride + x] = sum;
}

static __global__ void copy(struct us_view source, struct us_view destination) {
    size_t at = grid_index();
    if (at < (size_t)source.width * (size_t)source.height) {
        int32_t x = (int32_t)(at % (size_t)source.width), y = (int32_t)(at / (size_t)source.width);
        destination.data[y * destination.stride + x] = source.data[y * source.stride + x];
    }
}

size_t us_gaussian_blur_scratch_cuda(int32_t width, int32_t height, double sigma) {
    return blur_scratch(width, height, sigma);
}

void us_gaussian_blur_cuda(struct us_view source, struct us_view destination, double sigma,
                           float *scratch, void *stream) {
    int32_t radius = blur_radius(sigma);
    size_t count = (size_t)source.width * (size_t)source.height;
    if (count == 0 || (radius == 0 && source.data == destination.data)) {
        return;
    }
    if (radius == 0) {
        GRID_LAUNCH(copy, count, stream, source, destination);
        return;
    }
    struct us_view across = {scratch, source.width, source.height, source.width};
    float *kernel = scratch + count;
    BLOCK_LAUNCH(make_kernel, GRID_THREADS, stream, sigma, radius, kernel);
    GRID_LAUNCH(blur_rows, count, stream, source, across, kernel, radius);
    GRID_LAUNCH(blur_columns, count, stream, across, destination, kernel, radius);
}
