#include "tests/support/check.h"

#include <math.h>
#include <string.h>

#include "kernels/encoding.h"
#include "runtime/base/mem.h"
#include "tests/support/fake_task.h"
#include "tests/support/pictures.h"

extern const struct us_node_type us_node_color_match;

enum { SIZE = 24, FRAMES = 9 };

static float gain_now = 1.0f, light_now = 1.0f;

static float encoded(float light) {
    float out;
    us_log_encode(&light, &out, 1);
    return out;
}

static float decoded(float value) {
    float out;
    us_log_decode(&value, &out, 1);
    return out;
}

static float light_at(int x, int y, int c) {
    return 0.3f + 0.2f * sinf((float)x * 0.7f + (float)c) + 0.1f * cosf((float)(y * (c + 1)));
}

static float face_sample(int x, int y, int c) {
    if (c == 3) {
        return x > 3 && x < 20 && y > 2 && y < 22 ? 1.0f : 0.0f;
    }
    return encoded(light_now * light_at(x, y, c));
}

static float swap_sample(int x, int y, int c) {
    return c == 3 ? face_sample(x, y, c) : encoded(gain_now * (float)(c + 1) * light_at(x, y, c));
}

static struct us_value *crop(bool found, us_test_sample sample) {
    struct us_crop_info info = {.found = found, .matrix = {1, 0, 0, 0, 1, 0}};
    strcpy(info.encoding, "log");
    strcpy(info.coverage, "full");
    return us_value_from_image(us_test_crop(SIZE, &info, sample));
}

/* The plate's light flickers by `flicker`; the swap does not. */
static struct us_task *shot(float flicker, int64_t window, const char *method) {
    struct us_task *task = us_fake_create(&us_node_color_match);
    us_fake_number(task, "window", (double)window);
    us_fake_text(task, "method", method);
    for (int i = 0; i < FRAMES; i++) {
        struct us_frame frame = {0, 1001 + i};
        light_now = i % 2 ? 1.0f + flicker : 1.0f - flicker;
        us_fake_input(task, "swap", 0, frame, crop(true, swap_sample));
        us_fake_input(task, "faces", 0, frame, crop(true, face_sample));
    }
    return task;
}

static float out_light(struct us_task *task, int frame, int x) {
    us_fake_frame(task, (struct us_frame){0, frame});
    ASSERT_OK(us_fake_run(task));
    return decoded(us_test_at(us_fake_output(task, "image")->image, "G", x, 10));
}

static void gains_are_removed(void **state) {
    (void)state;
    static const char *const methods[] = {"mean", "reinhard"};
    gain_now = 1.7f;
    for (int m = 0; m < 2; m++) {
        struct us_task *task = shot(0.0f, 3, methods[m]);
        for (int x = 0; x < SIZE; x += 5) {
            double wanted = (double)light_at(x, 10, 1);
            ASSERT_NEAR((double)out_light(task, 1004, x), wanted, 1e-5);
        }
        const struct us_image *out = us_fake_output(task, "image")->image;
        assert_true(us_test_at(out, "matte.A", 10, 10) == 1.0f);
        assert_non_null(us_image_attribute(out, "understudy.landmarks"));
        us_fake_destroy(task);
    }
}

static double flicker_of(struct us_task *task) {
    double sum = 0, last = 0;
    for (int frame = 1001; frame < 1001 + FRAMES; frame++) {
        double light = (double)out_light(task, frame, 9);
        sum += frame > 1001 ? fabs(light - last) : 0.0;
        last = light;
    }
    return sum;
}

static void windows_keep_it_steady(void **state) {
    (void)state;
    gain_now = 0.5f;
    struct us_task *each = shot(0.1f, 0, "mean"), *wide = shot(0.1f, 12, "mean");
    double alone = flicker_of(each), steady = flicker_of(wide);
    assert_true(alone > 0.3 && steady < 0.2 * alone);
    us_fake_destroy(each);
    us_fake_destroy(wide);
}

static void nothing_to_do_hands_on(void **state) {
    (void)state;
    struct us_task *task = shot(0.1f, 2, "none");
    us_fake_frame(task, (struct us_frame){0, 1003});
    ASSERT_OK(us_fake_run(task));
    struct us_value *same = crop(true, swap_sample);
    assert_true(us_digest_equal(&us_fake_output(task, "image")->digest, &same->digest));
    us_value_unref(same);
    us_fake_destroy(task);
}

static void frames_without_a_face_pass(void **state) {
    (void)state;
    struct us_task *task = us_fake_create(&us_node_color_match);
    struct us_frame frame = {0, 1001};
    us_fake_input(task, "swap", 0, frame, crop(false, swap_sample));
    us_fake_input(task, "faces", 0, frame, crop(false, face_sample));
    float before = swap_sample(5, 10, 1);
    ASSERT_OK(us_fake_run(task));
    ASSERT_NEAR((double)us_test_at(us_fake_output(task, "image")->image, "G", 5, 10),
                (double)before, 1e-6);
    us_fake_destroy(task);
}

static void strangers_are_refused(void **state) {
    (void)state;
    struct us_task *task = us_fake_create(&us_node_color_match);
    struct us_frame frame = {0, 1001};
    struct us_image *picture =
        us_test_image((struct us_window){0, 0, 3, 3}, (struct us_window){0, 0, 3, 3});
    us_fake_input(task, "swap", 0, frame, crop(true, swap_sample));
    us_fake_input(task, "faces", 0, frame, us_value_from_image(picture));
    ASSERT_ERROR(us_fake_run(task), "input faces@1001 because: the image is not a face crop");
    us_fake_destroy(task);
    task = us_fake_create(&us_node_color_match);
    picture = us_test_image((struct us_window){0, 0, 3, 3}, (struct us_window){0, 0, 3, 3});
    us_fake_input(task, "swap", 0, frame, us_value_from_image(picture));
    ASSERT_ERROR(us_fake_run(task), "input swap@1001 because: the image is not a face crop");
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gains_are_removed), cmocka_unit_test(windows_keep_it_steady),
        cmocka_unit_test(nothing_to_do_hands_on), cmocka_unit_test(frames_without_a_face_pass),
        cmocka_unit_test(strangers_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
