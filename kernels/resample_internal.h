/* Where and how a filter reads along one axis. */
#ifndef US_KERNELS_RESAMPLE_INTERNAL_H
#define US_KERNELS_RESAMPLE_INTERNAL_H

#include <math.h>
#include <stdint.h>

#include "kernels/both_internal.h"
#include "kernels/resample.h"

/* Beyond this stretch a filter reads every n-th sample, which keeps its taps in one array. */
enum { MAX_STRETCH = 64, MAX_TAPS = 6 * MAX_STRETCH + 8 };

#define RESAMPLE_PI 3.14159265358979323846
/* Weights that are 0 but for rounding count nothing, so that a whole-pixel shift copies. */
#define RESAMPLE_LEAST 1e-12

struct axis {
    int32_t size; /* samples of the source */
    double stretch, reach;
    int32_t step;
};

/* sinc(t) sinc(t / 3), with sin(3 a) = sin(a) (3 - 4 sin(a)^2). */
US_BOTH double lanczos3(double t) {
    if (fabs(t) < 1e-8) {
        return 1.0;
    }
    double s = sin(RESAMPLE_PI / 3.0 * t);
    return 3.0 * s * s * (3.0 - 4.0 * s * s) / (RESAMPLE_PI * RESAMPLE_PI * t * t);
}

US_BOTH double catmull_rom(double t) {
    t = fabs(t);
    return t < 1.0 ? 1.0 + t * t * (1.5 * t - 2.5) : 2.0 + t * (-4.0 + t * (2.5 - 0.5 * t));
}

US_BOTH double filter_at(enum us_filter filter, double t) {
    if (filter == US_FILTER_LINEAR) {
        return 1.0 - fabs(t);
    }
    return filter == US_FILTER_CUBIC ? catmull_rom(t) : lanczos3(t);
}

US_BOTH double filter_radius(enum us_filter filter) {
    return filter == US_FILTER_NEAREST  ? 0.0
           : filter == US_FILTER_LINEAR ? 1.0
           : filter == US_FILTER_CUBIC  ? 2.0
                                        : 3.0;
}

/* The source extent of a destination pixel along an axis is the length of the map's row. */
US_BOTH void axis_prepare(struct axis *axis, enum us_filter filter, int32_t size, double along_x,
                          double along_y) {
    double extent = hypot(along_x, along_y);
    axis->size = size;
    axis->stretch = extent > 1.0 ? fmin(extent, (double)size) : 1.0;
    axis->step = (int32_t)ceil(axis->stretch / MAX_STRETCH);
    axis->reach = filter_radius(filter) * axis->stretch;
}

US_BOTH int32_t repeat_edge(double i, int32_t size) {
    return i < 0 ? 0 : i > size - 1 ? size - 1 : (int32_t)i;
}

/* Beyond that all is edge; catches NaN. */
US_BOTH double axis_bounded(const struct axis *axis, double at) {
    double low = -axis->reach - 1.0, high = axis->size + axis->reach + 1.0;
    return at > low ? fmin(at, high) : low;
}

#endif
