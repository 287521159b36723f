#include "kernels/resample.h"

#include <math.h>
#include <stdbool.h>

/* Beyond this stretch a filter reads every n-th sample, which keeps its taps in one array. */
enum { MAX_STRETCH = 64, MAX_TAPS = 6 * MAX_STRETCH + 8 };

static const double pi = 3.14159265358979323846;

/* The samples and weights that one coordinate reads along one axis. */
struct axis {
    int32_t size; /* samples of the source */
    double stretch, reach;
    int32_t step, count;
    int32_t index[MAX_TAPS];
    double weight[MAX_TAPS];
};

/* sinc(t) sinc(t / 3), with sin(3 a) = sin(a) (3 - 4 sin(a)^2). */
static double lanczos3(double t) {
    if (fabs(t) < 1e-8) {
        return 1.0;
    }
    double s = sin(pi / 3.0 * t);
    return 3.0 * s * s * (3.0 - 4.0 * s * s) / (pi * pi * t * t);
}

static double catmull_rom(double t) {
    t = fabs(t);
    return t < 1.0 ? 1.0 + t * t * (1.5 * t - 2.5) : 2.0 + t * (-4.0 + t * (2.5 - 0.5 * t));
}

static double filter_at(enum us_filter filter, double t) {
    if (filter == US_FILTER_LINEAR) {
        return 1.0 - fabs(t);
    }
    return filter == US_FILTER_CUBIC ? catmull_rom(t) : lanczos3(t);
}

static double filter_radius(enum us_filter filter) {
    static const double radius[] = {[US_FILTER_NEAREST] = 0,
                                    [US_FILTER_LINEAR] = 1,
                                    [US_FILTER_CUBIC] = 2,
                                    [US_FILTER_LANCZOS3] = 3};
    return radius[filter];
}

/* The source extent of a destination pixel along an axis is the length of the map's row. */
static void axis_prepare(struct axis *axis, enum us_filter filter, int32_t size, double along_x,
                         double along_y) {
    double extent = hypot(along_x, along_y);
    axis->size = size;
    axis->stretch = extent > 1.0 ? fmin(extent, (double)size) : 1.0;
    axis->step = (int32_t)ceil(axis->stretch / MAX_STRETCH);
    axis->reach = filter_radius(filter) * axis->stretch;
}

static int32_t repeat_edge(double i, int32_t size) {
    return i < 0 ? 0 : i > size - 1 ? size - 1 : (int32_t)i;
}

/* Weights that are 0 but for rounding count nothing, so that a whole-pixel shift copies. */
static void axis_take(struct axis *axis, double i, double weight) {
    if (fabs(weight) > 1e-12 && axis->count < MAX_TAPS) {
        axis->index[axis->count] = repeat_edge(i, axis->size);
        axis->weight[axis->count++] = weight;
    }
}

static void axis_place(struct axis *axis, enum us_filter filter, double at) {
    axis->count = 0;
    double low = -axis->reach - 1.0, high = axis->size + axis->reach + 1.0;
    at = at > low ? fmin(at, high) : low; /* beyond that all is edge; catches NaN */
    if (filter == US_FILTER_NEAREST) {
        axis_take(axis, floor(at), 1.0);
        return;
    }
    double centre = at - 0.5, last = centre + axis->reach, sum = 0.0;
    for (double i = floor(centre - axis->reach) + 1.0; i < last; i += axis->step) {
        double weight = filter_at(filter, (i - centre) / axis->stretch);
        sum += weight;
        axis_take(axis, i, weight);
    }
    for (int32_t k = 0; k < axis->count; k++) {
        axis->weight[k] /= sum;
    }
}

static float weigh(struct us_view source, const struct axis *x, const struct axis *y) {
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
    axis_prepare(&u, filter, source[0].width, m[0], m[1]);
    axis_prepare(&v, filter, source[0].height, m[3], m[4]);
    bool upright = m[3] == 0.0;
    for (int32_t y = 0; y < destination[0].height; y++) {
        for (int32_t x = 0; x < destination[0].width; x++) {
            double px = x + 0.5, py = y + 0.5;
            axis_place(&u, filter, m[0] * px + m[1] * py + m[2]);
            if (x == 0 || !upright) {
                axis_place(&v, filter, m[3] * px + m[4] * py + m[5]);
            }
            for (int p = 0; p < count; p++) {
                us_view_row(destination[p], y)[x] = weigh(source[p], &u, &v);
            }
        }
    }
}
