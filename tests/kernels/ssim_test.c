#include "tests/support/check.h"

#include <math.h>

#include "kernels/ssim.h"

enum { W = 24, H = 20 };

static float a_data[W * H], b_data[W * H], map_data[W * H], scratch[16384];
static const struct us_view a = {a_data, W, H, W}, b = {b_data, W, H, W}, map = {map_data, W, H, W};

static void fill(void) {
    for (int i = 0; i < W * H; i++) {
        a_data[i] = 0.5f + 0.3f * sinf((float)(i % W) * 0.9f) * cosf((float)(i / W) * 0.7f);
        b_data[i] = 0.9f * a_data[i] + 0.05f + 0.04f * sinf((float)(i * i % 17));
    }
}

/* Straight from the paper's formulas, in doubles, away from the edge. */
static double reference(int x, int y, double peak) {
    double sw = 0, sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
    for (int j = -5; j <= 5; j++) {
        for (int i = -5; i <= 5; i++) {
            double w = exp(-(i * i + j * j) / 4.5);
            double p = (double)a_data[(y + j) * W + x + i], q = (double)b_data[(y + j) * W + x + i];
            sw += w, sa += w * p, sb += w * q;
            saa += w * p * p, sbb += w * q * q, sab += w * p * q;
        }
    }
    double ma = sa / sw, mb = sb / sw, va = saa / sw - ma * ma, vb = sbb / sw - mb * mb;
    double c1 = 0.0001 * peak * peak, c2 = 0.0009 * peak * peak;
    return (2 * ma * mb + c1) * (2 * (sab / sw - ma * mb) + c2) /
           ((ma * ma + mb * mb + c1) * (va + vb + c2));
}

static void equals_the_paper(void **state) {
    (void)state;
    fill();
    assert_true(us_ssim_scratch(W, H) <= 16384);
    for (double peak = 0.5; peak < 3; peak *= 2) {
        us_ssim_map(a, b, map, peak, scratch);
        for (int y = 5; y < H - 5; y++) {
            for (int x = 5; x < W - 5; x++) {
                ASSERT_NEAR((double)us_view_row(map, y)[x], reference(x, y, peak), 2e-4);
            }
        }
    }
}

static void equal_images_are_one(void **state) {
    (void)state;
    fill();
    us_ssim_map(a, a, map, 1.0, scratch);
    for (int i = 0; i < W * H; i++) {
        ASSERT_NEAR((double)map_data[i], 1.0, 1e-5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_the_paper),
                                       cmocka_unit_test(equal_images_are_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
