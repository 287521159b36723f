#include "nodes/learn/loss_curve.h"

#include <math.h>

#include "nodes/io/png.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"

enum { STEPS = 300 };

/* Dark pixels where the loss axis has its numbers. */
static int axis_ink(const float *losses) {
    uint8_t *bytes;
    size_t size;
    struct us_png png;
    int ink = 0;
    ASSERT_OK(us_loss_curve(losses, STEPS, &bytes, &size));
    ASSERT_OK(us_png_decode(bytes, size, &png));
    for (int y = 60; y < 410; y++) {
        for (int x = 0; x < 76; x++) {
            ink += png.pixels[3 * (y * png.width + x)] < 100;
        }
    }
    us_free(png.pixels);
    us_free(bytes);
    return ink;
}

/* As a damaged checkpoint may have them. */
static void losses_that_are_no_numbers_leave_the_axis_finite(void **state) {
    (void)state;
    static const float odd[] = {INFINITY, -INFINITY, NAN, 3e38f};
    float losses[2 * STEPS];
    for (int i = 0; i < 2 * STEPS; i++) {
        losses[i] = 1 / (float)(i + 1);
    }
    assert_true(axis_ink(losses) > 100);
    for (int i = 0; i < 4; i++) {
        losses[20 + i] = odd[i];
    }
    assert_true(axis_ink(losses) > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_that_are_no_numbers_leave_the_axis_finite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
