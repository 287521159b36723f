#include <cuda_runtime.h>

extern "C" {
#include "kernels/polygon.h"
}
#include "kernels/cuda/grid_internal.h"
#include "kernels/polygon_internal.h"

/* A thread a row: the edges add up in their order. */
static __global__ void fill_row(struct us_view view, const double (*points)[2], int count) {
    size_t y = grid_index();
    if (y >= (size_t)view.height) {
        return;
    }
    float *row = view.data + (ptrdiff_t)y * view.stride;
    for (int32_t x = 0; x < view.width; x++) {
        row[x] = 0.0f;
    }
    for (int i = 0; i < count; i++) {
        add_row(row, view.width, (double)y, points[i], points[(i + 1) % count]);
    }
    sum_row(row, view.width);
}

void us_polygon_fill_cuda(struct us_view view, const double (*points)[2], int count, void *stream) {
    GRID_LAUNCH(fill_row, view.height, stream, view, points, count);
}
