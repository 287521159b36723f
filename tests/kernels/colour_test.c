#include "tests/support/check.h"

#include <math.h>

#include "kernels/colour.h"

enum { W = 21, H = 15, COUNT = W * H };

static float from_data[3][COUNT], to_data[3][COUNT], weight_data[COUNT];
static struct us_view from[3], to[3];
static const struct us_view weight = {weight_data, W, H, W};

static void fill(void) {
    uint32_t state = 5;
    for (int c = 0; c < 3; c++) {
        from[c] = (struct us_view){from_data[c], W, H, W};
        to[c] = (struct us_view){to_data[c], W, H, W};
    }
    for (int i = 0; i < COUNT; i++) {
        for (int c = 0; c < 3; c++) {
            state = state * 1664525u + 1013904223u;
            from_data[c][i] = 0.1f + (float)(state >> 8) / 16777216.0f;
        }
        from_data[1][i] += 0.5f * from_data[0][i];
        weight_data[i] = i % 5 ? 1.0f : 0.0f;
    }
    from_data[0][1] = 7.5f; /* a highlight */
    weight_data[2] = 1.0f;
}

static void solve(enum us_colour_method method, double strength, struct us_colour_map *map) {
    struct us_colour_sums a = {0}, b = {0};
    us_colour_gather(from, weight, &a);
    us_colour_gather(to, weight, &b);
    us_colour_solve(&a, &b, method, strength, map);
}

static void assert_equal_now(double tolerance) {
    for (int c = 0; c < 3; c++) {
        for (int i = 0; i < COUNT; i++) {
            double wanted = (double)to_data[c][i];
            ASSERT_NEAR((double)from_data[c][i], wanted, tolerance * (1.0 + wanted));
        }
    }
}

static void gains_are_removed(void **state) {
    (void)state;
    static const float gains[3] = {1.7f, 0.6f, 1.1f};
    for (enum us_colour_method m = US_COLOUR_MEAN; m <= US_COLOUR_REINHARD; m++) {
        fill();
        for (int i = 0; i < 3 * COUNT; i++) {
            to_data[i / COUNT][i % COUNT] = gains[i / COUNT] * from_data[i / COUNT][i % COUNT];
        }
        struct us_colour_map map;
        solve(m, 1.0, &map);
        us_colour_apply(&map, from);
        assert_equal_now(1e-6);
    }
}

/* A symmetric positive mixing is what the Monge-Kantorovitch map can undo wholly. */
static void mixing_is_removed(void **state) {
    (void)state;
    const double mix[3][3] = {{1.3, 0.2, 0.1}, {0.2, 0.8, -0.1}, {0.1, -0.1, 1.1}};
    fill();
    for (int i = 0; i < COUNT; i++) {
        for (int c = 0; c < 3; c++) {
            to_data[c][i] =
                (float)(0.05 + mix[c][0] * (double)from_data[0][i] +
                        mix[c][1] * (double)from_data[1][i] + mix[c][2] * (double)from_data[2][i]);
        }
    }
    struct us_colour_map map;
    solve(US_COLOUR_MKL, 1.0, &map);
    us_colour_apply(&map, from);
    assert_equal_now(1e-5);
}

static void strength_goes_half_way(void **state) {
    (void)state;
    fill();
    for (int i = 0; i < 3 * COUNT; i++) {
        to_data[i / COUNT][i % COUNT] = 3.0f * from_data[i / COUNT][i % COUNT];
    }
    struct us_colour_map map;
    solve(US_COLOUR_MEAN, 0.5, &map);
    ASSERT_NEAR(map.m[1][1], 2.0, 1e-6);
    solve(US_COLOUR_NONE, 1.0, &map);
    ASSERT_NEAR(map.m[1][1], 1.0, 0.0);
}

static void black_and_broken_pixels_are_harmless(void **state) {
    (void)state;
    fill();
    from_data[1][1] = NAN;
    from_data[2][3] = INFINITY;
    struct us_colour_sums sums = {0}, none = {0};
    us_colour_gather(from, weight, &sums);
    assert_true(isfinite(sums.value[1] + sums.product[2][2]));
    struct us_colour_map map;
    us_colour_solve(&none, &sums, US_COLOUR_MKL, 1.0, &map);
    ASSERT_NEAR(map.m[0][0], 1.0, 0.0);
    struct us_colour_sums black = {.weight = 10};
    for (enum us_colour_method m = US_COLOUR_MEAN; m <= US_COLOUR_MKL; m++) {
        us_colour_solve(&black, &sums, m, 1.0, &map);
        assert_true(isfinite(map.m[0][0] + map.offset[0]) && map.m[0][0] <= 16.0);
    }
}

static void blending_averages(void **state) {
    (void)state;
    struct us_colour_sums a = {.weight = 2, .value = {2, 4, 6}};
    struct us_colour_sums b = {.weight = 10, .value = {30, 30, 30}}, sum = {0};
    us_colour_blend(&sum, &a, 1.0);
    us_colour_blend(&sum, &b, 0.5);
    ASSERT_NEAR(sum.weight, 1.5, 1e-12);
    ASSERT_NEAR(sum.value[0], 1 + 1.5, 1e-12);
    us_colour_blend(&sum, &(struct us_colour_sums){0}, 1.0);
    ASSERT_NEAR(sum.weight, 1.5, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gains_are_removed), cmocka_unit_test(mixing_is_removed),
        cmocka_unit_test(strength_goes_half_way), cmocka_unit_test(blending_averages),
        cmocka_unit_test(black_and_broken_pixels_are_harmless)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
