#include "nodes/face/crop_geometry.h"
#include "nodes/face/crop_info.h"
#include "tests/support/check.h"
#include "tests/support/face_fixture.h"
#include "tests/support/fake_task.h"

#include <math.h>
#include <string.h>

#include "kernels/encoding.h"

extern const struct us_node_type us_node_face_crop;

static const struct us_frame frame = {0, 1001};
static const struct us_window window = {300, -50, 619, 205};
static const double unit_to_plate[6] = {90, -12, 420, 12, 90, 30};

/* Every channel is a plane through the plate: value = offset + gradient . position. */
static double plane_at(int channel, double x, double y) {
    static const double slopes[3][3] = {{.5, .002, .001}, {2.0, -.003, .004}, {-.1, .0005, -.0007}};
    return slopes[channel][0] + slopes[channel][1] * (x - 460) + slopes[channel][2] * (y - 75);
}

static struct us_image *sloped_plate(void) {
    static const char *const names[] = {"R", "G", "B"};
    struct us_image *image = us_image_create(window, (struct us_window){0, 0, 959, 539});
    struct us_channel *channel;
    for (int c = 0; c < 3; c++) {
        ASSERT_OK(us_image_add_channel(image, names[c], US_FLOAT, &channel));
    }
    for (int c = 0; c < 3; c++) {
        float *data = us_image_channel(image, names[c])->data;
        for (int32_t i = 0; i < 320 * 256; i++) {
            data[i] = (float)plane_at(c, window.x_min + i % 320 + .5, window.y_min + i / 320 + .5);
        }
    }
    return image;
}

static struct us_faces one_face(bool with_matrix) {
    struct us_faces faces = {0};
    struct us_face *face = us_test_face_add(&faces, unit_to_plate);
    face->has_matrix = with_matrix;
    assert_true(us_affine_invert(unit_to_plate, face->matrix));
    face->has_pose = true;
    face->pose[0] = 12.5;
    return faces;
}

static struct us_task *crop_task(const char *coverage, const char *encoding) {
    struct us_task *task = us_fake_create(&us_node_face_crop);
    us_fake_text(task, "coverage", coverage);
    us_fake_text(task, "encoding", encoding);
    us_fake_number(task, "size", 96);
    us_fake_input(task, "image", 0, frame, us_value_from_image(sloped_plate()));
    return task;
}

static void give_faces(struct us_task *task, int32_t number, const struct us_faces *faces) {
    us_fake_input(task, "faces", 0, (struct us_frame){0, number}, us_faces_write(faces));
}

/* Through the inverse matrix every pixel of the crop shows the plate's light at its very place. */
static void pixels_map_back_exactly(void **state) {
    (void)state;
    static const char *const coverages[] = {"half", "full", "whole"};
    for (int i = 0; i < 3; i++) {
        struct us_task *task = crop_task(coverages[i], "linear");
        us_fake_number(task, "size", 256); /* enlarges: the filter is exact on a slope */
        struct us_faces faces = one_face(true);
        give_faces(task, 1001, &faces);
        ASSERT_OK(us_fake_run(task));
        struct us_image *crop = us_fake_output(task, "crop")->image;
        struct us_crop_info info;
        double inverse[6], x, y;
        ASSERT_OK(us_crop_info_read(crop, &info));
        assert_true(info.found && us_affine_invert(info.matrix, inverse));
        const float *green = us_image_channel(crop, "G")->data;
        const float *blue = us_image_channel(crop, "B")->data;
        for (int p = 0; p < 256 * 256; p += 97) {
            us_affine_apply(inverse, p % 256 + .5, p / 256 + .5, &x, &y);
            ASSERT_NEAR((double)green[p], plane_at(1, x, y), 2e-5);
            ASSERT_NEAR((double)blue[p], plane_at(2, x, y), 2e-5);
        }
        assert_true(us_window_equal(&info.plate_data_window, &window));
        ASSERT_NEAR((double)info.yaw, 12.5, 1e-6);
        us_crop_info_finish(&info);
        us_faces_finish(&faces);
        us_fake_destroy(task);
    }
}

static void coverage_sets_the_side(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double factor, up;
    } cases[] = {{"half", 1, 0}, {"full", 1.597, 0}, {"whole", 2.131, .07}, {"head", 2.98, .5}};
    const double unit[6] = {1, 0, 0, 0, 1, 0};
    for (int i = 0; i < 4; i++) {
        double map[6], x, y;
        us_crop_map(unit, cases[i].name, 200, map);
        ASSERT_NEAR(map[0], 200 / cases[i].factor, 1e-9);
        us_affine_apply(map, .490127, .5 - cases[i].up, &x, &y);
        ASSERT_NEAR(x, 100, 1e-9);
        ASSERT_NEAR(y, 100, 1e-9);
    }
}

static void landmarks_and_matte_agree(void **state) {
    (void)state;
    struct us_task *task = crop_task("whole", "log");
    struct us_faces faces = one_face(true);
    give_faces(task, 1001, &faces);
    ASSERT_OK(us_fake_run(task));
    struct us_image *crop = us_fake_output(task, "crop")->image;
    struct us_crop_info info;
    ASSERT_OK(us_crop_info_read(crop, &info));
    assert_int_equal(info.landmark_count, 468);
    double x, y;
    us_affine_apply(info.matrix, faces.items[0].landmarks[33][0], faces.items[0].landmarks[33][1],
                    &x, &y);
    ASSERT_NEAR((double)info.landmarks[66], x, 1e-2);
    ASSERT_NEAR((double)info.landmarks[67], y, 1e-2);
    const float *matte = us_image_channel(crop, "matte.A")->data;
    ASSERT_NEAR((double)matte[0], 0, 0);
    ASSERT_NEAR((double)matte[48 * 96 + 48], 1, 0);
    int soft = 0;
    for (int i = 0; i < 96 * 96; i++) {
        assert_true(matte[i] >= 0 && matte[i] <= 1);
        soft += matte[i] > 0 && matte[i] < 1;
    }
    assert_true(soft > 60);
    us_crop_info_finish(&info);
    us_faces_finish(&faces);
    us_fake_destroy(task);
}

static void log_encoding_is_the_kernels(void **state) {
    (void)state;
    struct us_faces faces = one_face(true);
    const float *planes[2];
    struct us_task *tasks[2] = {crop_task("full", "linear"), crop_task("full", "log")};
    for (int i = 0; i < 2; i++) {
        give_faces(tasks[i], 1001, &faces);
        ASSERT_OK(us_fake_run(tasks[i]));
        planes[i] = us_image_channel(us_fake_output(tasks[i], "crop")->image, "G")->data;
    }
    for (int i = 0; i < 96 * 96; i += 11) {
        float encoded;
        us_log_encode(&planes[0][i], &encoded, 1);
        ASSERT_NEAR((double)planes[1][i], (double)encoded, 0);
    }
    us_fake_destroy(tasks[0]);
    us_fake_destroy(tasks[1]);
    us_faces_finish(&faces);
}

static void a_missing_face_follows_the_policy(void **state) {
    (void)state;
    struct us_faces none = {0}, faces = one_face(true);
    struct us_task *task = crop_task("whole", "log");
    give_faces(task, 1001, &none);
    ASSERT_ERROR(us_fake_run(task), "no face in frame 1001");
    us_fake_destroy(task);

    task = crop_task("whole", "log");
    us_fake_text(task, "on_missing", "plate");
    give_faces(task, 1001, &none);
    ASSERT_OK(us_fake_run(task));
    struct us_crop_info info;
    struct us_image *crop = us_fake_output(task, "crop")->image;
    ASSERT_OK(us_crop_info_read(crop, &info));
    assert_false(info.found);
    const float *matte = us_image_channel(crop, "matte.A")->data;
    for (int i = 0; i < 96 * 96; i++) {
        assert_true(matte[i] == 0.0f);
    }
    us_crop_info_finish(&info);
    us_fake_destroy(task);

    for (int reach = 1; reach <= 2; reach++) {
        task = crop_task("whole", "log");
        us_fake_text(task, "on_missing", "hold");
        us_fake_number(task, "hold_frames", reach);
        give_faces(task, 1000, &none);
        give_faces(task, 1001, &none);
        give_faces(task, 1003, &faces);
        if (reach == 1) {
            ASSERT_ERROR(us_fake_run(task), "no face in frame 1001, nor within 1 frames of it");
        } else {
            ASSERT_OK(us_fake_run(task));
        }
        us_fake_destroy(task);
    }
    /* 2^32 - 2 away, which is 2 in 32 bits */
    task = crop_task("whole", "log");
    us_fake_text(task, "on_missing", "hold");
    us_fake_frame(task, (struct us_frame){0, INT32_MAX});
    give_faces(task, -INT32_MAX, &faces);
    give_faces(task, INT32_MAX, &none);
    ASSERT_ERROR(us_fake_run(task), "no face in frame 2147483647, nor within 12 frames of it");
    us_fake_destroy(task);
    us_faces_finish(&faces);
}

static void tracks_choose_the_face(void **state) {
    (void)state;
    struct us_faces faces = one_face(true);
    const double other[6] = {60, 0, 340, 0, 60, 10};
    struct us_face *face = us_test_face_add(&faces, other);
    face->has_matrix = true;
    assert_true(us_affine_invert(other, face->matrix));
    faces.items[0].track = 1;
    faces.items[1].track = 0;
    struct us_task *task = crop_task("half", "log");
    give_faces(task, 1001, &faces);
    ASSERT_OK(us_fake_run(task));
    struct us_crop_info info;
    ASSERT_OK(us_crop_info_read(us_fake_output(task, "crop")->image, &info));
    ASSERT_NEAR(info.matrix[0], 96 / 60.0, 1e-8);
    us_crop_info_finish(&info);
    us_fake_destroy(task);
    task = crop_task("half", "log");
    us_fake_number(task, "track", 2);
    give_faces(task, 1001, &faces);
    ASSERT_ERROR(us_fake_run(task), "no face in frame 1001");
    us_fake_destroy(task);
    us_faces_finish(&faces);
}

static void a_face_without_matrix_is_refused(void **state) {
    (void)state;
    struct us_faces faces = one_face(false);
    struct us_task *task = crop_task("whole", "log");
    give_faces(task, 1001, &faces);
    ASSERT_ERROR(us_fake_run(task), "put face_align before face_crop");
    us_fake_destroy(task);
    us_faces_finish(&faces);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_map_back_exactly),
        cmocka_unit_test(coverage_sets_the_side),
        cmocka_unit_test(landmarks_and_matte_agree),
        cmocka_unit_test(log_encoding_is_the_kernels),
        cmocka_unit_test(a_missing_face_follows_the_policy),
        cmocka_unit_test(tracks_choose_the_face),
        cmocka_unit_test(a_face_without_matrix_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
