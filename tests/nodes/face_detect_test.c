#include "nodes/face/blazeface.h"
#include "nodes/face/weights.h"
#include "tests/support/check.h"
#include "tests/support/face_fixture.h"
#include "tests/support/fake_task.h"

#include <math.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"

extern const struct us_node_type us_node_face_detect;

static const struct us_frame frame = {0, 1001};

/* Runs the node on an image, which it takes over. */
static struct us_faces detect(struct us_image *image, const char *model, int levels, int turned) {
    struct us_task *task = us_fake_create(&us_node_face_detect);
    struct us_faces faces;
    us_fake_text(task, "model", model);
    us_fake_number(task, "levels", levels);
    us_fake_number(task, "turned", turned);
    us_fake_input(task, "image", 0, frame, us_value_from_image(image));
    ASSERT_OK(us_fake_run(task));
    struct us_value *value = us_fake_output(task, "faces");
    ASSERT_OK(us_faces_read(value->bytes, value->size, &faces));
    us_fake_destroy(task);
    return faces;
}

static void assert_eyes(const struct us_faces *faces, double x, double y, double size) {
    assert_int_equal(faces->count, 1);
    const struct us_face *face = &faces->items[0];
    ASSERT_NEAR(face->keypoints[US_RIGHT_EYE][0], x - size / 2, size * .1);
    ASSERT_NEAR(face->keypoints[US_LEFT_EYE][0], x + size / 2, size * .1);
    ASSERT_NEAR(face->keypoints[US_LEFT_EYE][1], y, size * .1);
    ASSERT_NEAR(face->keypoints[US_MOUTH][1], y + 1.1 * size, size * .15);
    assert_true(face->box[0] < x && x < face->box[2] && face->box[1] < y && y < face->box[3]);
    assert_string_equal(face->source[US_PART_BOX], "blazeface");
}

static void finds_a_face_at_any_light(void **state) {
    (void)state;
    us_test_need_weights();
    static const double lights[] = {1, 6, 100, .01};
    static const char *const models[] = {"short", "full"};
    struct us_window window = {0, 0, 359, 287};
    for (int i = 0; i < 4; i++) {
        struct us_faces faces =
            detect(us_test_face_image(window, 170, 120, 55, lights[i]), models[i % 2], 1, 0);
        assert_eyes(&faces, 170, 120, 55);
        us_faces_finish(&faces);
    }
}

static void coordinates_are_the_plates(void **state) {
    (void)state;
    us_test_need_weights();
    struct us_window at_zero = {0, 0, 359, 287}, moved = {310, -126, 669, 161};
    struct us_faces a = detect(us_test_face_image(at_zero, 170, 120, 55, 1), "full", 1, 0);
    struct us_faces b = detect(us_test_face_image(moved, 480, -6, 55, 1), "full", 1, 0);
    assert_eyes(&b, 480, -6, 55);
    for (int i = 0; i < 4; i++) {
        ASSERT_NEAR(b.items[0].box[i] - a.items[0].box[i], i % 2 ? -126 : 310, 2e-4);
    }
    us_faces_finish(&a);
    us_faces_finish(&b);
}

static void finer_levels_find_small_faces(void **state) {
    (void)state;
    us_test_need_weights();
    struct us_window window = {0, 0, 639, 359};
    struct us_faces coarse = detect(us_test_face_image(window, 450, 150, 12, 1), "short", 1, 0);
    struct us_faces fine = detect(us_test_face_image(window, 450, 150, 12, 1), "short", 3, 0);
    assert_int_equal(coarse.count, 0);
    assert_eyes(&fine, 450, 150, 12);
    us_faces_finish(&coarse);
    us_faces_finish(&fine);
}

/* The square image turned by a quarter: what was right is below. */
static struct us_image *turned_image(struct us_image *image) {
    int32_t side = us_window_width(&image->data_window);
    for (size_t c = 0; c < image->channel_count; c++) {
        float *data = image->channels[c].data;
        float *copy = us_malloc((size_t)(side * side) * sizeof *copy);
        memcpy(copy, data, (size_t)(side * side) * sizeof *copy);
        for (int32_t i = 0; i < side * side; i++) {
            data[(i % side) * side + side - 1 - i / side] = copy[i];
        }
        us_free(copy);
    }
    return image;
}

static void turned_finds_a_face_on_its_side(void **state) {
    (void)state;
    us_test_need_weights();
    struct us_window window = {0, 0, 319, 319};
    struct us_faces turned =
        detect(turned_image(us_test_face_image(window, 170, 140, 55, 1)), "short", 1, 1);
    assert_int_equal(turned.count, 1);
    ASSERT_NEAR(turned.items[0].keypoints[US_RIGHT_EYE][0], 320 - 140, 5);
    ASSERT_NEAR(turned.items[0].keypoints[US_RIGHT_EYE][1], 142.5, 5);
    us_faces_finish(&turned);
}

static void an_empty_frame_gives_an_empty_list(void **state) {
    (void)state;
    us_test_need_weights();
    struct us_window window = {0, 0, 99, 63};
    struct us_faces none = detect(us_test_face_image(window, 9000, 9000, 10, 1), "short", 2, 1);
    assert_int_equal(none.count, 0);
    us_faces_finish(&none);
    struct us_image *broken = us_test_face_image(window, 9000, 9000, 10, 1);
    float *red = us_image_channel(broken, "R")->data;
    red[0] = NAN;
    red[1] = INFINITY;
    red[2] = -INFINITY;
    none = detect(broken, "short", 1, 0);
    assert_int_equal(none.count, 0);
    us_faces_finish(&none);
}

static void missing_weights_name_the_command(void **state) {
    (void)state;
    struct us_window window = {0, 0, 31, 31};
    us_set_models_folder("/nonexistent/models");
    struct us_task *task = us_fake_create(&us_node_face_detect);
    us_fake_text(task, "model", "short");
    us_fake_input(task, "image", 0, frame,
                  us_value_from_image(us_test_face_image(window, 16, 16, 4, 1)));
    ASSERT_ERROR(us_fake_run(task), "tools/fetch_weights");
    us_fake_destroy(task);
}

static void wrong_weights_show_both_hashes(void **state) {
    (void)state;
    struct us_window window = {0, 0, 31, 31};
    char *path = us_path_join(us_test_folder(), us_weights_file(US_WEIGHTS_BLAZEFACE_SHORT));
    ASSERT_OK(us_write_file(path, "abc", 3));
    us_set_models_folder(us_test_folder());
    struct us_task *task = us_fake_create(&us_node_face_detect);
    us_fake_text(task, "model", "short");
    us_fake_input(task, "image", 0, frame,
                  us_value_from_image(us_test_face_image(window, 16, 16, 4, 1)));
    ASSERT_ERROR(us_fake_run(task),
                 "have SHA-256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, "
                 "wanted 3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633");
    us_fake_destroy(task);
    us_free(path);
}

static void overlapping_finds_merge(void **state) {
    (void)state;
    struct us_faces candidates = {0}, merged;
    const double boxes[][4] = {{0, 0, 10, 10}, {1, 0, 11, 10}, {100, 0, 110, 10}};
    const double scores[] = {.6, .9, .7};
    for (int i = 0; i < 3; i++) {
        struct us_face *face = us_faces_add(&candidates);
        memcpy(face->box, boxes[i], sizeof face->box);
        face->score = scores[i];
    }
    us_faces_merge(&candidates, .3, &merged);
    assert_int_equal(merged.count, 2);
    ASSERT_NEAR(merged.items[0].score, .9, 0);
    ASSERT_NEAR(merged.items[0].box[0], .6, 1e-12); /* (0 x 0.6 + 1 x 0.9) / 1.5 */
    ASSERT_NEAR(merged.items[1].box[0], 100, 1e-12);
    us_faces_finish(&candidates);
    us_faces_finish(&merged);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_weights_name_the_command),
        cmocka_unit_test(wrong_weights_show_both_hashes),
        cmocka_unit_test(finds_a_face_at_any_light),
        cmocka_unit_test(coordinates_are_the_plates),
        cmocka_unit_test(finer_levels_find_small_faces),
        cmocka_unit_test(turned_finds_a_face_on_its_side),
        cmocka_unit_test(an_empty_frame_gives_an_empty_list),
        cmocka_unit_test(overlapping_finds_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
