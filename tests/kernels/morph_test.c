#include "tests/support/check.h"

#include <math.h>
#include <string.h>

#include "kernels/morph.h"

enum { W = 31, H = 27, STRIDE = 33 };

static float in_data[H * STRIDE], out_data[H * STRIDE], back_data[H * STRIDE], scratch[65536];
static const struct us_view in = {in_data, W, H, STRIDE}, out = {out_data, W, H, STRIDE};

static void fill(void) {
    uint32_t state = 99;
    for (int i = 0; i < H * STRIDE; i++) {
        state = state * 1664525u + 1013904223u;
        in_data[i] = (float)(state >> 8) / 16777216.0f;
        in_data[i] = in_data[i] < 0.7f ? 1.0f : in_data[i];
    }
}

static double reference(int x, int y, double radius) {
    double best = 1e9, sign = radius > 0 ? -1 : 1, r = fabs(radius);
    int reach = (int)r + 2;
    for (int j = -reach; j <= reach; j++) {
        for (int i = -reach; i <= reach; i++) {
            int u = x + i < 0 ? 0 : x + i >= W ? W - 1 : x + i;
            int v = y + j < 0 ? 0 : y + j >= H ? H - 1 : y + j;
            double rise = fmin(1, fmax(0, hypot(i, j) - r));
            best = fmin(best, sign * (double)in_data[v * STRIDE + u] + rise);
        }
    }
    return sign * best;
}

static void equals_its_definition(void **state) {
    (void)state;
    double radii[] = {-0.4, -1, -2.5, -7.3, 0.4, 1, 2.5, 7.3};
    fill();
    for (int r = 0; r < 8; r++) {
        assert_true(us_matte_grow_scratch(W, H, radii[r]) <= 65536);
        us_matte_grow(in, out, radii[r], scratch);
        for (int y = 0; y < H; y++) {
            for (int x = 0; x < W; x++) {
                ASSERT_NEAR((double)us_view_row(out, y)[x], reference(x, y, radii[r]), 1e-6);
            }
        }
    }
}

static void no_radius_copies(void **state) {
    (void)state;
    fill();
    us_matte_grow(in, out, 0.0, scratch);
    for (int y = 0; y < H; y++) {
        assert_memory_equal(us_view_row(in, y), us_view_row(out, y), W * 4);
    }
}

static double area(void) {
    double sum = 0;
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            sum += (double)us_view_row(out, y)[x];
        }
    }
    return sum;
}

/* A disc of radius 8 eroded by r is about a disc of radius 8 - r, for any fraction. */
static void radius_is_continuous(void **state) {
    (void)state;
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            double d = 8.5 - hypot(x - 15, y - 13);
            us_view_row(in, y)[x] = (float)fmin(1, fmax(0, d));
        }
    }
    for (double r = -4; r <= 4; r += 0.25) {
        us_matte_grow(in, out, r, scratch);
        double radius = 8 + r;
        ASSERT_NEAR(sqrt(area() / acos(-1.0)), radius, 0.35);
    }
    us_matte_grow(in, (struct us_view){back_data, W, H, STRIDE}, 2.5, scratch);
    us_matte_grow(in, in, 2.5, scratch);
    assert_memory_equal(us_view_row(in, 13), back_data + 13 * STRIDE, W * 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_its_definition),
                                       cmocka_unit_test(no_radius_copies),
                                       cmocka_unit_test(radius_is_continuous)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
