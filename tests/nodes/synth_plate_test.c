#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/io/synth/truth.h"
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

static struct us_face face_of(struct us_task *task) {
    struct us_value *value = us_fake_output(task, "landmarks");
    struct us_faces faces = {0};
    ASSERT_OK(us_faces_read(value->bytes, value->size, &faces));
    assert_int_equal(faces.count, 1);
    struct us_face face = faces.items[0];
    us_faces_finish(&faces);
    return face;
}

/* FaceMesh's corners of the eyes, tip of the nose, lips, chin. */
static void test_landmarks(void **state) {
    (void)state;
    for (int32_t frame = 1001; frame <= 1121; frame += 20) {
        struct us_task *task = rendered("b", "a", 4, frame);
        struct us_face face = face_of(task);
        assert_int_equal(face.landmark_count, 468);
        assert_true(face.has_matrix && face.has_pose);
        float *matte = plane_of(task, "matte", "matte.A");
        const int inner[] = {133, 362, 1, 0, 17, 61, 291};
        for (int i = 0; i < 7; i++) {
            int x = (int)face.landmarks[inner[i]][0], y = (int)face.landmarks[inner[i]][1];
            assert_true(matte[y * WIDTH + x] > 0.5f);
        }
        double(*p)[3] = face.landmarks;
        assert_true(p[33][0] < p[133][0] && p[133][0] < p[362][0] && p[362][0] < p[263][0]);
        assert_true(p[168][1] < p[1][1] && p[1][1] < p[0][1] && p[0][1] < p[17][1]);
        assert_true(p[17][1] < p[152][1] && p[13][1] <= p[14][1] + 0.2);
        for (int i = 0; i < 468; i++) {
            assert_true(p[i][0] > 0 && p[i][0] < WIDTH && p[i][1] > 0 && p[i][1] < HEIGHT);
        }
        us_free(matte);
        us_fake_destroy(task);
    }
}

/* Same seed, same performance, whoever plays it; and it does move. */
static void test_performance(void **state) {
    (void)state;
    double low[3] = {1e9, 1e9, 1e9}, high[3] = {-1e9, -1e9, -1e9};
    for (int32_t frame = 1001; frame < 1121; frame += 2) {
        struct synth_shot shot = {.identity = synth_identity_find("a"),
                                  .motion = {6u, (float)frame, 18.0f, 1.0f},
                                  .focal_mm = 65.0f,
                                  .face_height = 0.6f};
        struct us_faces faces = {0};
        synth_truth_face(&shot, WIDTH, HEIGHT, &faces);
        shot.identity = synth_identity_find("b");
        synth_truth_face(&shot, WIDTH, HEIGHT, &faces);
        const struct us_face *a = &faces.items[0], *b = &faces.items[1];
        assert_memory_equal(a->pose, b->pose, sizeof a->pose);
        assert_memory_not_equal(a->landmarks, b->landmarks, sizeof a->landmarks);
        const double values[3] = {a->pose[0], a->mouth_open, b->eye_open_left};
        for (int i = 0; i < 3; i++) {
            low[i] = values[i] < low[i] ? values[i] : low[i];
            high[i] = values[i] > high[i] ? values[i] : high[i];
        }
        us_faces_finish(&faces);
    }
    assert_true(high[0] - low[0] > 15.0 && low[0] >= -18.01 && high[0] <= 18.01);
    assert_true(low[1] < 0.08 && high[1] > 0.25);
    assert_true(low[2] < 0.20 && high[2] > 0.40);
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
