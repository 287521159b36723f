#include <math.h>

#include "kernels/nn/dssim_internal.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"

enum { SIZE = 24, AREA = SIZE * SIZE };

/* Values of half the range, told so, are scored as values of the whole range are, and their
 * gradient is twice as steep. */
static void dssim_follows_its_range(void **state) {
    (void)state;
    struct nn_dssim whole, half;
    nn_dssim_init(&whole, SIZE, 5);
    nn_dssim_init(&half, SIZE, 5);
    half.range = 0.5f;
    float *block = us_calloc(6 * AREA + nn_dssim_scratch(&whole), sizeof *block);
    float *x = block, *y = x + AREA, *xh = y + AREA, *yh = xh + AREA, *g = yh + AREA,
          *gh = g + AREA;
    for (int i = 0; i < AREA; i++) {
        x[i] = 0.5f + 0.2f * sinf((float)i * 0.7f);
        y[i] = 0.5f + 0.2f * sinf((float)i * 0.7f + 0.5f);
        xh[i] = 0.5f * x[i];
        yh[i] = 0.5f * y[i];
    }
    const double a = nn_dssim_plane(&whole, x, y, 1, g, gh + AREA);
    const double b = nn_dssim_plane(&half, xh, yh, 1, gh, gh + AREA);
    assert_true(a > 0.01);
    ASSERT_NEAR(b, a, 1e-5 * a);
    for (int i = 0; i < AREA; i++) {
        ASSERT_NEAR((double)gh[i], 2 * (double)g[i], 1e-7);
    }
    us_free(block);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(dssim_follows_its_range)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
