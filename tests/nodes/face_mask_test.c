#include "nodes/face/crop_info.h"
#include "tests/support/check.h"
#include "tests/support/face_fixture.h"
#include "tests/support/fake_task.h"

#include <stdio.h>

#include "nodes/face/mean_face.h"
#include "runtime/base/mem.h"

extern const struct us_node_type us_node_face_mask;

static const struct us_frame frame = {0, 1001};
static const struct us_window window = {200, 100, 359, 259};
static const double to_plate[6] = {70, 0, 245, 0, 70, 145};

static struct us_image *plate(void) {
    return us_image_create(window, (struct us_window){0, 0, 639, 479});
}

/* A crop whose landmarks are the plate's, shifted by the window's corner. */
static struct us_image *crop(bool found) {
    struct us_faces faces = {0};
    struct us_face *face = us_test_face_add(&faces, to_plate);
    struct us_image *image =
        us_image_create((struct us_window){0, 0, 159, 159}, (struct us_window){0, 0, 159, 159});
    struct us_crop_info info = {.found = found, .matrix = {1, 0, -200, 0, 1, -100}};
    snprintf(info.encoding, sizeof info.encoding, "log");
    snprintf(info.coverage, sizeof info.coverage, "whole");
    info.landmark_count = found ? 468 : 0;
    info.landmarks = us_calloc(2 * 468, sizeof(float));
    for (int i = 0; i < 468; i++) {
        info.landmarks[2 * i] = (float)(face->landmarks[i][0] - window.x_min);
        info.landmarks[2 * i + 1] = (float)(face->landmarks[i][1] - window.y_min);
    }
    us_crop_info_write(image, &info);
    us_crop_info_finish(&info);
    us_faces_finish(&faces);
    return image;
}

static struct us_task *mask_task(struct us_image *image, bool with_faces, const char *region) {
    struct us_task *task = us_fake_create(&us_node_face_mask);
    us_fake_text(task, "region", region);
    us_fake_input(task, "image", 0, frame, us_value_from_image(image));
    if (with_faces) {
        struct us_faces faces = {0};
        us_test_face_add(&faces, to_plate);
        us_fake_input(task, "faces", 0, frame, us_faces_write(&faces));
        us_faces_finish(&faces);
    }
    return task;
}

static const float *matte_of(struct us_task *task) {
    ASSERT_OK(us_fake_run(task));
    return us_image_channel(us_fake_output(task, "matte")->image, "matte.A")->data;
}

static double area(const float *matte) {
    double sum = 0;
    for (int i = 0; i < 160 * 160; i++) {
        assert_true(matte[i] >= 0 && matte[i] <= 1.000001f);
        sum += (double)matte[i];
    }
    return sum;
}

/* At unit-square coordinates of the face. */
static double at(const float *matte, double u, double v) {
    double x, y;
    us_affine_apply(to_plate, u, v, &x, &y);
    return (double)matte[((int)y - window.y_min) * 160 + (int)x - window.x_min];
}

static void a_crop_and_the_plate_give_the_same_matte(void **state) {
    (void)state;
    static const char *const regions[] = {"face", "eyes", "mouth", "skin"};
    for (int r = 0; r < 4; r++) {
        struct us_task *a = mask_task(crop(true), false, regions[r]);
        struct us_task *b = mask_task(plate(), true, regions[r]);
        const float *from_crop = matte_of(a), *from_plate = matte_of(b);
        assert_true(area(from_crop) > 20);
        for (int i = 0; i < 160 * 160; i++) {
            ASSERT_NEAR((double)from_crop[i], (double)from_plate[i], 1e-3);
        }
        us_fake_destroy(a);
        us_fake_destroy(b);
    }
}

static void regions_are_where_they_belong(void **state) {
    (void)state;
    struct us_task *tasks[4] = {mask_task(plate(), true, "face"), mask_task(plate(), true, "eyes"),
                                mask_task(plate(), true, "mouth"),
                                mask_task(plate(), true, "skin")};
    const float *face = matte_of(tasks[0]), *eyes = matte_of(tasks[1]);
    const float *mouth = matte_of(tasks[2]), *skin = matte_of(tasks[3]);
    ASSERT_NEAR(at(face, .49, .5), 1, 0);
    ASSERT_NEAR(at(face, -.6, .5), 0, 0);
    ASSERT_NEAR(at(eyes, .49, .5), 0, 0);
    ASSERT_NEAR(at(skin, .2, .55), 1, 0);
    ASSERT_NEAR(area(face), area(skin) + area(eyes) + area(mouth), 15);
    for (int i = 0; i < 4; i++) {
        us_fake_destroy(tasks[i]);
    }
}

static void expanding_and_feathering(void **state) {
    (void)state;
    double areas[4];
    for (int i = 0; i < 4; i++) {
        struct us_task *task = mask_task(crop(true), false, "face");
        us_fake_number(task, "expand_px", i == 1 ? 4 : i == 2 ? -4 : 0);
        us_fake_number(task, "feather_px", i == 3 ? 8 : 0);
        const float *matte = matte_of(task);
        areas[i] = area(matte);
        int soft = 0;
        for (int p = 0; p < 160 * 160; p++) {
            soft += matte[p] > .02f && matte[p] < .98f;
        }
        assert_true(i == 3 ? soft > 1500 : soft < 700);
        us_fake_destroy(task);
    }
    assert_true(areas[1] > areas[0] + 1000 && areas[2] < areas[0] - 1000);
    ASSERT_NEAR(areas[3], areas[0], 60);
}

static void no_face_gives_an_empty_matte(void **state) {
    (void)state;
    struct us_task *task = mask_task(crop(false), false, "face");
    ASSERT_NEAR(area(matte_of(task)), 0, 0);
    us_fake_destroy(task);
    task = mask_task(plate(), true, "face");
    us_fake_number(task, "track", 5);
    ASSERT_NEAR(area(matte_of(task)), 0, 0);
    us_fake_destroy(task);
}

static void an_image_that_is_no_crop_wants_faces(void **state) {
    (void)state;
    struct us_task *task = mask_task(plate(), false, "face");
    ASSERT_ERROR(us_fake_run(task), "give a face_crop as image, or connect faces as well");
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crop_and_the_plate_give_the_same_matte),
        cmocka_unit_test(regions_are_where_they_belong),
        cmocka_unit_test(expanding_and_feathering),
        cmocka_unit_test(no_face_gives_an_empty_matte),
        cmocka_unit_test(an_image_that_is_no_crop_wants_faces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
