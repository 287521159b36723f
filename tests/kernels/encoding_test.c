#include "tests/support/check.h"

#include <math.h>

#include "kernels/encoding.h"

typedef void (*curve)(const float *, float *, size_t);

static float one(curve f, float x) {
    float y;
    f(&x, &y, 1);
    return y;
}

static void check_round_trip(curve encode, curve decode) {
    float previous = -INFINITY, previous_x = -INFINITY;
    for (int i = 0; i <= 404000; i++) {
        float x = -1.0f + (float)i / 4000.0f;
        float y = one(encode, x), back = one(decode, y);
        ASSERT_NEAR((double)back, (double)x, 1e-5 * fabs((double)x) + 1e-8);
        if (x - previous_x > 1e-4f) {
            assert_true(y > previous);
        }
        previous = y;
        previous_x = x;
    }
}

static void log_is_inverted(void **state) {
    (void)state;
    check_round_trip(us_log_encode, us_log_decode);
}

static void srgb_is_inverted(void **state) {
    (void)state;
    check_round_trip(us_srgb_encode, us_srgb_decode);
}

/* The formulas of the header in doubles. */
static double log_reference(double x) {
    double a = (double)US_LOG_STOP, b = (double)US_LOG_BLACK, size = fabs(x);
    double rise =
        size <= 0.03125 ? a * size / (0.03125 * log(2.0)) : a * (1.0 / log(2.0) + 5.0 + log2(size));
    return b + copysign(rise, x);
}

static void log_follows_its_formula(void **state) {
    (void)state;
    for (double x = 1e-9; x < 1e30; x *= 1.37) {
        double y = log_reference(x);
        ASSERT_NEAR((double)one(us_log_encode, (float)x), y, 3e-7 * fmax(y, 0.3));
        ASSERT_NEAR((double)one(us_log_encode, (float)-x), log_reference(-x), 3e-7 * fmax(y, 0.3));
    }
}

static void log_fits_a_sigmoid(void **state) {
    (void)state;
    ASSERT_NEAR((double)one(us_log_encode, 0.0f), 0.03, 1e-7);
    ASSERT_NEAR((double)one(us_log_encode, 0.18f), 0.333, 1e-3);
    ASSERT_NEAR((double)one(us_log_encode, 1.0f), 0.522, 1e-3);
    assert_true(one(us_log_encode, 64.0f) < 1.0f);
}

static void srgb_follows_the_standard(void **state) {
    (void)state;
    ASSERT_NEAR((double)one(us_srgb_encode, 1.0f), 1.0, 5e-7);
    for (double x = 0.0; x < 2.0; x += 0.0007) {
        double y = x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - 0.055;
        ASSERT_NEAR((double)one(us_srgb_encode, (float)x), y, 1e-6);
    }
}

static void every_float_is_taken(void **state) {
    (void)state;
    curve curves[] = {us_log_encode, us_log_decode, us_srgb_encode, us_srgb_decode};
    for (int i = 0; i < 4; i++) {
        assert_true(isnan(one(curves[i], NAN)));
        assert_true(one(curves[i], INFINITY) > 1.0f);
        assert_true(one(curves[i], -3.4e38f) < one(curves[i], 3.4e38f));
        assert_true(isfinite(one(curves[i], 1e-42f)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_is_inverted),           cmocka_unit_test(srgb_is_inverted),
        cmocka_unit_test(log_follows_its_formula),   cmocka_unit_test(log_fits_a_sigmoid),
        cmocka_unit_test(srgb_follows_the_standard), cmocka_unit_test(every_float_is_taken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
