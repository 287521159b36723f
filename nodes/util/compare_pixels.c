#include "nodes/util/compare_pixels.h"

#include <math.h>
#include <string.h>

#include "kernels/encoding.h"
#include "kernels/ssim.h"
#include "runtime/base/mem.h"

static void part_weights(float matte, double weights[US_PARTS]) {
    weights[US_WHOLE] = 1.0;
    weights[US_INSIDE] = matte > 0.0f ? fmin((double)matte, 1.0) : 0.0;
    weights[US_OUTSIDE] = matte > 0.0f ? 0.0 : 1.0;
}

static bool same_bits(const float *a, const float *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

/* Bits and differences outside the matte, before anything is converted. */
static void check_outside(const struct us_pixel_compare *c, struct us_pixel_sums *sums) {
    for (int32_t y = 0; y < c->matte.height; y++) {
        const float *matte = us_view_row(c->matte, y);
        for (int32_t x = 0; x < c->matte.width; x++) {
            bool same = true;
            for (int p = 0; p < 3 && !(matte[x] > 0.0f); p++) {
                const float *a = us_view_row(c->image[p], y) + x;
                const float *b = us_view_row(c->reference[p], y) + x;
                same = same && same_bits(a, b);
                double difference = fabs((double)*a - (double)*b);
                sums->largest = difference > sums->largest ? difference : sums->largest;
            }
            sums->differing += !same;
        }
    }
}

static void convert(struct us_view plane, enum us_measure_space space) {
    for (int32_t y = 0; y < plane.height; y++) {
        float *row = us_view_row(plane, y);
        for (int32_t x = 0; x < plane.width; x++) {
            row[x] = isfinite(row[x]) ? row[x] : 0.0f;
            if (space == US_SPACE_DISPLAY) {
                row[x] = fminf(fmaxf(row[x], 0.0f), 1.0f);
            }
        }
        if (space == US_SPACE_DISPLAY) {
            us_srgb_encode(row, row, (size_t)plane.width);
        } else if (space == US_SPACE_LOG) {
            us_log_encode(row, row, (size_t)plane.width);
        }
    }
}

static void add_similarity(const struct us_pixel_compare *c, struct us_view map,
                           struct us_part_sums parts[US_PARTS]) {
    for (int32_t y = 0; y < map.height; y++) {
        for (int32_t x = 0; x < map.width; x++) {
            double weights[US_PARTS];
            part_weights(us_view_row(c->matte, y)[x], weights);
            for (int i = 0; i < US_PARTS; i++) {
                parts[i].similar += weights[i] * (double)us_view_row(map, y)[x] / 3.0;
            }
        }
    }
}

static struct us_error *measure_similarity(const struct us_pixel_compare *c,
                                           struct us_part_sums parts[US_PARTS]) {
    struct us_view map;
    int32_t width = c->matte.width, height = c->matte.height;
    float *scratch = us_try_alloc_pixels(us_ssim_scratch(width, height) * sizeof *scratch);
    if (!scratch) {
        return us_fail(US_RETRY, "no memory to compare %d x %d pixels", width, height);
    }
    struct us_error *error = us_planes_create(width, height, 1, &map);
    if (!error) {
        for (int p = 0; p < 3; p++) {
            us_ssim_map(c->image[p], c->reference[p], map, 1.0, scratch);
            add_similarity(c, map, parts);
        }
        us_free(map.data);
    }
    us_free(scratch);
    return error;
}

static double square(double x) {
    return x * x;
}

/* One pixel of one channel; `before` takes the difference. */
static void add_difference(double now, double baseline, bool has_before, float *before,
                           const double weights[US_PARTS], struct us_part_sums parts[US_PARTS]) {
    double moved = has_before ? fabs(now - (double)*before) : 0.0;
    for (int i = 0; i < US_PARTS; i++) {
        parts[i].squares += weights[i] * square(now) / 3.0;
        parts[i].baseline += weights[i] * square(baseline) / 3.0;
        parts[i].moved += weights[i] * moved / 3.0;
    }
    *before = (float)now;
}

static void measure_differences(const struct us_pixel_compare *c,
                                struct us_part_sums parts[US_PARTS]) {
    for (int32_t y = 0; y < c->matte.height; y++) {
        for (int32_t x = 0; x < c->matte.width; x++) {
            double weights[US_PARTS];
            part_weights(us_view_row(c->matte, y)[x], weights);
            for (int i = 0; i < US_PARTS; i++) {
                parts[i].weight += weights[i];
                parts[i].moved_weight += c->has_before ? weights[i] : 0.0;
            }
            for (int p = 0; p < 3; p++) {
                double wanted = (double)us_view_row(c->reference[p], y)[x];
                double now = (double)us_view_row(c->image[p], y)[x] - wanted;
                double other =
                    c->baseline[p].data ? (double)us_view_row(c->baseline[p], y)[x] - wanted : 0.0;
                add_difference(now, other, c->has_before, us_view_row(c->before[p], y) + x, weights,
                               parts);
            }
        }
    }
}

struct us_error *us_pixels_compare(struct us_pixel_compare *c, struct us_pixel_sums *sums) {
    *sums = (struct us_pixel_sums){.differing = 0};
    check_outside(c, sums);
    for (int p = 0; p < 3; p++) {
        convert(c->image[p], c->space);
        convert(c->reference[p], c->space);
        if (c->baseline[p].data) {
            convert(c->baseline[p], c->space);
        }
    }
    US_TRY(measure_similarity(c, sums->parts));
    measure_differences(c, sums->parts);
    return NULL;
}

void us_pixel_sums_add(struct us_pixel_sums *sums, const struct us_pixel_sums *more) {
    for (int i = 0; i < US_PARTS; i++) {
        struct us_part_sums *to = &sums->parts[i];
        const struct us_part_sums *from = &more->parts[i];
        to->weight += from->weight;
        to->squares += from->squares;
        to->baseline += from->baseline;
        to->similar += from->similar;
        to->moved += from->moved;
        to->moved_weight += from->moved_weight;
    }
    sums->differing += more->differing;
    sums->largest = fmax(sums->largest, more->largest);
}

double us_psnr(double squares, double weight) {
    if (!(weight > 0.0)) {
        return NAN;
    }
    return -10.0 * log10(fmax(squares / weight, 1e-12));
}
