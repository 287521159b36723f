#include "kernels/resample.h"

#include <math.h>
#include <stdbool.h>

#include "kernels/resample_internal.h"

/* The samples and weights that one coordinate reads along one axis. */
struct taps {
    int32_t count;
    int32_t index[MAX_TAPS];
    double weight[MAX_TAPS];
};

static void take(struct taps *taps, int32_t size, double i, double weight) {
    if (fabs(weight) > RESAMPLE_LEAST && taps->count < MAX_TAPS) {
        taps->index[taps->count] = repeat_edge(i, size);
        taps->weight[taps->count++] = weight;
    }
}

static void place(const struct axis *axis, enum us_filter filter, double at, struct taps *taps) {
    taps->count = 0;
    at = axis_bounded(axis, at);
    if (filter == US_FILTER_NEAREST) {
        take(taps, axis->size, floor(at), 1.0);
        return;
    }
    double centre = at - 0.5, last = centre + axis->reach, sum = 0.0;
    for (double i = floor(centre - axis->reach) + 1.0; i < last; i += axis->step) {
        double weight = filter_at(filter, (i - centre) / axis->stretch);
        sum += weight;
        take(taps, axis->size, i, weight);
    }
    for (int32_t k = 0; k < taps->count; k++) {
        taps->weight[k] /= sum;
    }
}

static float weigh(struct us_view source, const struct taps *x, const struct taps *y) {
    if (x->count == 1 && y->count == 1) {
        return us_view_row(source, y->index[0])[x->index[0]];
    }
    double sum = 0.0;
    for (int32_t j = 0; j < y->count; j++) {
        const float *row = us_view_row(source, y->index[j]);
        double part = 0.0;
        for (int32_t i = 0; i < x->count; i++) {
            part += x->weight[i] * (double)row[x->index[i]];
        }
        sum += y->weight[j] * part;
    }
    return (float)sum;
}

void us_resample_affine(const struct us_view *source, const struct us_view *destination, int count,
                        const double m[6], enum us_filter filter) {
    struct axis u, v;
    struct taps across, down;
    axis_prepare(&u, filter, source[0].width, m[0], m[1]);
    axis_prepare(&v, filter, source[0].height, m[3], m[4]);
    bool upright = m[3] == 0.0;
    for (int32_t y = 0; y < destination[0].height; y++) {
        for (int32_t x = 0; x < destination[0].width; x++) {
            double px = x + 0.5, py = y + 0.5;
            place(&u, filter, m[0] * px + m[1] * py + m[2], &across);
            if (x == 0 || !upright) {
                place(&v, filter, m[3] * px + m[4] * py + m[5], &down);
            }
            for (int p = 0; p < count; p++) {
                us_view_row(destination[p], y)[x] = weigh(source[p], &across, &down);
            }
        }
    }
}
