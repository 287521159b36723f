#include <stddef.h>
#include <string.h>

#include "kernels/nn/reduce_internal.h"

void nn_reduce_planes(const float *planes, size_t count, int size, int to, float *out) {
    const size_t n = (size_t)to, step = (size_t)(size / to), row = (size_t)size;
    if (size == to) {
        memcpy(out, planes, count * row * row * sizeof *out);
        return;
    }
    const float share = 1 / (float)(step * step);
#pragma omp parallel for schedule(static)
    for (size_t line = 0; line < count * n; line++) {
        const float *from = planes + line / n * row * row + line % n * step * row;
        for (size_t x = 0; x < n; x++) {
            float sum = 0;
            for (size_t k = 0; k < step * step; k++) {
                sum += from[k / step * row + x * step + k % step];
            }
            out[line * n + x] = sum * share;
        }
    }
}

static float clamp(float v, float most) {
    return v < 0 ? 0 : v > most ? most : v;
}

void nn_enlarge_planes(const float *planes, size_t count, int size, int to, float *out) {
    const size_t n = (size_t)to, row = (size_t)size;
    if (size == to) {
        memcpy(out, planes, count * row * row * sizeof *out);
        return;
    }
    const float scale = (float)size / (float)to, most = (float)(size - 1);
#pragma omp parallel for schedule(static)
    for (size_t line = 0; line < count * n; line++) {
        const float y = clamp(((float)(line % n) + 0.5f) * scale - 0.5f, most);
        const size_t y0 = (size_t)y, y1 = y0 + 1 < row ? y0 + 1 : y0;
        const float *top = planes + line / n * row * row + y0 * row,
                    *bottom = top + (y1 - y0) * row;
        for (size_t i = 0; i < n; i++) {
            const float x = clamp(((float)i + 0.5f) * scale - 0.5f, most);
            const size_t x0 = (size_t)x, x1 = x0 + 1 < row ? x0 + 1 : x0;
            const float a = top[x0] + (x - (float)x0) * (top[x1] - top[x0]);
            const float b = bottom[x0] + (x - (float)x0) * (bottom[x1] - bottom[x0]);
            out[line * n + i] = a + (y - (float)y0) * (b - a);
        }
    }
}
