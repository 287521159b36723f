#include <cuda_runtime.h>

extern "C" {
#include "kernels/blur.h"
#include "kernels/ssim.h"
}
#include "kernels/cuda/grid_internal.h"
#include "kernels/ssim_internal.h"

static __device__ float *at(struct us_view view, size_t i) {
    return view.data + (ptrdiff_t)(i / (size_t)view.width) * view.stride + i % (size_t)view.width;
}

static __global__ void multiply(struct us_view a, struct us_view b, struct us_view out) {
    size_t i = grid_index();
    if (i < (size_t)a.width * (size_t)a.height) {
        *at(out, i) = *at(a, i) * *at(b, i);
    }
}

struct means {
    struct us_view a, b, aa, ab;
};

static __global__ void compare(struct means means, struct us_view map, double peak) {
    size_t i = grid_index();
    if (i < (size_t)map.width * (size_t)map.height) {
        *at(map, i) = ssim_at(*at(means.a, i), *at(means.b, i), *at(means.aa, i), *at(map, i),
                              *at(means.ab, i), peak);
    }
}

static void mean_product(struct us_view a, struct us_view b, struct us_view out, float *blur,
                         void *stream) {
    GRID_LAUNCH(multiply, (size_t)a.width * (size_t)a.height, stream, a, b, out);
    us_gaussian_blur_cuda(out, out, SSIM_SIGMA, blur, stream);
}

void us_ssim_map_cuda(struct us_view a, struct us_view b, struct us_view map, double peak,
                      float *scratch, void *stream) {
    size_t count = (size_t)a.width * (size_t)a.height;
    struct us_view planes[4];
    for (int i = 0; i < 4; i++) {
        struct us_view plane = {scratch + (size_t)i * count, a.width, a.height, a.width};
        planes[i] = plane;
    }
    struct means means = {planes[0], planes[1], planes[2], planes[3]};
    float *blur = scratch + 4 * count;
    us_gaussian_blur_cuda(a, means.a, SSIM_SIGMA, blur, stream);
    us_gaussian_blur_cuda(b, means.b, SSIM_SIGMA, blur, stream);
    mean_product(a, b, means.ab, blur, stream);
    mean_product(a, a, means.aa, blur, stream);
    mean_product(b, b, map, blur, stream);
    GRID_LAUNCH(compare, count, stream, means, map, peak);
}
