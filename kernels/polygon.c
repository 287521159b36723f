#include "kernels/polygon.h"

#include <math.h>
#include <string.h>

#include "kernels/polygon_internal.h"

static void add_edge(struct us_view view, const double a[2], const double b[2]) {
    double from = fmax(fmin(a[1], b[1]), 0), to = fmin(fmax(a[1], b[1]), view.height);
    for (double y = floor(from); y < to; y++) {
        add_row(us_view_row(view, (int32_t)y), view.width, y, a, b);
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
        sum_row(us_view_row(view, y), view.width);
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
