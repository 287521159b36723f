/* One sample of any type. */
#ifndef US_KERNELS_SAMPLES_INTERNAL_H
#define US_KERNELS_SAMPLES_INTERNAL_H

#include "kernels/half_internal.h"
#include "kernels/samples.h"

US_BOTH float sample_at(const struct us_samples *samples, size_t at) {
    if (samples->type == US_SAMPLE_HALF) {
        return half_widen(((const uint16_t *)samples->data)[at]);
    }
    return samples->type == US_SAMPLE_FLOAT ? ((const float *)samples->data)[at]
                                            : (float)((const uint32_t *)samples->data)[at];
}

US_BOTH uint32_t sample_rounded(float value) {
    if (!(value > 0.0f)) {
        return 0;
    }
    return value >= 4294967040.0f ? UINT32_MAX : (uint32_t)(value + 0.5f);
}

US_BOTH float sample_saturated(float value) {
    return value > 65504.0f ? 65504.0f : value < -65504.0f ? -65504.0f : value;
}

US_BOTH void sample_put(const struct us_samples *samples, size_t at, float value) {
    if (samples->type == US_SAMPLE_HALF) {
        ((uint16_t *)samples->data)[at] = half_narrow(sample_saturated(value));
    } else if (samples->type == US_SAMPLE_FLOAT) {
        ((float *)samples->data)[at] = value;
    } else {
        ((uint32_t *)samples->data)[at] = sample_rounded(value);
    }
}

/* Of (x, y) in the samples, or -1 when it lies outside. */
US_BOTH ptrdiff_t sample_place(const struct us_samples *samples, int64_t x, int64_t y) {
    return x >= 0 && y >= 0 && x < samples->width && y < samples->height
               ? (ptrdiff_t)(y * samples->width + x)
               : -1;
}

/* Sample `at` of `to` from place `from_at`, or 0 bits for -1. */
US_BOTH void sample_copy(const struct us_samples *from, ptrdiff_t from_at,
                         const struct us_samples *to, size_t at) {
    if (to->type == US_SAMPLE_HALF) {
        ((uint16_t *)to->data)[at] =
            from_at < 0 ? (uint16_t)0 : ((const uint16_t *)from->data)[from_at];
    } else {
        ((uint32_t *)to->data)[at] = from_at < 0 ? 0 : ((const uint32_t *)from->data)[from_at];
    }
}

#endif
