#include "nodes/face/mean_face.h"
#include "tests/support/check.h"
#include "tests/support/face_fixture.h"
#include "tests/support/fake_task.h"

#include <math.h>
#include <stdio.h>

#include "nodes/face/crop_info.h"

extern const struct us_node_type us_node_face_align;

static const struct us_frame frame = {0, 1001};
static const struct us_window window = {40, 20, 399, 307};

/* A drawn face with its middle between the eyes at 210, 140, and a box for it. */
static struct us_task *align_task(const struct us_faces *faces) {
    struct us_task *task = us_fake_create(&us_node_face_align);
    us_fake_input(task, "image", 0, frame,
                  us_value_from_image(us_test_face_image(window, 210, 140, 55, 1)));
    us_fake_input(task, "faces", 0, frame, us_faces_write(faces));
    return task;
}

static struct us_faces run(struct us_task *task) {
    struct us_faces faces;
    ASSERT_OK(us_fake_run(task));
    struct us_value *value = us_fake_output(task, "faces");
    ASSERT_OK(us_faces_read(value->bytes, value->size, &faces));
    us_fake_destroy(task);
    return faces;
}

static struct us_faces one_box(double x0, double y0, double x1, double y1) {
    struct us_faces faces = {0};
    struct us_face *face = us_faces_add(&faces);
    face->score = .9;
    double box[4] = {x0, y0, x1, y1};
    for (int i = 0; i < 4; i++) {
        face->box[i] = box[i];
    }
    return faces;
}

static void landmarks_lie_on_the_drawn_face(void **state) {
    (void)state;
    us_test_need_weights();
    struct us_faces boxes = one_box(145, 110, 275, 240);
    struct us_task *task = align_task(&boxes);
    us_fake_number(task, "min_presence", 0);
    struct us_faces faces = run(task);
    assert_int_equal(faces.count, 1);
    const struct us_face *face = &faces.items[0];
    assert_int_equal(face->landmark_count, 468);
    double right = (face->landmarks[33][0] + face->landmarks[133][0]) / 2;
    double left = (face->landmarks[263][0] + face->landmarks[362][0]) / 2;
    ASSERT_NEAR(right, 210 - 27.5, 5);
    ASSERT_NEAR(left, 210 + 27.5, 5);
    ASSERT_NEAR(face->landmarks[133][1], 141, 5);
    ASSERT_NEAR(face->landmarks[0][1], 195, 8);
    assert_true(face->has_matrix && face->has_pose);
    ASSERT_NEAR(face->pose[0], 0, 8);
    ASSERT_NEAR(face->pose[2], 0, 4);
    double x, y;
    us_affine_apply(face->matrix, 210, 140, &x, &y);
    ASSERT_NEAR(x, .49, .06);
    ASSERT_NEAR(y, .22, .08);
    us_faces_finish(&faces);
    us_faces_finish(&boxes);
}

static void what_is_no_face_is_dropped_unless_drawn(void **state) {
    (void)state;
    us_test_need_weights();
    struct us_faces boxes = one_box(50, 30, 100, 80);
    struct us_faces none = run(align_task(&boxes));
    assert_int_equal(none.count, 0);
    snprintf(boxes.items[0].source[US_PART_BOX], 16, "artist");
    struct us_faces kept = run(align_task(&boxes));
    assert_int_equal(kept.count, 1);
    us_faces_finish(&none);
    us_faces_finish(&kept);
    us_faces_finish(&boxes);
}

static void an_artists_landmarks_and_matrix_stay(void **state) {
    (void)state;
    us_test_need_weights();
    const double to_plate[6] = {80, -6, 170, 6, 80, 120}, own[6] = {.01, 0, -1, 0, .01, -1};
    struct us_faces drawn = {0};
    struct us_face *face = us_test_face_add(&drawn, to_plate);
    snprintf(face->source[US_PART_LANDMARKS], 16, "artist");
    struct us_faces fitted = run(align_task(&drawn));
    double inverse[6];
    assert_true(us_affine_invert(to_plate, inverse));
    for (int i = 0; i < 6; i++) {
        ASSERT_NEAR(fitted.items[0].matrix[i], inverse[i], 1e-5);
        drawn.items[0].matrix[i] = own[i];
    }
    assert_string_equal(fitted.items[0].source[US_PART_MATRIX], "artist");
    drawn.items[0].has_matrix = true;
    snprintf(drawn.items[0].source[US_PART_MATRIX], 16, "artist");
    struct us_faces kept = run(align_task(&drawn));
    for (int i = 0; i < 6; i++) {
        ASSERT_NEAR(kept.items[0].matrix[i], own[i], 1e-12);
    }
    us_faces_finish(&fitted);
    us_faces_finish(&kept);
    us_faces_finish(&drawn);
}

static void pose_follows_a_turned_head(void **state) {
    (void)state;
    const double to_plate[6] = {100, 0, 50, 0, 100, 50}, degrees = 180 / acos(-1.0);
    for (int turn = -40; turn <= 40; turn += 20) {
        struct us_faces faces = {0};
        struct us_face *face = us_test_face_add(&faces, to_plate);
        face->landmarks[10][0] = face->landmarks[2][0]; /* a straight middle line */
        double angle = turn / degrees, middle = 50 + 49.0127;
        for (int i = 0; i < 468; i++) {
            double *p = face->landmarks[i], across = p[0] - middle;
            p[0] = middle + across * cos(angle);
            p[2] = across * sin(angle);
        }
        us_face_pose(face);
        assert_true(face->has_pose);
        ASSERT_NEAR(fabs(face->pose[0]), fabs((double)turn), 1e-6);
        ASSERT_NEAR(face->pose[2], 0, 1e-6);
        us_faces_finish(&faces);
    }
}

static void openings_are_distances_over_widths(void **state) {
    (void)state;
    const double to_plate[6] = {100, 0, 0, 0, 100, 0};
    struct us_faces faces = {0};
    struct us_face *face = us_test_face_add(&faces, to_plate);
    static const int upper[] = {82, 13, 312}, lower[] = {87, 14, 317};
    for (int i = 0; i < 3; i++) {
        for (int d = 0; d < 3; d++) {
            face->landmarks[lower[i]][d] = face->landmarks[upper[i]][d] + (d == 1 ? 8 : 0);
        }
    }
    double width = face->landmarks[308][0] - face->landmarks[78][0];
    us_face_measure(face);
    ASSERT_NEAR(face->mouth_open, 8 / width, 1e-12);
    us_faces_finish(&faces);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(landmarks_lie_on_the_drawn_face),
        cmocka_unit_test(what_is_no_face_is_dropped_unless_drawn),
        cmocka_unit_test(an_artists_landmarks_and_matrix_stay),
        cmocka_unit_test(pose_follows_a_turned_head),
        cmocka_unit_test(openings_are_distances_over_widths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
