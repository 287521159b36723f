#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/registry.h"
#include "runtime/base/mem.h"
#include "tests/support/fake_task.h"

extern const struct us_node_type us_node_synth_plate;

enum { WIDTH = 128, HEIGHT = 96 };

static struct us_task *task_of(const char *identity, const char *other, double seed,
                               int32_t frame) {
    struct us_task *task = us_fake_create(&us_node_synth_plate);
    us_fake_number(task, "width", WIDTH);
    us_fake_number(task, "height", HEIGHT);
    us_fake_number(task, "seed", seed);
    us_fake_text(task, "identity", identity);
    us_fake_text(task, "other", other);
    us_fake_frame(task, (struct us_frame){0, frame});
    return task;
}

static struct us_task *rendered(const char *identity, const char *other, double seed,
                                int32_t frame) {
    struct us_task *task = task_of(identity, other, seed, frame);
    ASSERT_OK(us_fake_run(task));
    return task;
}

static float *plane_of(struct us_task *task, const char *port, const char *channel) {
    float *pixels = us_malloc(sizeof(float) * WIDTH * HEIGHT);
    struct us_view view = {pixels, WIDTH, HEIGHT, WIDTH};
    ASSERT_OK(us_image_read_plane(us_fake_output(task, port)->image, channel, view));
    return pixels;
}

static bool same(struct us_task *a, const char *port_a, struct us_task *b, const char *port_b) {
    return us_digest_equal(&us_fake_output(a, port_a)->digest, &us_fake_output(b, port_b)->digest);
}

static void test_determinism(void **state) {
    (void)state;
    struct us_task *a = rendered("a", "b", 1, 1003), *b = task_of("a", "b", 1, 1003);
    us_fake_threads(b, 7);
    ASSERT_OK(us_fake_run(b));
    const char *const ports[] = {"image", "other", "matte", "landmarks"};
    for (int i = 0; i < 4; i++) {
        assert_true(same(a, ports[i], b, ports[i]));
    }
    struct us_task *later = rendered("a", "b", 1, 1004), *elsewhere = rendered("a", "b", 2, 1003);
    assert_false(same(a, "image", later, "image"));
    assert_false(same(a, "image", elsewhere, "image"));
    us_fake_destroy(a);
    us_fake_destroy(b);
    us_fake_destroy(later);
    us_fake_destroy(elsewhere);
}

/* The truth is a frame that the node would render itself for the other identity. */
static void test_other_is_the_other_plate(void **state) {
    (void)state;
    struct us_task *ab = rendered("a", "b", 5, 1010), *ba = rendered("b", "a", 5, 1010);
    assert_true(same(ab, "image", ba, "other"));
    assert_true(same(ab, "other", ba, "image"));
    assert_false(same(ab, "image", ab, "other"));
    assert_false(same(ab, "landmarks", ba, "landmarks"));
    us_fake_destroy(ab);
    us_fake_destroy(ba);
}

static void test_matte(void **state) {
    (void)state;
    struct us_task *task = rendered("b", "a", 1, 1001);
    float *matte = plane_of(task, "matte", "matte.A");
    double sum = 0.0;
    int soft = 0;
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        assert_true(matte[i] >= 0.0f && matte[i] <= 1.0f);
        sum += (double)matte[i];
        soft += matte[i] > 0.05f && matte[i] < 0.95f;
    }
    double part = sum / (WIDTH * HEIGHT);
    assert_true(part > 0.04 && part < 0.3);
    assert_true(soft > 20);
    us_free(matte);
    us_fake_destroy(task);
}

/* Outside both heads nothing may differ; inside the face much must. */
static void test_difference_of_identities(void **state) {
    (void)state;
    struct us_task *task = rendered("a", "b", 3, 1020);
    float *image = plane_of(task, "image", "G"), *other = plane_of(task, "other", "G");
    float *matte = plane_of(task, "matte", "matte.A");
    double inside = 0.0, weight = 0.0;
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
            int i = y * WIDTH + x;
            bool far = abs(x - WIDTH / 2) > 44 || (y > 92 && abs(x - WIDTH / 2) > 32);
            if (far) {
                assert_memory_equal(&image[i], &other[i], sizeof *image);
            }
            inside += (double)(matte[i] * fabsf(image[i] - other[i]));
            weight += (double)matte[i];
        }
    }
    assert_true(inside / weight > 0.05);
    us_free(image);
    us_free(other);
    us_free(matte);
    us_fake_destroy(task);
}

static float highest(struct us_task *task, const char *port) {
    float *pixels = plane_of(task, port, "R"), peak = 0.0f;
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        assert_true(isfinite(pixels[i]));
        peak = pixels[i] > peak ? pixels[i] : peak;
    }
    us_free(pixels);
    return peak;
}

static void test_highlights_and_exposure(void **state) {
    (void)state;
    struct us_task *task = task_of("a", "b", 1, 1001), *darker = task_of("a", "b", 1, 1001);
    us_fake_number(task, "grain", 0);
    us_fake_number(darker, "grain", 0);
    us_fake_number(darker, "exposure_stops", -1);
    ASSERT_OK(us_fake_run(task));
    ASSERT_OK(us_fake_run(darker));
    float peak = highest(task, "image");
    assert_true(peak > 4.0f && peak < 16.0f);
    ASSERT_NEAR((double)highest(darker, "image"), 0.5 * (double)peak, 0.01);
    us_fake_destroy(task);
    us_fake_destroy(darker);
}

static const char *after(const char *text, const char *name) {
    const char *at = strstr(text, name);
    assert_non_null(at);
    return at + strlen(name);
}

/* Reads the "points68" of the landmarks; returns how many there are. */
static int points_of(struct us_task *task, double (*points)[2]) {
    struct us_value *value = us_fake_output(task, "landmarks");
    char *text = us_strndup((const char *)value->bytes, value->size);
    const char *at = after(text, "\"points68\": [");
    int count = 0;
    while (*at == '[' && count < 68) {
        char *end;
        points[count][0] = strtod(at + 1, &end);
        points[count][1] = strtod(end + 1, &end);
        at = end + 1;
        at += strspn(at, ", ");
        count++;
    }
    us_free(text);
    return count;
}

static void test_landmarks(void **state) {
    (void)state;
    double p[68][2];
    for (int32_t frame = 1001; frame <= 1241; frame += 40) {
        struct us_task *task = rendered("b", "a", 4, frame);
        assert_int_equal(points_of(task, p), 68);
        float *matte = plane_of(task, "matte", "matte.A");
        for (int i = 17; i < 68; i++) {
            assert_true(p[i][0] > 0 && p[i][0] < WIDTH && p[i][1] > 0 && p[i][1] < HEIGHT);
        }
        const int inner[] = {30, 39, 42, 51, 57};
        for (int i = 0; i < 5; i++) {
            int x = (int)p[inner[i]][0], y = (int)p[inner[i]][1];
            assert_true(matte[y * WIDTH + x] > 0.5f);
        }
        assert_true(p[36][0] < p[45][0] && p[27][1] < p[33][1] && p[51][1] < p[57][1]);
        us_free(matte);
        us_fake_destroy(task);
    }
}

static double number_of(struct us_task *task, const char *name) {
    struct us_value *value = us_fake_output(task, "landmarks");
    char *text = us_strndup((const char *)value->bytes, value->size);
    double number = strtod(after(text, name), NULL);
    us_free(text);
    return number;
}

/* Same seed, same performance, whoever plays it; and it does move. */
static void test_performance(void **state) {
    (void)state;
    double low = 1e9, high = -1e9, shut = 1e9, open = -1e9;
    for (int32_t frame = 1001; frame < 1049; frame += 4) {
        struct us_task *a = task_of("a", "b", 6, frame), *b = task_of("b", "a", 6, frame);
        us_fake_number(a, "samples", 1);
        us_fake_number(b, "samples", 1);
        ASSERT_OK(us_fake_run(a));
        ASSERT_OK(us_fake_run(b));
        double yaw = number_of(a, "\"pose\": ["), mouth = number_of(a, "\"mouth_open\": ");
        ASSERT_NEAR(yaw, number_of(b, "\"pose\": ["), 0.0);
        assert_true(fabs(yaw) <= 18.001);
        low = yaw < low ? yaw : low;
        high = yaw > high ? yaw : high;
        shut = mouth < shut ? mouth : shut;
        open = mouth > open ? mouth : open;
        us_fake_destroy(a);
        us_fake_destroy(b);
    }
    assert_true(high - low > 8.0);
    assert_true(shut < 0.08 && open > 0.2);
}

static void test_every_choice_renders(void **state) {
    (void)state;
    const char *const lights[] = {"day", "tungsten", "night", "studio"};
    const char *const people[] = {"a", "b", "c", "d"};
    struct us_digest seen[4];
    for (int i = 0; i < 4; i++) {
        struct us_task *task = task_of(people[i], people[(i + 1) % 4], 1, 1001);
        us_fake_text(task, "light", lights[i]);
        us_fake_number(task, "samples", 1);
        ASSERT_OK(us_fake_run(task));
        assert_true(highest(task, "image") > 0.1f);
        seen[i] = us_fake_output(task, "image")->digest;
        for (int j = 0; j < i; j++) {
            assert_false(us_digest_equal(&seen[i], &seen[j]));
        }
        us_fake_destroy(task);
    }
}

static void test_limits(void **state) {
    (void)state;
    struct us_task *task = task_of("a", "b", 4294967295.0, -12);
    us_fake_number(task, "width", 17);
    us_fake_number(task, "height", 16);
    us_fake_number(task, "face_height", 2.0);
    us_fake_number(task, "focal_mm", 12.0);
    us_fake_number(task, "pose_deg", 60);
    us_fake_number(task, "samples", 3);
    ASSERT_OK(us_fake_run(task));
    us_fake_destroy(task);
}

static void test_cancel(void **state) {
    (void)state;
    struct us_task *task = task_of("a", "b", 1, 1001);
    us_fake_cancel_after(task, 1);
    struct us_error *error = us_fake_run(task);
    assert_true(us_error_is(error, US_CANCELLED));
    us_error_free(error);
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_determinism),
        cmocka_unit_test(test_other_is_the_other_plate),
        cmocka_unit_test(test_matte),
        cmocka_unit_test(test_difference_of_identities),
        cmocka_unit_test(test_highlights_and_exposure),
        cmocka_unit_test(test_landmarks),
        cmocka_unit_test(test_performance),
        cmocka_unit_test(test_every_choice_renders),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
