#include "tests/support/check.h"

#include <math.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/support/fake_task.h"
#include "tests/support/pictures.h"

extern const struct us_node_type us_node_matte_edit;

static const struct us_window window = {-10, -10, 29, 29}, display = {0, 0, 19, 19};
static const struct us_frame frame = {0, 1001};

static float square(int x, int y, int c) {
    (void)c;
    return x >= 0 && x < 20 && y >= 0 && y < 20 ? 1.0f : 0.0f;
}

static float ramp(int x, int y, int c) {
    (void)y;
    return (float)x * 0.1f + (float)c;
}

static struct us_task *begin(void) {
    struct us_task *task = us_fake_create(&us_node_matte_edit);
    struct us_image *image = us_test_image(window, display);
    us_test_channel(image, "matte.A", US_HALF, square, 0);
    us_test_channel(image, "R", US_HALF, ramp, 0);
    us_test_channel(image, "A", US_FLOAT, ramp, 2);
    us_image_set_string(image, "note", "kept");
    us_fake_input(task, "matte", 0, frame, us_value_from_image(image));
    return task;
}

static float at(const struct us_task *task, int x, int y) {
    return us_test_at(us_fake_output(task, "image")->image, "matte.A", x, y);
}

static void erodes_and_grows(void **state) {
    (void)state;
    struct us_task *task = begin();
    us_fake_number(task, "erode_px", 3);
    ASSERT_OK(us_fake_run(task));
    assert_true(at(task, 2, 10) == 0.0f && at(task, 3, 10) == 1.0f);
    us_fake_number(task, "erode_px", -2.5);
    ASSERT_OK(us_fake_run(task));
    assert_true(at(task, -2, 10) == 1.0f && at(task, -3, 10) == 0.5f && at(task, -4, 10) == 0.0f);
    const struct us_image *out = us_fake_output(task, "image")->image;
    assert_true(us_test_at(out, "A", 5, 5) == 2.5f);
    assert_int_equal(us_image_channel(out, "matte.A")->sample, US_HALF);
    assert_non_null(us_image_attribute(out, "note"));
    us_fake_destroy(task);
}

static void feathers_inverts_and_grades(void **state) {
    (void)state;
    struct us_task *task = begin();
    us_fake_number(task, "feather_px", 8);
    ASSERT_OK(us_fake_run(task));
    ASSERT_NEAR((double)at(task, -1, 10) + (double)at(task, 0, 10), 1.0, 0.01);
    assert_true(at(task, -4, 10) > 0.01f && at(task, -4, 10) < 0.1f && at(task, 10, 10) > 0.999f);
    us_fake_number(task, "feather_px", 0);
    us_fake_number(task, "invert", 1);
    us_fake_number(task, "gain", 0.5);
    us_fake_number(task, "offset", 0.25);
    ASSERT_OK(us_fake_run(task));
    assert_true(at(task, 10, 10) == 0.25f && at(task, -5, 10) == 0.75f);
    us_fake_number(task, "gain", 9);
    ASSERT_OK(us_fake_run(task));
    assert_true(at(task, -5, 10) == 1.0f);
    us_fake_number(task, "clip", 0);
    ASSERT_OK(us_fake_run(task));
    assert_true(at(task, -5, 10) == 9.25f);
    us_fake_destroy(task);
}

static float half(int x, int y, int c) {
    (void)c, (void)y;
    return x >= 10 ? 0.5f : 0.0f;
}

static void combines_two(void **state) {
    (void)state;
    static const char *const how[] = {"multiply", "add", "subtract", "max", "min"};
    static const float inside[] = {0.5f, 1.0f, 0.5f, 1.0f, 0.5f};
    static const float beyond[] = {0.0f, 0.5f, 0.0f, 0.5f, 0.0f};
    struct us_task *task = begin();
    struct us_image *with = us_test_image((struct us_window){5, 5, 22, 15}, display);
    us_test_channel(with, "Y", US_FLOAT, half, 0);
    us_fake_input(task, "with", 0, frame, us_value_from_image(with));
    for (int i = 0; i < 5; i++) {
        us_fake_text(task, "combine", how[i]);
        ASSERT_OK(us_fake_run(task));
        assert_true(at(task, 12, 10) == inside[i]);
        assert_true(at(task, 21, 10) == beyond[i]);
        assert_true(at(task, 25, 10) == 0.0f);
    }
    us_fake_destroy(task);
}

static void bad_inputs_are_named(void **state) {
    (void)state;
    struct us_task *task = begin();
    us_fake_text(task, "channel", "roto.A");
    ASSERT_ERROR(us_fake_run(task), "no full-resolution channel 'roto.A'");
    us_fake_text(task, "channel", "R");
    us_fake_number(task, "clip", 0);
    us_fake_number(task, "gain", 2);
    ASSERT_OK(us_fake_run(task));
    assert_true(us_test_at(us_fake_output(task, "image")->image, "R", 20, 0) == 4.0f);
    struct us_image *other = us_test_image(window, (struct us_window){0, 0, 9, 9});
    us_test_channel(other, "A", US_HALF, half, 0);
    us_fake_input(task, "with", 0, frame, us_value_from_image(other));
    ASSERT_ERROR(us_fake_run(task), "the matte's display window is (0, 0)-(19, 19), but the second "
                                    "one's is (0, 0)-(9, 9)");
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(erodes_and_grows), cmocka_unit_test(feathers_inverts_and_grades),
        cmocka_unit_test(combines_two), cmocka_unit_test(bad_inputs_are_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
