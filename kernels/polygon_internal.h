/* One row of a polygon's coverage. */
#ifndef US_KERNELS_POLYGON_INTERNAL_H
#define US_KERNELS_POLYGON_INTERNAL_H

#include <math.h>
#include <stdint.h>

#include "kernels/both_internal.h"

/* Rows hold differences: the sum up to a sample is its signed coverage. A piece of an edge inside
 * one pixel column covers the part of that column right of it, and all columns further right. */
US_BOTH void add_piece(float *row, int32_t width, double height, double x0, double x1) {
    double middle = (x0 + x1) / 2;
    if (!(middle < width)) {
        return;
    }
    int32_t column = middle < 0 ? 0 : (int32_t)middle;
    double share = middle < 0 ? 1.0 : 1.0 - (middle - column);
    row[column] += (float)(height * share);
    if (column + 1 < width) {
        row[column + 1] += (float)(height * (1.0 - share));
    }
}

/* One edge's part within one row: x runs from x0 to x1 while it descends by |height|. */
US_BOTH void add_span(float *row, int32_t width, double height, double x0, double x1) {
    double slope = x1 != x0 ? height / (x1 - x0) : 0, at = x0;
    double step = x1 > x0 ? 1 : -1;
    double low = fmax(0.0, fmin(x0, x1)), high = fmin((double)width, fmax(x0, x1));
    if (!(low < high)) {
        add_piece(row, width, height, x0, x1);
        return;
    }
    double enter = step > 0 ? low : high, leave = step > 0 ? high : low;
    add_piece(row, width, slope * (enter - x0), x0, enter);
    at = enter;
    while (step * (leave - at) > 0) {
        double edge = step > 0 ? floor(at) + 1 : ceil(at) - 1;
        double next = step * (edge - leave) > 0 ? leave : edge;
        add_piece(row, width, slope * (next - at), at, next);
        at = next;
    }
    add_piece(row, width, slope * (x1 - leave), leave, x1);
}

/* What the edge from a to b gives to the row whose samples begin at `y`, or at a part of a row. */
US_BOTH void add_row(float *row, int32_t width, double y, const double a[2], const double b[2]) {
    const double *top = a[1] < b[1] ? a : b, *bottom = a[1] < b[1] ? b : a;
    double sign = a[1] < b[1] ? 1 : -1, height = bottom[1] - top[1];
    double start = fmax(y, top[1]), end = fmin(floor(y) + 1, bottom[1]);
    if (start < end) {
        double x0 = top[0] + (bottom[0] - top[0]) * ((start - top[1]) / height);
        double x1 = top[0] + (bottom[0] - top[0]) * ((end - top[1]) / height);
        add_span(row, width, sign * (end - start), x0, x1);
    }
}

/* From differences to coverage. */
US_BOTH void sum_row(float *row, int32_t width) {
    float sum = 0;
    for (int32_t x = 0; x < width; x++) {
        sum += row[x];
        float covered = fabsf(sum);
        row[x] = covered < 1e-5f ? 0.0f : covered > 1.0f - 1e-5f ? 1.0f : covered;
    }
}

#endif
