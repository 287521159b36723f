#include "kernels/polygon.h"
#include "tests/support/check.h"

#include <math.h>

enum { WIDTH = 24, HEIGHT = 20 };
static float samples[WIDTH * HEIGHT];
static const struct us_view view = {samples, WIDTH, HEIGHT, WIDTH};

static double area(void) {
    double sum = 0;
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        assert_true(samples[i] >= 0 && samples[i] <= 1);
        sum += (double)samples[i];
    }
    return sum;
}

static void a_rectangle_covers_shares_of_samples(void **state) {
    (void)state;
    const double points[4][2] = {{2.25, 3.5}, {10.5, 3.5}, {10.5, 7.75}, {2.25, 7.75}};
    const double turned[4][2] = {{2.25, 7.75}, {10.5, 7.75}, {10.5, 3.5}, {2.25, 3.5}};
    for (int i = 0; i < 2; i++) {
        us_polygon_fill(view, i ? turned : points, 4);
        ASSERT_NEAR((double)samples[3 * WIDTH + 2], .375, 1e-6);
        ASSERT_NEAR((double)samples[5 * WIDTH + 2], .75, 1e-6);
        ASSERT_NEAR((double)samples[5 * WIDTH + 5], 1, 0);
        ASSERT_NEAR((double)samples[7 * WIDTH + 10], .375, 1e-6);
        ASSERT_NEAR((double)samples[5 * WIDTH + 11], 0, 0);
        ASSERT_NEAR(area(), 8.25 * 4.25, 1e-4);
    }
}

static void slanted_edges_keep_the_area(void **state) {
    (void)state;
    const double points[3][2] = {{1.3, 2.1}, {20.7, 6.4}, {5.9, 18.2}};
    us_polygon_fill(view, points, 3);
    ASSERT_NEAR(area(), fabs((20.7 - 1.3) * (18.2 - 2.1) - (5.9 - 1.3) * (6.4 - 2.1)) / 2, 1e-3);
}

static void what_lies_outside_is_cut_off(void **state) {
    (void)state;
    const double square[4][2] = {{-1e6, -1e6}, {12, -1e6}, {12, 1e6}, {-1e6, 1e6}};
    us_polygon_fill(view, square, 4);
    ASSERT_NEAR(area(), 12 * HEIGHT, 1e-3);
    const double right[4][2] = {{12.5, 5}, {1e6, 5}, {1e6, 9}, {12.5, 9}};
    us_polygon_fill(view, right, 4);
    ASSERT_NEAR(area(), 11.5 * 4, 1e-3);
    const double cut[3][2] = {{-10, 0}, {10, 0}, {-10, 20}}; /* x + y < 10 inside the view */
    us_polygon_fill(view, cut, 3);
    ASSERT_NEAR(area(), 50, 1e-3);
    const double far[4][2] = {{12.5, 5}, {1e17, 5}, {1e17, 9}, {12.5, 9}};
    us_polygon_fill(view, far, 4);
    ASSERT_NEAR(area(), 11.5 * 4, 1e-3);
    const double away[3][2] = {{30, 1}, {40, 5}, {35, 9}};
    us_polygon_fill(view, away, 3);
    ASSERT_NEAR(area(), 0, 0);
}

static void a_curve_goes_through_its_points(void **state) {
    (void)state;
    double points[12][2], curve[48][2];
    for (int i = 0; i < 12; i++) {
        points[i][0] = 12 + 8 * cos(acos(-1.0) * i / 6);
        points[i][1] = 10 + 8 * sin(acos(-1.0) * i / 6);
    }
    us_curve_closed((const double(*)[2])points, 12, 4, curve);
    for (int i = 0; i < 48; i++) {
        ASSERT_NEAR(hypot(curve[i][0] - 12, curve[i][1] - 10), 8, i % 4 ? .02 : 1e-12);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rectangle_covers_shares_of_samples),
        cmocka_unit_test(slanted_edges_keep_the_area),
        cmocka_unit_test(what_lies_outside_is_cut_off),
        cmocka_unit_test(a_curve_goes_through_its_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
