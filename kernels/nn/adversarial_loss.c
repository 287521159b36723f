#include "kernels/nn/adversarial_loss.h"

#include <math.h>

double nn_cross_entropy(const float *logits, size_t count, float t, float scale, float *gradient) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const float x = logits[i], e = expf(-fabsf(x));
        sum += (double)(log1pf(e) + (x > 0 ? x : 0) - x * t);
        if (gradient) {
            const float p = (x > 0 ? 1 : e) / (1 + e);
            gradient[i] = scale * (p - t);
        }
    }
    return sum;
}

double nn_total_variation(const float *plane, int size, float scale, float *gradient) {
    double sum = 0;
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            const int i = y * size + x;
            const int next[2] = {x + 1 < size ? i + 1 : i, y + 1 < size ? i + size : i};
            for (int k = 0; k < 2; k++) {
                const float d = plane[next[k]] - plane[i];
                sum += (double)(d * d);
                gradient[next[k]] += 2 * scale * d;
                gradient[i] -= 2 * scale * d;
            }
        }
    }
    return sum;
}

double nn_outside_error(const float *x, const float *y, const float *mask, size_t count,
                        float scale, float *gradient) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const float outside = 1 - mask[i], d = outside * (x[i] - y[i]);
        sum += (double)(d * d);
        gradient[i] += 2 * scale * outside * d;
    }
    return sum;
}
