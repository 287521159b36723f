#include <math.h>

#include "nodes/learn/dataset_file.h"
#include "nodes/learn/safetensors.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/fake_crops.h"
#include "tests/support/fake_task.h"

extern const struct us_node_type us_node_dataset;

static void add(struct us_task *task, size_t entry, int32_t number, struct us_fake_crop crop) {
    us_fake_input(task, "crops", entry, (struct us_frame){0, number}, us_fake_crop_value(&crop));
}

static struct us_task *task_of(int count) {
    struct us_task *task = us_fake_create(&us_node_dataset);
    for (int i = 0; i < count; i++) {
        add(task, 0, 1001 + i, (struct us_fake_crop){.pose = i / 10.0, .missing = i == 3});
    }
    return task;
}

static void faces_come_back_with_their_split(void **state) {
    (void)state;
    struct us_task *task = task_of(8);
    us_fake_number(task, "holdout", 4);
    ASSERT_OK(us_fake_run(task));
    struct us_value *value = us_fake_output(task, "dataset");
    struct us_dataset d = {0};
    ASSERT_OK(us_dataset_add_file(&d, value->bytes, value->size));
    assert_int_equal(d.count, 7); /* frame 1004 has no face */
    assert_int_equal(d.size, 32);
    assert_string_equal(d.encoding, "log");
    assert_string_equal(d.coverage, "whole");
    assert_int_equal(d.landmark_count, 3);
    const int32_t numbers[7] = {1001, 1002, 1003, 1005, 1006, 1007, 1008};
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(d.items[i].frame.number, numbers[i]);
        assert_int_equal(d.items[i].held_out, i == 2 || i == 6);
    }
    struct us_digest digest = us_task_input_digest(task, 0, 5);
    assert_true(us_digest_equal(&d.items[4].digest, &digest));
    uint8_t *again;
    size_t size;
    ASSERT_OK(us_dataset_print(&d, &again, &size));
    assert_int_equal(size, value->size);
    assert_memory_equal(again, value->bytes, size);
    us_free(again);
    us_dataset_finish(&d);
    us_fake_destroy(task);
}

static void pixels_are_those_of_the_crop(void **state) {
    (void)state;
    struct us_image *crop = us_fake_crop_image(&(struct us_fake_crop){.person = 1});
    ((float *)us_image_channel(crop, "G")->data)[5] = NAN;
    struct us_dataset d = {0};
    struct us_digest digest = us_image_digest(crop);
    bool added;
    ASSERT_OK(us_dataset_add_crop(&d, crop, (struct us_frame){0, 1}, &digest, &added));
    assert_true(added);
    const uint16_t *face = us_dataset_face(&d, 0);
    const float *red = us_image_channel(crop, "R")->data;
    const size_t middle = 16 * 32 + 16;
    const double half = face[4 * middle];
    const double value = ldexp(1 + fmod(half, 1024) / 1024, (int)half / 1024 - 15);
    ASSERT_NEAR(value, red[middle], 1e-3);
    assert_int_equal(face[4 * 5 + 1], 0);           /* the NaN */
    assert_int_equal(face[4 * middle + 3], 0x3c00); /* inside the matte: 1 */
    us_dataset_finish(&d);
    us_image_unref(crop);
}

static void data_sets_and_crops_can_be_listed(void **state) {
    (void)state;
    struct us_task *first = task_of(8);
    us_fake_number(first, "holdout", 0);
    ASSERT_OK(us_fake_run(first));
    struct us_task *task = us_fake_create(&us_node_dataset);
    us_fake_number(task, "holdout", 2);
    us_fake_input(task, "crops", 0, (struct us_frame){0, 0},
                  us_value_ref(us_fake_output(first, "dataset")));
    add(task, 1, 2001, (struct us_fake_crop){.pose = 0.5});
    add(task, 1, 2002, (struct us_fake_crop){.pose = 0.6});
    ASSERT_OK(us_fake_run(task));
    struct us_value *value = us_fake_output(task, "dataset");
    struct us_dataset d = {0};
    ASSERT_OK(us_dataset_add_file(&d, value->bytes, value->size));
    assert_int_equal(d.count, 9);
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(d.items[i].held_out, i == 8);
    }
    us_dataset_finish(&d);
    us_fake_destroy(first);
    us_fake_destroy(task);
}

static void fails(struct us_fake_crop a, struct us_fake_crop b, const char *message) {
    struct us_task *task = us_fake_create(&us_node_dataset);
    add(task, 0, 1001, a);
    add(task, 0, 1002, b);
    ASSERT_ERROR(us_fake_run(task), message);
    us_fake_destroy(task);
}

static void bad_input_is_named(void **state) {
    (void)state;
    const struct us_fake_crop usual = {0}, none = {.missing = true};
    fails(none, none, "no face in any of the 2 crops");
    fails(none, usual, "only one face in the 2 crops, needed are 2 or more");
    fails(usual, (struct us_fake_crop){.size = 48},
          "cannot use 'crops@1002' because: its size is 48 px, that of the faces before it 32 px");
    fails(usual, (struct us_fake_crop){.encoding = "linear"},
          "its encoding is linear, that of the faces before it log");
    fails(usual, (struct us_fake_crop){.coverage = "head"},
          "its coverage is head, that of the faces before it whole");
    fails(usual, (struct us_fake_crop){.size = 8}, "the crop is 8 x 8, allowed is a square");
    struct us_task *task = us_fake_create(&us_node_dataset);
    struct us_window window = {0, 0, 31, 31};
    us_fake_input(task, "crops", 0, (struct us_frame){0, 1001},
                  us_value_from_image(us_image_create(window, window)));
    ASSERT_ERROR(us_fake_run(task), "the image is not a face crop");
    us_fake_destroy(task);
}

static void damaged_files_are_refused(void **state) {
    (void)state;
    struct us_dataset d = {0};
    struct us_arrays *arrays = us_arrays_create();
    us_arrays_set_text(arrays, "format", "other");
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_arrays_print(arrays, &bytes, &size));
    ASSERT_ERROR(us_dataset_add_file(&d, bytes, size), "its format is 'other', needed is");
    us_free(bytes);
    us_arrays_set_text(arrays, "format", "understudy-dataset-1");
    const uint16_t pixels[2 * 16 * 8 * 3] = {0};
    us_arrays_add(arrays, "images", US_ARRAY_F16, 4, (int64_t[]){2, 16, 8, 3}, pixels);
    ASSERT_OK(us_arrays_print(arrays, &bytes, &size));
    ASSERT_ERROR(us_dataset_add_file(&d, bytes, size), "array 'images' is F16 [2, 16, 8, 3]");
    us_free(bytes);
    us_arrays_destroy(arrays);
    us_dataset_finish(&d);
}

static void a_stop_is_obeyed(void **state) {
    (void)state;
    struct us_task *task = task_of(8);
    us_fake_cancel_after(task, 3);
    ASSERT_ERROR(us_fake_run(task), "stopped on request");
    us_fake_destroy(task);
}

/* More than a data set's reader takes. */
static void a_crop_with_too_many_landmarks_is_refused(void **state) {
    (void)state;
    struct us_image *crop = us_fake_crop_image(&(struct us_fake_crop){.person = 1});
    float *landmarks = us_calloc(2 * 4097, sizeof *landmarks);
    us_image_set_floats(crop, "understudy.landmarks", landmarks, (size_t)2 * 4097);
    us_free(landmarks);
    struct us_dataset d = {0};
    struct us_digest digest = us_image_digest(crop);
    bool added;
    ASSERT_ERROR(us_dataset_add_crop(&d, crop, (struct us_frame){0, 1}, &digest, &added),
                 "the crop has 4097 landmarks, allowed are 0 to 4096");
    us_dataset_finish(&d);
    us_image_unref(crop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crop_with_too_many_landmarks_is_refused),
        cmocka_unit_test(faces_come_back_with_their_split),
        cmocka_unit_test(pixels_are_those_of_the_crop),
        cmocka_unit_test(data_sets_and_crops_can_be_listed),
        cmocka_unit_test(bad_input_is_named),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(a_stop_is_obeyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
