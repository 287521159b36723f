#include "kernels/polygon.h"

#include <math.h>
#include <string.h>

/* Rows hold differences: the sum up to a sample is its signed coverage. A piece of an edge inside
 * one pixel column covers the part of that column right of it, and all columns further right. */
static void add_piece(float *row, int32_t width, double height, double x0, double x1) {
    double middle = (x0 + x1) / 2;
    int32_t column = (int32_t)floor(middle);
    if (column >= width) {
        return;
    }
    double share = middle < 0 ? 1.0 : 1.0 - (middle - column);
    column = column < 0 ? 0 : column;
    row[column] += (float)(height * share);
    if (column + 1 < width) {
        row[column + 1] += (float)(height * (1.0 - share));
    }
}

/* One edge's part within one row: x runs from x0 to x1 while it descends by |height|. */
static void add_span(float *row, int32_t width, double height, double x0, double x1) {
    double slope = x1 != x0 ? height / (x1 - x0) : 0, at = x0;
    double step = x1 > x0 ? 1 : -1;
    double low = fmax(0, fmin(x0, x1)), high = fmin(width, fmax(x0, x1));
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

static void add_edge(struct us_view view, const double a[2], const double b[2]) {
    const double *top = a[1] < b[1] ? a : b, *bottom = a[1] < b[1] ? b : a;
    double sign = a[1] < b[1] ? 1 : -1, height = bottom[1] - top[1];
    double from = fmax(top[1], 0), to = fmin(bottom[1], view.height);
    for (double y = from; y < to; y = floor(y) + 1) {
        double end = fmin(floor(y) + 1, to);
        double x0 = top[0] + (bottom[0] - top[0]) * ((y - top[1]) / height);
        double x1 = top[0] + (bottom[0] - top[0]) * ((end - top[1]) / height);
        add_span(us_view_row(view, (int32_t)floor(y)), view.width, sign * (end - y), x0, x1);
    }
}

void us_polygon_fill(struct us_view view, const double (*points)[2], int count) {
    for (int32_t y = 0; y < view.height; y++) {
        memset(us_view_row(view, y), 0, (size_t)view.width * sizeof(float));
    }
    for (int i = 0; i < count; i++) {
        add_edge(view, points[i], points[(i + 1) % count]);
    }
    for (int32_t y = 0; y < view.height; y++) {
        float *row = us_view_row(view, y), sum = 0;
        for (int32_t x = 0; x < view.width; x++) {
            sum += row[x];
            float covered = fabsf(sum);
            row[x] = covered < 1e-5f ? 0.0f : covered > 1.0f - 1e-5f ? 1.0f : covered;
        }
    }
}

void us_curve_closed(const double (*points)[2], int count, int steps, double (*curve)[2]) {
    for (int i = 0; i < count; i++) {
        const double *p[4] = {points[(i + count - 1) % count], points[i], points[(i + 1) % count],
                              points[(i + 2) % count]};
        for (int s = 0; s < steps; s++) {
            double t = (double)s / steps;
            for (int d = 0; d < 2; d++) {
                double a = 2 * p[1][d], b = p[2][d] - p[0][d];
                double c = 2 * p[0][d] - 5 * p[1][d] + 4 * p[2][d] - p[3][d];
                double e = -p[0][d] + 3 * p[1][d] - 3 * p[2][d] + p[3][d];
                curve[i * steps + s][d] = (a + t * (b + t * (c + t * e))) / 2;
            }
        }
    }
}
