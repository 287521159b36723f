#include "tests/support/check.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "nodes/face/faces.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "tests/support/fake_task.h"
#include "tests/support/pictures.h"

extern const struct us_node_type us_node_compare;

enum { FRAMES = 6 };

static const struct us_window window = {-4, 2, 27, 25};
static int frame_now;
static float error_now;

static float clean(int x, int y, int c) {
    return 0.3f + 0.1f * sinf((float)x * 0.8f + (float)(c + frame_now)) + 0.005f * (float)y;
}

static bool inside(int x, int y) {
    return x >= 4 && x < 20 && y >= 8 && y < 20;
}

static float wrong_inside(int x, int y, int c) {
    return clean(x, y, c) + (inside(x, y) ? error_now : 0.0f);
}

static float wrong_by_turns(int x, int y, int c) {
    return clean(x, y, c) + (inside(x, y) ? (frame_now % 2 ? error_now : -error_now) : 0.0f);
}

static float matte_sample(int x, int y, int c) {
    (void)c;
    return inside(x, y) ? 1.0f : 0.0f;
}

static struct us_value *picture(us_test_sample sample, bool matte) {
    struct us_image *image = us_test_image(window, window);
    if (matte) {
        us_test_channel(image, "matte.A", US_HALF, sample, 0);
        return us_value_from_image(image);
    }
    us_test_channel(image, "R", US_FLOAT, sample, 0);
    us_test_channel(image, "G", US_FLOAT, sample, 1);
    us_test_channel(image, "B", US_FLOAT, sample, 2);
    return us_value_from_image(image);
}

static void connect(struct us_task *task, const char *port, us_test_sample sample, float error) {
    error_now = error;
    for (frame_now = 0; frame_now < FRAMES; frame_now++) {
        us_fake_input(task, port, 0, (struct us_frame){0, 1001 + frame_now},
                      picture(sample, strcmp(port, "matte") == 0));
    }
}

static struct us_task *begin(us_test_sample sample, float error, const char *space) {
    struct us_task *task = us_fake_create(&us_node_compare);
    connect(task, "image", sample, error);
    connect(task, "reference", clean, 0);
    us_fake_text(task, "space", space);
    return task;
}

/* The JSON object on line `index`; -1 is the last. */
static json_t *line(struct us_task *task, int index) {
    const struct us_value *value = us_fake_output(task, "metrics");
    const char *text = (const char *)value->bytes, *end = text + value->size;
    json_t *object = NULL;
    for (int i = 0; text < end; i++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        assert_non_null(stop);
        if (i == index || (index < 0 && stop + 1 == end)) {
            object = json_loadb(text, (size_t)(stop - text), 0, NULL);
        }
        text = stop + 1;
    }
    assert_non_null(object);
    return object;
}

static double number(json_t *object, const char *part, const char *name) {
    json_t *value = json_object_get(part ? json_object_get(object, part) : object, name);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static void equal_images_are_equal(void **state) {
    (void)state;
    struct us_task *task = begin(clean, 0, "display");
    ASSERT_OK(us_fake_run(task));
    json_t *summary = line(task, -1);
    assert_string_equal(json_string_value(json_object_get(summary, "event")), "summary");
    ASSERT_NEAR(number(summary, "whole", "psnr"), 120.0, 0.0);
    ASSERT_NEAR(number(summary, "whole", "ssim"), 1.0, 1e-5);
    ASSERT_NEAR(number(summary, "whole", "flicker"), 0.0, 0.0);
    ASSERT_NEAR(number(summary, NULL, "frames"), FRAMES, 0.0);
    assert_null(json_object_get(summary, "inside"));
    json_decref(summary);
    us_fake_destroy(task);
}

static void decibels_are_right(void **state) {
    (void)state;
    struct us_task *task = begin(wrong_inside, 0.1f, "as_is");
    connect(task, "matte", matte_sample, 0);
    connect(task, "baseline", wrong_inside, 0.2f);
    ASSERT_OK(us_fake_run(task));
    json_t *summary = line(task, -1), *third = line(task, 2);
    double share = 16.0 * 12 / (32 * 24);
    ASSERT_NEAR(number(summary, "inside", "psnr"), 20.0, 1e-4);
    ASSERT_NEAR(number(third, "inside", "psnr"), 20.0, 1e-4);
    ASSERT_NEAR(number(third, NULL, "frame"), 1003, 0.0);
    ASSERT_NEAR(number(summary, "whole", "psnr"), 20.0 - 10.0 * log10(share), 1e-4);
    ASSERT_NEAR(number(summary, "inside", "gain_db"), 20.0 * log10(2.0), 1e-3);
    ASSERT_NEAR(number(summary, "outside", "differing"), 0, 0.0);
    ASSERT_NEAR(number(summary, "inside", "flicker"), 0, 1e-7);
    assert_non_null(strstr(us_fake_status(task), "PSNR 20.00 dB"));
    assert_non_null(strstr(us_fake_status(task), "6.02 dB better than the baseline"));
    json_decref(summary);
    json_decref(third);
    us_fake_destroy(task);
}

static void flicker_is_change_of_the_difference(void **state) {
    (void)state;
    struct us_task *task = begin(wrong_by_turns, 0.1f, "as_is");
    connect(task, "matte", matte_sample, 0);
    ASSERT_OK(us_fake_run(task));
    json_t *summary = line(task, -1), *first = line(task, 0);
    ASSERT_NEAR(number(summary, "inside", "flicker"), 0.2, 1e-5);
    ASSERT_NEAR(number(summary, "outside", "flicker"), 0.0, 1e-7);
    assert_true(isnan(number(first, "inside", "flicker")));
    json_decref(summary);
    json_decref(first);
    us_fake_destroy(task);
}

static float one_bit(int x, int y, int c) {
    float value = clean(x, y, c);
    return x == 26 && y == 3 && c == 1 ? nextafterf(value, 1.0f) : value;
}

static void single_bits_outside_are_seen(void **state) {
    (void)state;
    struct us_task *task = begin(one_bit, 0, "display");
    connect(task, "matte", matte_sample, 0);
    ASSERT_OK(us_fake_run(task));
    json_t *summary = line(task, -1);
    ASSERT_NEAR(number(summary, "outside", "differing"), FRAMES, 0.0);
    assert_true(number(summary, "outside", "largest") > 0.0);
    json_decref(summary);
    us_fake_number(task, "at_most.differing", 0);
    ASSERT_ERROR(us_fake_run(task), "6 pixels outside the matte differ, at most 0 may");
    us_fake_destroy(task);
}

static void limits_fail_the_task(void **state) {
    (void)state;
    struct us_task *task = begin(wrong_inside, 0.1f, "as_is");
    connect(task, "matte", matte_sample, 0);
    us_fake_number(task, "at_least.psnr", 19.9);
    ASSERT_OK(us_fake_run(task));
    us_fake_number(task, "at_least.psnr", 21);
    ASSERT_ERROR(us_fake_run(task), "PSNR is 20 dB, at least 21 dB is asked for");
    us_fake_number(task, "at_least.psnr", 0);
    us_fake_number(task, "at_least.gain_db", 3);
    ASSERT_ERROR(us_fake_run(task), "gain over the baseline could not be measured, at least 3 dB");
    us_fake_destroy(task);
}

static void frames_and_windows_must_match(void **state) {
    (void)state;
    struct us_task *task = us_fake_create(&us_node_compare);
    connect(task, "image", clean, 0);
    for (frame_now = 0; frame_now < 2; frame_now++) {
        us_fake_input(task, "reference", 0, (struct us_frame){0, 1001 + frame_now},
                      picture(clean, false));
    }
    ASSERT_ERROR(us_fake_run(task), "reference has no frame 1003");
    us_fake_destroy(task);
    task = us_fake_create(&us_node_compare);
    connect(task, "image", clean, 0);
    struct us_image *small = us_test_image((struct us_window){0, 0, 7, 7}, window);
    us_fake_input(task, "reference", 0, (struct us_frame){0, 0}, us_value_from_image(small));
    ASSERT_ERROR(us_fake_run(task), "the image's data window is (-4, 2)-(27, 25), but reference@0 "
                                    "(0, 0)-(7, 7)");
    us_fake_destroy(task);
}

static struct us_value *face(double mouth, double eyes, double shift) {
    struct us_faces faces = {0};
    struct us_face *one = us_faces_add(&faces);
    one->score = 0.9;
    memcpy(one->box, (double[4]){10, 10, 90, 110}, sizeof one->box);
    one->landmark_count = 468;
    for (int i = 0; i < 468; i++) {
        one->landmarks[i][0] = 10 + i % 40 + shift;
        one->landmarks[i][1] = 10 + i / 40;
    }
    one->landmarks[33][0] = 20 + shift;
    one->landmarks[263][0] = 70 + shift;
    one->landmarks[33][1] = one->landmarks[263][1] = 40;
    one->mouth_open = mouth;
    one->eye_open_left = one->eye_open_right = eyes;
    struct us_value *value = us_faces_write(&faces);
    us_faces_finish(&faces);
    return value;
}

static struct us_value *openings(double mouth) {
    struct us_str text = {0};
    us_str_printf(&text,
                  "{\"understudy\": \"faces\", \"version\": 1, \"faces\": [{\"score\": 1, \"box\": "
                  "[10, 10, 90, 110], \"mouth_open\": %.3f, \"eye_open_left\": 0.25, "
                  "\"eye_open_right\": 0.25}]}",
                  mouth);
    size_t size = text.length;
    return us_value_from_bytes(US_FACES, (uint8_t *)us_str_take(&text), size);
}

/* Ground truth may say openings without the mesh; eyes that do not move correlate with nothing. */
static void openings_need_no_mesh(void **state) {
    (void)state;
    struct us_task *task = begin(clean, 0, "display");
    for (int i = 0; i < FRAMES; i++) {
        struct us_frame at = {0, 1001 + i};
        us_fake_input(task, "faces", 0, at, openings(0.1 * i));
        us_fake_input(task, "reference_faces", 0, at, openings(0.05 * i));
    }
    ASSERT_OK(us_fake_run(task));
    json_t *summary = line(task, -1);
    ASSERT_NEAR(number(summary, "faces", "mouth_correlation"), 1.0, 1e-3);
    assert_true(isnan(number(summary, "faces", "eye_correlation")));
    assert_true(isnan(number(summary, "faces", "nme")));
    json_decref(summary);
    us_fake_destroy(task);
}

static void faces_are_correlated(void **state) {
    (void)state;
    struct us_task *task = begin(clean, 0, "display");
    for (int i = 0; i < FRAMES; i++) {
        double mouth = 0.3 + 0.2 * sin(i * 1.3), eyes = 0.2 + 0.1 * cos(i * 2.1);
        struct us_frame at = {0, 1001 + i};
        us_fake_input(task, "faces", 0, at, face(0.1 + 0.5 * mouth, 0.5 - eyes, 2.5));
        us_fake_input(task, "reference_faces", 0, at, face(mouth, eyes, 0));
    }
    ASSERT_OK(us_fake_run(task));
    json_t *summary = line(task, -1);
    ASSERT_NEAR(number(summary, "faces", "mouth_correlation"), 1.0, 1e-3);
    ASSERT_NEAR(number(summary, "faces", "eye_correlation"), -1.0, 1e-3);
    ASSERT_NEAR(number(summary, "faces", "nme"), 2.5 / 50, 1e-4);
    ASSERT_NEAR(number(summary, "faces", "frames"), FRAMES, 0.0);
    json_decref(summary);
    us_fake_number(task, "at_least.eyes", 0.7);
    ASSERT_ERROR(us_fake_run(task), "correlation of eye openings is -1, at least 0.7");
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(equal_images_are_equal),
                                       cmocka_unit_test(decibels_are_right),
                                       cmocka_unit_test(flicker_is_change_of_the_difference),
                                       cmocka_unit_test(single_bits_outside_are_seen),
                                       cmocka_unit_test(limits_fail_the_task),
                                       cmocka_unit_test(frames_and_windows_must_match),
                                       cmocka_unit_test(openings_need_no_mesh),
                                       cmocka_unit_test(faces_are_correlated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
