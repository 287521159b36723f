#include <cuda_runtime.h>

extern "C" {
#include "kernels/expose.h"
}
#include "kernels/cuda/grid_internal.h"
#include "kernels/expose_internal.h"

struct look {
    struct us_view planes[3];
    struct us_exposure exposure;
    double *rows; /* sum and count of each row */
};

size_t us_expose_scratch_cuda(int32_t width, int32_t height) {
    (void)width;
    return 2 * (size_t)height + 1;
}

static __global__ void measure_row(struct look look) {
    size_t row = grid_index();
    if (row >= (size_t)look.planes[0].height) {
        return;
    }
    int32_t y = (int32_t)row;
    double sum = 0, count = 0;
    for (int32_t x = 0; x < look.planes[0].width; x++) {
        float *v[3];
        for (int p = 0; p < 3; p++) {
            v[p] = look.planes[p].data + y * look.planes[p].stride + x;
        }
        double light;
        if (!expose_inside(&look.exposure, x, y)) {
            *v[0] = *v[1] = *v[2] = 0.0f;
        } else if (expose_light(*v[0], *v[1], *v[2], &light)) {
            sum += light;
            count++;
        }
    }
    look.rows[2 * row] = sum;
    look.rows[2 * row + 1] = count;
}

static __global__ void sum_rows(struct look look) {
    double sum = 0, count = 0;
    int32_t height = look.planes[0].height;
    for (int32_t y = 0; y < height; y++) {
        sum += look.rows[2 * y];
        count += look.rows[2 * y + 1];
    }
    look.rows[2 * height] = (double)expose_gain(sum, count, look.exposure.stops);
}

static __global__ void encode(struct look look, float *out) {
    size_t at = grid_index(), width = (size_t)look.planes[0].width;
    if (at >= width * (size_t)look.planes[0].height) {
        return;
    }
    int32_t x = (int32_t)(at % width), y = (int32_t)(at / width);
    float gain = (float)look.rows[2 * look.planes[0].height];
    for (int p = 0; p < 3; p++) {
        float light = look.planes[p].data[y * look.planes[p].stride + x];
        out[3 * at + p] = expose_seen(&look.exposure, light, gain);
    }
}

void us_expose_cuda(const struct us_view planes[3], const struct us_exposure *exposure, float *out,
                    double *scratch, void *stream) {
    struct look look = {{planes[0], planes[1], planes[2]}, *exposure, scratch};
    size_t height = (size_t)planes[0].height;
    GRID_LAUNCH(measure_row, height, stream, look);
    BLOCK_LAUNCH(sum_rows, 1, stream, look);
    GRID_LAUNCH(encode, (size_t)planes[0].width * height, stream, look, out);
}
