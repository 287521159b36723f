/* One sample of each. */
#ifndef US_KERNELS_BLEND_INTERNAL_H
#define US_KERNELS_BLEND_INTERNAL_H

#include <math.h>
#include <string.h>

#include "kernels/blend.h"
#include "kernels/both_internal.h"

US_BOTH bool blend_finite(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

US_BOTH void blend_map(const struct us_blend_frame *f, int32_t x, int32_t y, double at[2]) {
    double px = x + 0.5, py = y + 0.5;
    at[0] = f->map[0] * px + f->map[1] * py + f->map[2];
    at[1] = f->map[3] * px + f->map[4] * py + f->map[5];
}

US_BOTH float blend_covered(const struct us_blend_frame *f, int32_t x, int32_t y) {
    double at[2];
    blend_map(f, x, y, at);
    double left = fmin(at[0], f->width - at[0]), top = fmin(at[1], f->height - at[1]);
    double t = fmin(1.0, fmax(0.0, fmin(left, top) / f->scale / f->ramp));
    return (float)(t * t * (3.0 - 2.0 * t));
}

US_BOTH float blend_placed(const struct us_blend_frame *f, bool upwards, int32_t x, int32_t y) {
    double at[2];
    blend_map(f, x, y, at);
    return (float)(upwards ? 1.0 - at[1] / f->height : at[0] / f->width);
}

US_BOTH float blend_clamped(float value, float low, float high) {
    return value != value ? 0.0f : fmaxf(low, fminf(high, value));
}

US_BOTH float blend_factor(float factor, bool inverted) {
    float f = factor > 0.0f ? fminf(factor, 1.0f) : 0.0f;
    return inverted ? 1.0f - f : f;
}

US_BOTH float blend_weighed(float weight, float by) {
    return fmaxf(weight, 0.0f) * fmaxf(by, 0.0f);
}

US_BOTH float blend_settled(float mask, float cover, float opacity) {
    float value = mask * blend_factor(cover, false) * opacity;
    return value >= US_BLEND_LEAST ? fminf(value, 1.0f) : 0.0f;
}

US_BOTH float blend_mixed(float plate, float picture, float mask) {
    if (!blend_finite(picture)) {
        return plate;
    }
    return mask >= 1.0f || !blend_finite(plate) ? picture : plate + mask * (picture - plate);
}

#endif
