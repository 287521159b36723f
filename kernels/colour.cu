#include <cuda_runtime.h>

extern "C" {
#include "kernels/colour.h"
}
#include "kernels/colour_internal.h"
#include "kernels/cuda/grid_internal.h"

struct rgb {
    struct us_view planes[3];
};

static __device__ float *at(struct us_view view, int32_t x, int32_t y) {
    return view.data + (ptrdiff_t)y * view.stride + x;
}

static __global__ void gather_row(struct rgb rgb, struct us_view weight,
                                  struct us_colour_sums *rows) {
    size_t row = grid_index();
    if (row >= (size_t)weight.height) {
        return;
    }
    int32_t y = (int32_t)row;
    struct us_colour_sums sums = {0, {0, 0, 0}, {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}}};
    for (int32_t x = 0; x < weight.width; x++) {
        colour_take(*at(rgb.planes[0], x, y), *at(rgb.planes[1], x, y), *at(rgb.planes[2], x, y),
                    *at(weight, x, y), &sums);
    }
    rows[row] = sums;
}

static __global__ void sum_rows(const struct us_colour_sums *rows, int32_t count,
                                struct us_colour_sums *sums) {
    const int doubles = (int)(sizeof *sums / sizeof(double));
    int i = (int)threadIdx.x;
    if (i < doubles) {
        double sum = 0.0;
        for (int32_t y = 0; y < count; y++) {
            sum += ((const double *)(rows + y))[i];
        }
        ((double *)sums)[i] = sum;
    }
}

static __global__ void apply(struct us_colour_map map, struct rgb rgb) {
    size_t i = grid_index(), width = (size_t)rgb.planes[0].width;
    if (i < width * (size_t)rgb.planes[0].height) {
        int32_t x = (int32_t)(i % width), y = (int32_t)(i / width);
        colour_move(&map, at(rgb.planes[0], x, y), at(rgb.planes[1], x, y),
                    at(rgb.planes[2], x, y));
    }
}

size_t us_colour_scratch_cuda(int32_t height) {
    return (size_t)height;
}

void us_colour_gather_cuda(const struct us_view rgb[3], struct us_view weight,
                           struct us_colour_sums *sums, struct us_colour_sums *scratch,
                           void *stream) {
    struct rgb planes = {{rgb[0], rgb[1], rgb[2]}};
    GRID_LAUNCH(gather_row, weight.height, stream, planes, weight, scratch);
    BLOCK_LAUNCH(sum_rows, 32, stream, scratch, weight.height, sums);
}

void us_colour_apply_cuda(const struct us_colour_map *map, const struct us_view rgb[3],
                          void *stream) {
    struct rgb planes = {{rgb[0], rgb[1], rgb[2]}};
    GRID_LAUNCH(apply, (size_t)rgb[0].width * (size_t)rgb[0].height, stream, *map, planes);
}
