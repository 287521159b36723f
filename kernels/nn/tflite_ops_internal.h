/* What the operators on the processor and on a device share. */
#ifndef US_KERNELS_NN_TFLITE_OPS_INTERNAL_H
#define US_KERNELS_NN_TFLITE_OPS_INTERNAL_H

#include <math.h>

#include "kernels/both_internal.h"
#include "kernels/nn/tflite_ops.h"

US_BOTH float fuse(float value, enum us_fused fused) {
    if (fused == US_FUSED_NONE) {
        return value;
    }
    value = value > 0.0f ? value : 0.0f;
    return fused == US_FUSED_RELU6 && value > 6.0f ? 6.0f : value;
}

struct span {
    int32_t first, last; /* kernel taps that lie inside the input; last is exclusive */
};

US_BOTH struct span inside(int32_t start, int32_t kernel, int32_t size) {
    struct span s = {start < 0 ? -start : 0, size - start < kernel ? size - start : kernel};
    return s;
}

struct blend {
    int32_t low, high;
    float weight; /* of high */
};

US_BOTH struct blend blend_at(int32_t i, int32_t in_size, int32_t out_size, bool align_corners,
                              bool half_pixel_centers) {
    float scale = (float)in_size / (float)out_size;
    if (align_corners && out_size > 1) {
        scale = (float)(in_size - 1) / (float)(out_size - 1);
    }
    float at = half_pixel_centers ? ((float)i + 0.5f) * scale - 0.5f : (float)i * scale;
    float floored = floorf(at);
    struct blend b = {(int32_t)floored, (int32_t)floored + 1, at - floored};
    b.low = b.low < 0 ? 0 : b.low >= in_size ? in_size - 1 : b.low;
    b.high = b.high < 0 ? 0 : b.high >= in_size ? in_size - 1 : b.high;
    return b;
}

#endif
