#include "tests/support/check.h"
#include "tests/support/face_fixture.h"
#include "tests/support/fake_task.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nodes/face/crop_info.h"
#include "nodes/face/mean_face.h"

extern const struct us_node_type us_node_face_track;

enum { FIRST = 1001, FRAMES = 9 };
static struct us_faces sequence[FRAMES];

/* A face of a size, its unit square's corner at x, y. */
static struct us_face *add(int frame, double x, double y, double size) {
    const double to_plate[6] = {size, 0, x, 0, size, y};
    struct us_face *face = us_test_face_add(&sequence[frame], to_plate);
    us_face_fit(face);
    return face;
}

static void clear(void) {
    for (int i = 0; i < FRAMES; i++) {
        us_faces_finish(&sequence[i]);
    }
}

static struct us_task *track_task(int index, int window) {
    struct us_task *task = us_fake_create(&us_node_face_track);
    us_fake_frame(task, (struct us_frame){0, FIRST + index});
    us_fake_number(task, "window", window);
    for (int i = index - window; i <= index + window; i++) {
        if (i >= 0 && i < FRAMES) {
            us_fake_input(task, "faces", 0, (struct us_frame){0, FIRST + i},
                          us_faces_write(&sequence[i]));
        }
    }
    us_fake_number(task, "fill", 1);
    return task;
}

static struct us_faces finish(struct us_task *task) {
    struct us_faces faces;
    ASSERT_OK(us_fake_run(task));
    struct us_value *value = us_fake_output(task, "faces");
    ASSERT_OK(us_faces_read(value->bytes, value->size, &faces));
    us_fake_destroy(task);
    return faces;
}

/* Where a face's matrix puts the mean face's middle and how large. */
static void place_of(const struct us_face *face, double *x, double *y, double *size) {
    double inverse[6];
    assert_true(us_affine_invert(face->matrix, inverse));
    us_affine_apply(inverse, .490127, .5, x, y);
    *size = hypot(inverse[0], inverse[3]);
}

static void numbers_stay_when_another_face_is_lost(void **state) {
    (void)state;
    for (int i = 0; i < FRAMES; i++) {
        if (i != 4) {
            add(i, 100 + 2 * i, 50, 60); /* left and larger */
        }
        add(i, 300 - i, 60, 50);
    }
    for (int by_left = 0; by_left < 2; by_left++) {
        for (int fill = 0; fill < 2; fill++) {
            struct us_task *task = track_task(4, 2);
            us_fake_text(task, "order", by_left ? "left" : "size");
            us_fake_number(task, "fill", fill);
            struct us_faces faces = finish(task);
            assert_int_equal(faces.count, 1 + fill);
            assert_int_equal(faces.items[fill].track, 1);
            double x, y, size;
            place_of(&faces.items[fill], &x, &y, &size);
            ASSERT_NEAR(x, 296 + .490127 * 50, 1e-4);
            us_faces_finish(&faces);
        }
    }
    clear();
}

static void a_gap_is_filled_from_both_sides(void **state) {
    (void)state;
    for (int i = 0; i < FRAMES; i++) {
        if (i != 4 && i < 7) {
            add(i, 100 + 3 * i, 50 - i, 60 + i);
        }
    }
    struct us_faces faces = finish(track_task(4, 2));
    assert_int_equal(faces.count, 1);
    assert_string_equal(faces.items[0].source[US_PART_BOX], "");
    double x, y, size;
    place_of(&faces.items[0], &x, &y, &size);
    ASSERT_NEAR(x, 112 + .490127 * 64, .02);
    ASSERT_NEAR(size, 64, 1e-3);
    ASSERT_NEAR(faces.items[0].landmarks[33][0], 112 + .121737 * 64, 1e-3);
    us_faces_finish(&faces);
    faces = finish(track_task(7, 2)); /* nothing after it: no guess */
    assert_int_equal(faces.count, 0);
    us_faces_finish(&faces);
    clear();
}

static double wobble(int i) {
    static const double values[FRAMES] = {.6, -.8, .5, .9, -.7, .2, -.9, .8, -.3};
    return values[i];
}

static void noise_is_smoothed_and_motion_is_not_delayed(void **state) {
    (void)state;
    for (int i = 0; i < FRAMES; i++) {
        double still = 100 + 6 * i + .8 * i * i; /* accelerates */
        add(i, still + wobble(i), 50, 60);
    }
    double own = 0, smoothed = 0, x, y, size;
    for (int i = 2; i < FRAMES - 2; i++) {
        struct us_faces faces = finish(track_task(i, 2));
        double truth = 100 + 6 * i + .8 * i * i + .490127 * 60;
        place_of(&faces.items[0], &x, &y, &size);
        smoothed += (x - truth) * (x - truth);
        own += wobble(i) * wobble(i);
        us_faces_finish(&faces);
    }
    assert_true(smoothed < .6 * own);
    clear();
    for (int i = 0; i < FRAMES; i++) {
        add(i, 100 + 6 * i + .8 * i * i, 50, 60);
    }
    struct us_faces faces = finish(track_task(4, 3));
    place_of(&faces.items[0], &x, &y, &size);
    ASSERT_NEAR(x, 100 + 24 + 12.8 + .490127 * 60, 1e-3);
    ASSERT_NEAR(size, 60, 1e-3);
    us_faces_finish(&faces);
    clear();
}

static void openings_stay_as_measured(void **state) {
    (void)state;
    for (int i = 0; i < FRAMES; i++) {
        add(i, 100, 50, 60)->mouth_open = i == 4 ? .5 : 0;
    }
    struct us_task *task = track_task(4, 2);
    us_fake_number(task, "smooth_landmarks", 1);
    struct us_faces faces = finish(task);
    ASSERT_NEAR(faces.items[0].mouth_open, .5, 1e-9);
    us_faces_finish(&faces);
    clear();
}

static void an_artists_matrix_and_strength_0_change_nothing(void **state) {
    (void)state;
    for (int artist = 0; artist < 2; artist++) {
        for (int i = 0; i < FRAMES; i++) {
            struct us_face *face = add(i, 100 + 5 * wobble(i), 50, 60);
            if (artist) {
                snprintf(face->source[US_PART_MATRIX], 16, "artist");
            }
        }
        struct us_task *task = track_task(4, 2);
        us_fake_number(task, "smooth", artist);
        us_fake_number(task, "smooth_landmarks", 0);
        struct us_faces faces = finish(task);
        for (int i = 0; i < 6; i++) {
            ASSERT_NEAR(faces.items[0].matrix[i], sequence[4].items[0].matrix[i], 1e-11);
        }
        ASSERT_NEAR(faces.items[0].landmarks[33][0], sequence[4].items[0].landmarks[33][0], 1e-4);
        us_faces_finish(&faces);
        clear();
    }
}

static void a_cut_links_nothing(void **state) {
    (void)state;
    for (int i = 0; i < FRAMES; i++) {
        add(i, i < 4 ? 100 : 500, 50, 60);
    }
    struct us_faces faces = finish(track_task(4, 2));
    assert_int_equal(faces.count, 1);
    double x, y, size;
    place_of(&faces.items[0], &x, &y, &size);
    ASSERT_NEAR(x, 500 + .490127 * 60, 1e-4);
    us_faces_finish(&faces);
    clear();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_stay_when_another_face_is_lost),
        cmocka_unit_test(a_gap_is_filled_from_both_sides),
        cmocka_unit_test(noise_is_smoothed_and_motion_is_not_delayed),
        cmocka_unit_test(openings_stay_as_measured),
        cmocka_unit_test(an_artists_matrix_and_strength_0_change_nothing),
        cmocka_unit_test(a_cut_links_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
