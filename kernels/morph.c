#include "kernels/morph.h"

#include <math.h>
#include <string.h>

static int32_t border_of(double radius) {
    return (int32_t)fmin(fabs(radius), 1e6) + 2;
}

size_t us_matte_grow_scratch(int32_t width, int32_t height, double radius) {
    size_t border = 2 * (size_t)border_of(radius);
    return ((size_t)width + border) * ((size_t)height + border + 1);
}

static void pad_plane(struct us_view source, struct us_view padded, int32_t border, float sign) {
    for (int32_t y = 0; y < padded.height; y++) {
        int32_t from = y - border;
        from = from < 0 ? 0 : from >= source.height ? source.height - 1 : from;
        const float *row = us_view_row(source, from);
        float *out = us_view_row(padded, y);
        for (int32_t x = 0; x < padded.width; x++) {
            int32_t at = x - border;
            out[x] = sign * row[at < 0 ? 0 : at >= source.width ? source.width - 1 : at];
        }
    }
}

static void take_least(float *restrict out, const float *restrict in, float rise, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        float value = in[i] + rise;
        out[i] = value < out[i] ? value : out[i];
    }
}

/* work[i] = min of row[i .. i+length-1], by doubling; `work` holds count + length - 1 floats. */
static void window_minima(const float *row, int32_t length, int32_t count, float *work) {
    memcpy(work, row, (size_t)(count + length - 1) * sizeof *work);
    int32_t have = 1;
    while (have < length) {
        int32_t step = have * 2 <= length ? have : length - have;
        for (int32_t i = 0; i < count + length - have - step; i++) {
            work[i] = work[i + step] < work[i] ? work[i + step] : work[i];
        }
        have += step;
    }
}

/* What the row `dy` away gives to an output row; `row` points at the padded sample above it. */
static void erode_by_row(float *out, const float *row, int32_t dy, double radius, int32_t width,
                         float *work) {
    double flat = radius * radius - (double)dy * dy;
    int32_t half = flat >= 0.0 ? (int32_t)sqrt(flat) : -1;
    if (half >= 0) {
        window_minima(row - half, 2 * half + 1, width, work);
        take_least(out, work, 0.0f, width);
    }
    for (int32_t dx = half + 1;; dx++) {
        double rise = hypot(dx, dy) - radius;
        if (rise >= 1.0) {
            return;
        }
        take_least(out, row - dx, (float)rise, width);
        take_least(out, row + dx, (float)rise, width);
    }
}

void us_matte_grow(struct us_view source, struct us_view destination, double radius,
                   float *scratch) {
    float sign = radius > 0.0 ? -1.0f : 1.0f;
    radius = fmin(fabs(radius), 1e6);
    int32_t border = border_of(radius), reach = (int32_t)radius + 1;
    struct us_view padded = {scratch, source.width + 2 * border, source.height + 2 * border,
                             source.width + 2 * border};
    float *work = scratch + (size_t)padded.width * (size_t)padded.height;
    pad_plane(source, padded, border, sign);
    for (int32_t y = 0; y < source.height; y++) {
        float *out = us_view_row(destination, y);
        memcpy(out, us_view_row(padded, y + border) + border, (size_t)source.width * sizeof *out);
        for (int32_t dy = -reach; dy <= reach; dy++) {
            erode_by_row(out, us_view_row(padded, y + border + dy) + border, dy, radius,
                         source.width, work);
        }
        for (int32_t x = 0; x < source.width; x++) {
            out[x] *= sign;
        }
    }
}
