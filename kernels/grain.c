#include "kernels/grain.h"

#include <stdlib.h>

#include "kernels/grain_internal.h"

size_t us_grain_scratch(int32_t width, int32_t height) {
    size_t blocks = (size_t)(width / 2) * (size_t)(height / 2);
    return blocks / grain_stride(width, height) + 1;
}

double us_grain_lack(double like, double plane, double share) {
    return grain_lack(like, plane, share);
}

static int by_size(const void *a, const void *b) {
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

double us_grain_measure(struct us_view plane, struct us_view weight, float *scratch) {
    size_t seen = 0, count = 0, stride = grain_stride(plane.width, plane.height);
    for (int32_t y = 0; y + 1 < plane.height; y += 2) {
        for (int32_t x = 0; x + 1 < plane.width; x += 2) {
            float difference;
            if (grain_difference(plane, weight, x, y, &difference) && seen++ % stride == 0) {
                scratch[count++] = difference;
            }
        }
    }
    if (count < FEWEST_SAMPLES) {
        return 0.0;
    }
    qsort(scratch, count, sizeof *scratch, by_size);
    return (double)scratch[count / 2] / 0.6745;
}

void us_grain_add(struct us_view plane, struct us_view weight, double deviation, uint64_t seed,
                  int32_t x_min, int32_t y_min) {
    for (int32_t y = 0; y < plane.height; y++) {
        float *row = us_view_row(plane, y);
        const float *inside = us_view_row(weight, y);
        uint64_t line = grain_line(seed, y + y_min);
        for (int32_t x = 0; x < plane.width; x++) {
            if (inside[x] > 0.0f) {
                row[x] += grain_at(line, x + x_min, deviation);
            }
        }
    }
}
