#include <cuda_runtime.h>

extern "C" {
#include "kernels/blend.h"
}
#include "kernels/blend_internal.h"
#include "kernels/cuda/grid_internal.h"

/* This thread's sample; false beyond the last. */
static __device__ bool find(struct us_view view, int32_t *x, int32_t *y) {
    size_t at = grid_index();
    *x = (int32_t)(at % (size_t)view.width);
    *y = (int32_t)(at / (size_t)view.width);
    return at < (size_t)view.width * (size_t)view.height;
}

static __device__ float *sample(struct us_view view, int32_t x, int32_t y) {
    return view.data + (ptrdiff_t)y * view.stride + x;
}

static __global__ void cover_each(struct us_blend_frame frame, struct us_view cover) {
    int32_t x, y;
    if (find(cover, &x, &y)) {
        *sample(cover, x, y) = blend_covered(&frame, x, y);
    }
}

void us_blend_cover_cuda(const struct us_blend_frame *frame, struct us_view cover, void *stream) {
    GRID_LAUNCH(cover_each, (size_t)cover.width * (size_t)cover.height, stream, *frame, cover);
}

static __global__ void fill_each(struct us_view plane, float value) {
    int32_t x, y;
    if (find(plane, &x, &y)) {
        *sample(plane, x, y) = value;
    }
}

void us_blend_fill_cuda(struct us_view plane, float value, void *stream) {
    GRID_LAUNCH(fill_each, (size_t)plane.width * (size_t)plane.height, stream, plane, value);
}

static __global__ void clamp_each(struct us_view plane, float low, float high) {
    int32_t x, y;
    if (find(plane, &x, &y)) {
        *sample(plane, x, y) = blend_clamped(*sample(plane, x, y), low, high);
    }
}

void us_blend_clamp_cuda(struct us_view plane, float low, float high, void *stream) {
    GRID_LAUNCH(clamp_each, (size_t)plane.width * (size_t)plane.height, stream, plane, low, high);
}

static __global__ void multiply_each(struct us_view mask, struct us_view factor, bool inverted) {
    int32_t x, y;
    if (find(mask, &x, &y)) {
        *sample(mask, x, y) *= blend_factor(*sample(factor, x, y), inverted);
    }
}

void us_blend_multiply_cuda(struct us_view mask, struct us_view factor, bool inverted,
                            void *stream) {
    GRID_LAUNCH(multiply_each, (size_t)mask.width * (size_t)mask.height, stream, mask, factor,
                inverted);
}

static __global__ void weigh_each(struct us_view weight, struct us_view by) {
    int32_t x, y;
    if (find(weight, &x, &y)) {
        *sample(weight, x, y) = blend_weighed(*sample(weight, x, y), *sample(by, x, y));
    }
}

void us_blend_weigh_cuda(struct us_view weight, struct us_view by, void *stream) {
    GRID_LAUNCH(weigh_each, (size_t)weight.width * (size_t)weight.height, stream, weight, by);
}

static __global__ void settle_each(struct us_view mask, struct us_view cover, float opacity) {
    int32_t x, y;
    if (find(mask, &x, &y)) {
        *sample(mask, x, y) = blend_settled(*sample(mask, x, y), *sample(cover, x, y), opacity);
    }
}

void us_blend_settle_cuda(struct us_view mask, struct us_view cover, float opacity, void *stream) {
    GRID_LAUNCH(settle_each, (size_t)mask.width * (size_t)mask.height, stream, mask, cover,
                opacity);
}

static __global__ void mix_each(struct us_view plate, struct us_view picture, struct us_view mask) {
    int32_t x, y;
    if (find(plate, &x, &y)) {
        if (*sample(mask, x, y) > 0.0f) {
            *sample(plate, x, y) =
                blend_mixed(*sample(plate, x, y), *sample(picture, x, y), *sample(mask, x, y));
        }
    }
}

void us_blend_mix_cuda(struct us_view plate, struct us_view picture, struct us_view mask,
                       void *stream) {
    GRID_LAUNCH(mix_each, (size_t)plate.width * (size_t)plate.height, stream, plate, picture, mask);
}

static __global__ void place_each(struct us_blend_frame frame, bool upwards, struct us_view plane) {
    int32_t x, y;
    if (find(plane, &x, &y)) {
        *sample(plane, x, y) = blend_placed(&frame, upwards, x, y);
    }
}

void us_blend_place_cuda(const struct us_blend_frame *frame, bool upwards, struct us_view plane,
                         void *stream) {
    GRID_LAUNCH(place_each, (size_t)plane.width * (size_t)plane.height, stream, *frame, upwards,
                plane);
}
