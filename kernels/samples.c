#include "kernels/samples.h"

#include <string.h>

#include "kernels/half.h"
#include "kernels/samples_internal.h"

enum { CHUNK = 512 };

static void read_run(const struct us_samples *samples, size_t at, float *out, size_t count) {
    if (samples->type == US_SAMPLE_HALF) {
        us_half_to_float((const uint16_t *)samples->data + at, out, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = sample_at(samples, at + i);
    }
}

static void write_run(const struct us_samples *samples, size_t at, const float *in, size_t count) {
    float held[CHUNK];
    for (size_t done = 0; samples->type == US_SAMPLE_HALF && done < count; done += CHUNK) {
        size_t some = count - done < CHUNK ? count - done : CHUNK;
        for (size_t i = 0; i < some; i++) {
            held[i] = sample_saturated(in[done + i]);
        }
        us_float_to_half(held, (uint16_t *)samples->data + at + done, some);
    }
    for (size_t i = 0; samples->type != US_SAMPLE_HALF && i < count; i++) {
        sample_put(samples, at + i, in[i]);
    }
}

/* The part of a row of `width` that starts at `x` and lies within 0 to `size`. */
static bool clip(int32_t x, int32_t width, int32_t size, int32_t *first, int32_t *last) {
    int64_t end = (int64_t)size - x;
    *first = x < 0 ? (-(int64_t)x < width ? -x : width) : 0;
    *last = end < 0 ? 0 : end < width ? (int32_t)end : width;
    return *first < *last;
}

void us_samples_read(struct us_samples samples, int32_t x, int32_t y, float outside,
                     struct us_view plane) {
    int32_t first, last;
    bool any = clip(x, plane.width, samples.width, &first, &last);
    for (int32_t v = 0; v < plane.height; v++) {
        float *row = us_view_row(plane, v);
        ptrdiff_t at = any ? sample_place(&samples, (int64_t)x + first, (int64_t)y + v) : -1;
        int32_t low = at < 0 ? plane.width : first, high = at < 0 ? plane.width : last;
        for (int32_t u = 0; u < low; u++) {
            row[u] = outside;
        }
        for (int32_t u = high; u < plane.width; u++) {
            row[u] = outside;
        }
        if (at >= 0) {
            read_run(&samples, (size_t)at, row + first, (size_t)(last - first));
        }
    }
}

/* Writes in runs of samples at which `wanted` (or NULL) is above 0. */
static void write_row(const struct us_samples *samples, size_t at, const float *row,
                      const float *wanted, int32_t count) {
    for (int32_t u = 0; u < count;) {
        if (wanted && !(wanted[u] > 0.0f)) {
            u++;
            continue;
        }
        int32_t end = u + 1;
        while (end < count && (!wanted || wanted[end] > 0.0f)) {
            end++;
        }
        write_run(samples, at + (size_t)u, row + u, (size_t)(end - u));
        u = end;
    }
}

void us_samples_write(struct us_samples samples, int32_t x, int32_t y, struct us_view plane,
                      const struct us_view *where) {
    int32_t first, last;
    if (!clip(x, plane.width, samples.width, &first, &last)) {
        return;
    }
    for (int32_t v = 0; v < plane.height; v++) {
        ptrdiff_t at = sample_place(&samples, (int64_t)x + first, (int64_t)y + v);
        if (at >= 0) {
            write_row(&samples, (size_t)at, us_view_row(plane, v) + first,
                      where ? us_view_row(*where, v) + first : NULL, last - first);
        }
    }
}

void us_samples_copy(struct us_samples from, int32_t x, int32_t y, struct us_samples to) {
    for (int32_t v = 0; v < to.height; v++) {
        for (int32_t u = 0; u < to.width; u++) {
            sample_copy(&from, sample_place(&from, (int64_t)x + u, (int64_t)y + v), &to,
                        (size_t)v * (size_t)to.width + (size_t)u);
        }
    }
}
