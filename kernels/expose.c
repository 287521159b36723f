#include "kernels/expose.h"

#include "kernels/expose_internal.h"

/* Rows are summed first, as a device does it. */
static float measure(const struct us_view planes[3], const struct us_exposure *e) {
    double sum = 0, count = 0;
    for (int32_t y = 0; y < planes[0].height; y++) {
        float *rows[3] = {us_view_row(planes[0], y), us_view_row(planes[1], y),
                          us_view_row(planes[2], y)};
        double row_sum = 0;
        for (int32_t x = 0; x < planes[0].width; x++) {
            double light;
            if (!expose_inside(e, x, y)) {
                rows[0][x] = rows[1][x] = rows[2][x] = 0.0f;
            } else if (expose_light(rows[0][x], rows[1][x], rows[2][x], &light)) {
                row_sum += light;
                count++;
            }
        }
        sum += row_sum;
    }
    return expose_gain(sum, count, e->stops);
}

void us_expose(const struct us_view planes[3], const struct us_exposure *e, float *out) {
    float gain = measure(planes, e);
    ptrdiff_t width = planes[0].width;
    for (int32_t y = 0; y < planes[0].height; y++) {
        for (int p = 0; p < 3; p++) {
            float *row = us_view_row(planes[p], y);
            for (int32_t x = 0; x < planes[0].width; x++) {
                row[x] = expose_seen(e, row[x], gain);
            }
            for (int32_t x = 0; x < planes[0].width; x++) {
                out[3 * (y * width + x) + p] = row[x];
            }
        }
    }
}
