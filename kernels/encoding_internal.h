/* The curves, one sample at a time. */
#ifndef US_KERNELS_ENCODING_INTERNAL_H
#define US_KERNELS_ENCODING_INTERNAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/both_internal.h"
#include "kernels/encoding.h"

#define LOG2_E 1.44269504088896341f
#define LOG_BREAK 0.03125f
#define LOG_SLOPE (US_LOG_STOP * 1.44269504088896341f / 0.03125f)

/* fmaxf keeps compilers from using vectors. */
US_BOTH float larger(float a, float b) {
    return a > b ? a : b;
}

US_BOTH float float_of_bits(int32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* log2 of a positive normal float: log(m) = 2 atanh((m-1)/(m+1)) with m in [sqrt(1/2), sqrt(2)). */
US_BOTH float log2_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t shifted = bits - 0x3f3504f3;
    int32_t exponent = shifted >> 23;
    float m = float_of_bits((shifted & 0x007fffff) + 0x3f3504f3);
    float s = (m - 1.0f) / (m + 1.0f), q = s * s;
    float series = 1.0f + q * (1 / 3.0f + q * (1 / 5.0f + q * (1 / 7.0f + q * (1 / 9.0f))));
    return (float)exponent + 2.0f * LOG2_E * s * series;
}

/* 2 to the t; infinity from 128 on, 0 below -125. */
US_BOTH float exp2_of(float t) {
    t = t < 128.0f ? t : 128.0f;
    t = t > -125.0f ? t : -125.0f;
    int32_t n = (int32_t)(t + 1024.5f) - 1024;
    float f = (t - (float)n) * 0.693147180559945309f;
    float p = 1 / 120.0f + f * (1 / 720.0f + f * (1 / 5040.0f));
    p = 1.0f + f * (1.0f + f * (0.5f + f * (1 / 6.0f + f * (1 / 24.0f + f * p))));
    return p * float_of_bits((n + 126) << 23) * 2.0f;
}

US_BOTH float log_encoded(float x) {
    float size = fabsf(x);
    float curve = US_LOG_STOP * (LOG2_E + 5.0f + log2_of(larger(size, LOG_BREAK)));
    float rise = size > LOG_BREAK ? copysignf(curve, x) : LOG_SLOPE * x;
    return US_LOG_BLACK + rise;
}

US_BOTH float log_decoded(float y) {
    const float knee = US_LOG_STOP * LOG2_E;
    float rise = y - US_LOG_BLACK, size = fabsf(rise);
    float light = exp2_of(size * (1.0f / US_LOG_STOP) - (LOG2_E + 5.0f));
    return size > knee ? copysignf(light, rise) : rise * (1.0f / LOG_SLOPE);
}

US_BOTH float srgb_encoded(float x) {
    float size = fabsf(x);
    float power = 1.055f * exp2_of(log2_of(larger(size, 0.0031308f)) * (1 / 2.4f)) - 0.055f;
    return size > 0.0031308f ? copysignf(power, x) : 12.92f * x;
}

US_BOTH float srgb_decoded(float y) {
    float size = fabsf(y);
    float base = (larger(size, 0.04045f) + 0.055f) * (1 / 1.055f);
    float power = exp2_of(log2_of(base) * 2.4f);
    return size > 0.04045f ? copysignf(power, y) : y * (1 / 12.92f);
}

#endif
