#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/blur.h"

enum { W = 23, H = 17, STRIDE = 29 };

static float in_data[H * STRIDE], out_data[H * STRIDE], scratch[65536];

static void fill(void) {
    uint32_t state = 7;
    for (int i = 0; i < H * STRIDE; i++) {
        state = state * 1664525u + 1013904223u;
        in_data[i] = (float)(state >> 8) / 8388608.0f - 0.5f;
    }
}

static double reference(int x, int y, double sigma) {
    double sum = 0, weights = 0;
    int radius = us_blur_radius(sigma);
    for (int j = -radius; j <= radius; j++) {
        for (int i = -radius; i <= radius; i++) {
            int u = x + i < 0 ? 0 : x + i >= W ? W - 1 : x + i;
            int v = y + j < 0 ? 0 : y + j >= H ? H - 1 : y + j;
            double w = exp(-0.5 * (i * i + j * j) / (sigma * sigma));
            sum += w * (double)in_data[v * STRIDE + u];
            weights += w;
        }
    }
    return sum / weights;
}

static void equals_the_two_dimensional_sum(void **state) {
    (void)state;
    struct us_view in = {in_data, W, H, STRIDE}, out = {out_data, W, H, STRIDE};
    double sigmas[] = {0.3, 1.0, 1.5, 2.7, 12.0};
    for (int s = 0; s < 5; s++) {
        fill();
        assert_true(us_blur_scratch(W, H, sigmas[s]) <= 65536);
        us_gaussian_blur(in, out, sigmas[s], scratch);
        for (int y = 0; y < H; y++) {
            for (int x = 0; x < W; x++) {
                ASSERT_NEAR((double)us_view_row(out, y)[x], reference(x, y, sigmas[s]), 2e-6);
            }
        }
        us_gaussian_blur(in, in, sigmas[s], scratch);
        assert_memory_equal(us_view_row(in, 9), us_view_row(out, 9), W * 4);
    }
}

static void no_sigma_copies(void **state) {
    (void)state;
    struct us_view in = {in_data, W, H, STRIDE}, out = {out_data, W, H, STRIDE};
    fill();
    us_gaussian_blur(in, out, 0.0, scratch);
    for (int y = 0; y < H; y++) {
        assert_memory_equal(us_view_row(in, y), us_view_row(out, y), W * 4);
    }
    struct us_view dot = {in_data, 1, 1, 1};
    float before = in_data[0];
    us_gaussian_blur(dot, dot, 30.0, scratch);
    ASSERT_NEAR((double)in_data[0], (double)before, 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_the_two_dimensional_sum),
                                       cmocka_unit_test(no_sigma_copies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
