#include "nodes/comp/grain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"

enum { MOST_SAMPLES = 1 << 16, FEWEST_SAMPLES = 64 };

static int by_size(const void *a, const void *b) {
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

/* Differences of every `stride`th 2 x 2 block inside; returns how many. */
static size_t gather(struct us_view plane, struct us_view weight, size_t stride, float *out) {
    size_t seen = 0, count = 0;
    for (int32_t y = 0; y + 1 < plane.height; y += 2) {
        const float *top = us_view_row(plane, y), *low = us_view_row(plane, y + 1);
        const float *inside = us_view_row(weight, y);
        for (int32_t x = 0; x + 1 < plane.width; x += 2) {
            float d = 0.5f * (top[x] - top[x + 1] - low[x] + low[x + 1]);
            if (inside[x] > 0.5f && isfinite(d) && seen++ % stride == 0) {
                out[count++] = fabsf(d);
            }
        }
    }
    return count;
}

double us_grain_measure(struct us_view plane, struct us_view weight) {
    size_t blocks = (size_t)(plane.width / 2) * (size_t)(plane.height / 2);
    size_t stride = blocks / MOST_SAMPLES + 1;
    float *differences = us_malloc((blocks / stride + 1) * sizeof *differences);
    size_t count = gather(plane, weight, stride, differences);
    double deviation = 0.0;
    if (count >= FEWEST_SAMPLES) {
        qsort(differences, count, sizeof *differences, by_size);
        deviation = (double)differences[count / 2] / 0.6745;
    }
    us_free(differences);
    return deviation;
}

/* splitmix64's finaliser (Steele, Lea and Flood 2014). */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Four uniforms of 16 bits make a nearly normal value of deviation 1. */
static double normal_of(uint64_t bits) {
    double sum = 0.0;
    for (int i = 0; i < 4; i++) {
        sum += (double)((bits >> (16 * i)) & 0xffff) + 0.5;
    }
    return (sum / 65536.0 - 2.0) * 1.7320508075688772;
}

void us_grain_add(struct us_view plane, struct us_view weight, double deviation,
                  const struct us_digest *seed, int channel, int32_t x_min, int32_t y_min) {
    uint64_t start = (uint64_t)channel;
    for (int i = 0; i < 8; i++) {
        start = start * 0x100000001b3u + seed->bytes[i];
    }
    start = mix(start + 0x9e3779b97f4a7c15u);
    for (int32_t y = 0; y < plane.height; y++) {
        float *row = us_view_row(plane, y);
        const float *inside = us_view_row(weight, y);
        uint64_t line = mix(start ^ (uint64_t)(uint32_t)(y + y_min) << 32);
        for (int32_t x = 0; x < plane.width; x++) {
            if (inside[x] > 0.0f) {
                uint64_t bits = mix(line + (uint64_t)(uint32_t)(x + x_min) * 0x9e3779b97f4a7c15u);
                row[x] += (float)(deviation * normal_of(bits));
            }
        }
    }
}
