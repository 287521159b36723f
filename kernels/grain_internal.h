/* One block's difference, one pixel's noise. */
#ifndef US_KERNELS_GRAIN_INTERNAL_H
#define US_KERNELS_GRAIN_INTERNAL_H

#include <math.h>
#include <stdbool.h>

#include "kernels/both_internal.h"
#include "kernels/grain.h"

enum { MOST_SAMPLES = 1 << 16, FEWEST_SAMPLES = 64 };

/* Every so-manieth 2 x 2 block inside is measured. */
US_BOTH size_t grain_stride(int32_t width, int32_t height) {
    return (size_t)(width / 2) * (size_t)(height / 2) / MOST_SAMPLES + 1;
}

/* The absolute difference of the block at (x, y); false outside the weight or when not finite. */
US_BOTH bool grain_difference(struct us_view plane, struct us_view weight, int32_t x, int32_t y,
                              float *difference) {
    const float *top = plane.data + y * plane.stride, *low = top + plane.stride;
    float d = 0.5f * (top[x] - top[x + 1] - low[x] + low[x + 1]);
    *difference = fabsf(d);
    return weight.data[y * weight.stride + x] > 0.5f && *difference <= 3.402823466e38f;
}

/* splitmix64's finaliser (Steele, Lea and Flood 2014). */
US_BOTH uint64_t grain_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Four uniforms of 16 bits make a nearly normal value of deviation 1. */
US_BOTH double grain_normal(uint64_t bits) {
    double sum = 0.0;
    for (int i = 0; i < 4; i++) {
        sum += (double)((bits >> (16 * i)) & 0xffff) + 0.5;
    }
    return (sum / 65536.0 - 2.0) * 1.7320508075688772;
}

US_BOTH uint64_t grain_line(uint64_t seed, int32_t y) {
    return grain_mix(grain_mix(seed + 0x9e3779b97f4a7c15u) ^ (uint64_t)(uint32_t)y << 32);
}

US_BOTH float grain_at(uint64_t line, int32_t x, double deviation) {
    uint64_t bits = grain_mix(line + (uint64_t)(uint32_t)x * 0x9e3779b97f4a7c15u);
    return (float)(deviation * grain_normal(bits));
}

US_BOTH double grain_lack(double like, double plane, double share) {
    return share * sqrt(fmax(0.0, like * like - plane * plane));
}

#endif
