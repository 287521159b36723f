#include "nodes/face/similarity.h"
#include "tests/support/check.h"

#include <math.h>

#include "nodes/face/crop_info.h"
#include "nodes/face/local_fit.h"

static const double points[5][2] = {{0, 0}, {10, 1}, {3, 8}, {-4, 6}, {7, -9}};
static const double weights[5] = {1, .5, 2, 1, .25};

static void map_points(const double map[6], double (*to)[2]) {
    for (int i = 0; i < 5; i++) {
        us_affine_apply(map, points[i][0], points[i][1], &to[i][0], &to[i][1]);
    }
}

static void a_similarity_is_found_exactly(void **state) {
    (void)state;
    for (int turn = -170; turn <= 180; turn += 35) {
        double angle = turn * acos(-1.0) / 180, a = 3.7 * cos(angle), b = 3.7 * sin(angle);
        const double wanted[6] = {a, -b, 1234.5, b, a, -77.25};
        double to[5][2], map[6];
        map_points(wanted, to);
        assert_true(us_similarity_fit(points, (const double(*)[2])to, weights, 5, map));
        for (int i = 0; i < 6; i++) {
            ASSERT_NEAR(map[i], wanted[i], 1e-11);
        }
    }
}

/* Moving any number of the solution makes the weighted sum of squares larger. */
static void noise_gives_the_least_squares(void **state) {
    (void)state;
    const double to[5][2] = {{1, 2}, {19, 6}, {4, 21}, {-9, 12}, {18, -14}};
    double map[6], sums[9];
    assert_true(us_similarity_fit(points, to, weights, 5, map));
    for (int change = 0; change < 9; change++) {
        double step = change % 2 ? 1e-3 : -1e-3, a = map[0], b = map[3], c = map[2], f = map[5];
        a += change == 1 || change == 2 ? step : 0;
        b += change == 3 || change == 4 ? step : 0;
        c += change == 5 || change == 6 ? step : 0;
        f += change == 7 || change == 8 ? step : 0;
        sums[change] = 0;
        for (int i = 0; i < 5; i++) {
            double x = a * points[i][0] - b * points[i][1] + c - to[i][0];
            double y = b * points[i][0] + a * points[i][1] + f - to[i][1];
            sums[change] += weights[i] * (x * x + y * y);
        }
        assert_true(change == 0 || sums[change] > sums[0]);
    }
}

static void one_stray_point_counts_little(void **state) {
    (void)state;
    const double wanted[6] = {2, -.5, 10, .5, 2, 20};
    double to[5][2], plain[6], robust[6];
    map_points(wanted, to);
    to[3][0] += 30;
    assert_true(us_similarity_fit(points, (const double(*)[2])to, weights, 5, plain));
    assert_true(us_similarity_fit_robust(points, (const double(*)[2])to, weights, 5, .05, robust));
    assert_true(fabs(plain[0] - 2) > .1);
    ASSERT_NEAR(robust[0], 2, .01);
    ASSERT_NEAR(robust[3], .5, .01);
}

static void degenerate_points_are_refused(void **state) {
    (void)state;
    const double same[5][2] = {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, none[5] = {0};
    double map[6];
    assert_false(us_similarity_fit(same, points, weights, 5, map));
    assert_false(us_similarity_fit(points, same, weights, 5, map));
    assert_false(us_similarity_fit(points, points, none, 5, map));
}

/* A polynomial of the fit's degree passes unchanged, with gaps and at ends; shares add up to 1. */
static void local_fits_keep_their_polynomial(void **state) {
    (void)state;
    static const double times[][5] = {{-2, -1, 0, 1, 2}, {0, 1, 2, 3, 4}, {-4, -3, 1, 2, 4}};
    for (int t = 0; t < 3; t++) {
        for (int degree = 0; degree <= 2; degree++) {
            double shares[5], sum = 0, value = 0;
            us_local_fit(times[t], 5, 5, degree, shares);
            for (int i = 0; i < 5; i++) {
                double at = times[t][i];
                sum += shares[i];
                value += shares[i] * (7 + (degree > 0 ? 3 * at : 0) + (degree > 1 ? at * at : 0));
            }
            ASSERT_NEAR(sum, 1, 1e-12);
            ASSERT_NEAR(value, 7, 1e-11);
        }
    }
}

static void local_fits_lower_noise(void **state) {
    (void)state;
    const double times[5] = {-2, -1, 0, 1, 2};
    double shares[5], power = 0;
    us_local_fit(times, 5, 3, 1, shares);
    for (int i = 0; i < 5; i++) {
        power += shares[i] * shares[i];
    }
    assert_true(power < .35);
    us_local_fit((const double[]){0}, 1, 1, 2, shares);
    ASSERT_NEAR(shares[0], 1, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_similarity_is_found_exactly),
        cmocka_unit_test(noise_gives_the_least_squares),
        cmocka_unit_test(one_stray_point_counts_little),
        cmocka_unit_test(degenerate_points_are_refused),
        cmocka_unit_test(local_fits_keep_their_polynomial),
        cmocka_unit_test(local_fits_lower_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
