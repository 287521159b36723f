#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/resample.h"

enum { SIDE = 48 };

static float source_data[SIDE * SIDE], out_data[SIDE * SIDE];

static uint32_t noise_state = 12345;

static float noise(void) {
    noise_state = noise_state * 1664525u + 1013904223u;
    return (float)(noise_state >> 8) / 16777216.0f;
}

static struct us_view view(float *data, int32_t width, int32_t height) {
    return (struct us_view){data, width, height, SIDE};
}

static void fill_noise(void) {
    for (int i = 0; i < SIDE * SIDE; i++) {
        source_data[i] = noise() * 3.0f - 0.5f;
    }
}

static double kernel(enum us_filter filter, double t) {
    double x = fabs(t), pi = acos(-1.0);
    if (filter == US_FILTER_LINEAR) {
        return x < 1 ? 1 - x : 0;
    }
    if (filter == US_FILTER_CUBIC) {
        return x < 1   ? 1.5 * x * x * x - 2.5 * x * x + 1
               : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2
                       : 0;
    }
    return x < 1e-9 ? 1 : x < 3 ? sin(pi * x) / (pi * x) * sin(pi * x / 3) / (pi * x / 3) : 0;
}

static double sample(struct us_view source, int i, int j) {
    i = i < 0 ? 0 : i >= source.width ? source.width - 1 : i;
    j = j < 0 ? 0 : j >= source.height ? source.height - 1 : j;
    return (double)us_view_row(source, j)[i];
}

/* All samples within a wide margin, weighed and normalised: no cleverness. */
static double reference(struct us_view source, const double m[6], enum us_filter filter, int x,
                        int y) {
    double u = m[0] * (x + 0.5) + m[1] * (y + 0.5) + m[2];
    double v = m[3] * (x + 0.5) + m[4] * (y + 0.5) + m[5];
    if (filter == US_FILTER_NEAREST) {
        return sample(source, (int)floor(u), (int)floor(v));
    }
    double sx = fmax(1, hypot(m[0], m[1])), sy = fmax(1, hypot(m[3], m[4])), sum = 0, weights = 0;
    int margin_x = (int)(3 * sx) + 2, margin_y = (int)(3 * sy) + 2;
    for (int j = (int)v - margin_y; j <= (int)v + margin_y; j++) {
        for (int i = (int)u - margin_x; i <= (int)u + margin_x; i++) {
            double w = kernel(filter, (i + 0.5 - u) / sx) * kernel(filter, (j + 0.5 - v) / sy);
            sum += w * sample(source, i, j);
            weights += w;
        }
    }
    return sum / weights;
}

static void check_against_reference(const double m[6], int sw, int sh, int dw, int dh) {
    fill_noise();
    struct us_view source = view(source_data, sw, sh), out = view(out_data, dw, dh);
    for (enum us_filter f = US_FILTER_NEAREST; f <= US_FILTER_LANCZOS3; f++) {
        us_resample_affine(&source, &out, 1, m, f);
        for (int y = 0; y < dh; y++) {
            for (int x = 0; x < dw; x++) {
                double wanted = reference(source, m, f, x, y);
                ASSERT_NEAR((double)us_view_row(out, y)[x], wanted, 2e-6);
            }
        }
    }
}

static void matches_the_slow_reference(void **state) {
    (void)state;
    const double c = cos(0.4), s = sin(0.4);
    const double maps[][6] = {
        {1, 0, 0.3, 0, 1, -0.7},     /* shift */
        {0.37, 0, 2, 0, 0.5, 1},     /* magnify */
        {2.3, 0, 0.11, 0, 1.7, 0.2}, /* minify, unevenly */
        {c, -s, 5, s, c, -3},        /* turn */
        {1.9 * c, -1.9 * s, 7.7, 1.9 * s, 1.9 * c, -4},
        {-1.1, 0.2, 30, 0.1, -0.9, 28}, /* flip and shear */
        {3, 0, -60, 0, 3, 55},          /* all outside */
    };
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        check_against_reference(maps[i], 37, 29, 19, 23);
    }
    check_against_reference(maps[3], 1, 1, 3, 5);
    check_against_reference(maps[2], 5, 1, 1, 7);
}

static void assert_flipped_exactly(enum us_filter filter) {
    const double flip[6] = {-1, 0, 31, 0, 1, 0}, shift[6] = {1, 0, 3, 0, 1, -2};
    struct us_view source = view(source_data, 31, 17), out = view(out_data, 31, 17);
    us_resample_affine(&source, &out, 1, flip, filter);
    for (int y = 0; y < 17; y++) {
        for (int x = 0; x < 31; x++) {
            assert_true(us_view_row(out, y)[x] == us_view_row(source, y)[30 - x]);
        }
    }
    us_resample_affine(&source, &out, 1, shift, filter);
    for (int y = 2; y < 17; y++) {
        assert_memory_equal(us_view_row(out, y), us_view_row(source, y - 2) + 3, 28 * 4);
    }
}

static void whole_pixel_maps_copy(void **state) {
    (void)state;
    const double identity[6] = {1, 0, 0, 0, 1, 0};
    fill_noise();
    source_data[5] = INFINITY;
    source_data[7] = -0.0f;
    struct us_view source = view(source_data, 31, 17), out = view(out_data, 31, 17);
    for (enum us_filter f = US_FILTER_NEAREST; f <= US_FILTER_LANCZOS3; f++) {
        us_resample_affine(&source, &out, 1, identity, f);
        for (int y = 0; y < 17; y++) {
            assert_memory_equal(us_view_row(out, y), us_view_row(source, y), 31 * 4);
        }
        assert_flipped_exactly(f);
    }
}

static void planes_are_independent(void **state) {
    (void)state;
    static float other[SIDE * SIDE], first[SIDE * SIDE];
    const double m[6] = {0.8, 0.1, 0, -0.1, 0.8, 2};
    fill_noise();
    memcpy(other, source_data, sizeof other);
    struct us_view sources[2] = {view(source_data, 20, 20), view(other + 7, 20, 20)};
    struct us_view outs[2] = {view(out_data, 20, 20), view(first, 20, 20)};
    us_resample_affine(sources, outs, 2, m, US_FILTER_CUBIC);
    float both = us_view_row(outs[1], 9)[11];
    us_resample_affine(&sources[1], &outs[0], 1, m, US_FILTER_CUBIC);
    assert_true(us_view_row(outs[0], 9)[11] == both);
}

/* A constant stays constant however far it is minified, and hostile maps do no harm. */
static void extreme_maps_are_harmless(void **state) {
    (void)state;
    for (int i = 0; i < SIDE * SIDE; i++) {
        source_data[i] = 0.7f;
    }
    const double maps[][6] = {{500, 0, 0, 0, 500, 0},    {1e300, 0, 0, 0, -1e300, 0},
                              {NAN, 0, 0, 0, NAN, 0},    {INFINITY, 1, 0, 1, 1, -INFINITY},
                              {0, 0, 1e18, 0, 0, -1e18}, {1e-300, 0, 5, 0, 1e-300, 5}};
    struct us_view source = view(source_data, 40, 40), out = view(out_data, 6, 6);
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        for (enum us_filter f = US_FILTER_NEAREST; f <= US_FILTER_LANCZOS3; f++) {
            us_resample_affine(&source, &out, 1, maps[i], f);
            ASSERT_NEAR((double)us_view_row(out, 5)[5], (double)0.7f, 1e-6);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_slow_reference), cmocka_unit_test(whole_pixel_maps_copy),
        cmocka_unit_test(planes_are_independent), cmocka_unit_test(extreme_maps_are_harmless)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
