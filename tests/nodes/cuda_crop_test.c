/* A frame's way through a device (emulated): face_crop gives the processor's crop and leaves it
 * there, composite finds plate and crop: the frame crosses the bus once up, once down. */
#include "nodes/face/crop_info.h"
#include "tests/support/check.h"
#include "tests/support/face_fixture.h"
#include "tests/support/fake_task.h"

#include <math.h>
#include <string.h>

#include "kernels/cuda/frame_internal.h"
#include "nodes/device/gpu.h"
#include "runtime/base/mem.h"
#include "runtime/image/device.h"

extern const struct us_node_type us_node_face_crop, us_node_composite;

enum { WIDTH = 320, HEIGHT = 256, SIZE = 64 };

static const struct us_frame frame = {0, 1001};
static const struct us_window window = {300, -50, 619, 205};
static const struct us_cuda_frame_api *const api = &us_cuda_frame_table;

static struct us_value *plate_of(enum us_sample type, const char *const names[], int count) {
    struct us_image *image = us_image_create(window, (struct us_window){0, 0, 959, 539});
    float *values = us_malloc(WIDTH * HEIGHT * sizeof *values);
    for (int c = 0; c < count; c++) {
        struct us_channel *channel;
        ASSERT_OK(us_image_add_channel(image, names[c], type, &channel));
        for (int i = 0; i < WIDTH * HEIGHT; i++) {
            values[i] = 0.4f + 0.3f * sinf((float)(i % WIDTH) * 0.11f + (float)c) +
                        (float)(i * 7919 % 251) / 900.0f;
        }
        values[40 * WIDTH + 160] = c ? NAN : INFINITY;
        values[41 * WIDTH + 160] = -2.0f;
        values[42 * WIDTH + 160] = 500.0f;
        us_channel_write(channel, (struct us_view){values, WIDTH, HEIGHT, WIDTH});
    }
    us_free(values);
    return us_value_from_image(image);
}

static struct us_value *face_value(void) {
    const double unit_to_plate[6] = {90, -12, 420, 12, 90, 30};
    struct us_faces faces = {0};
    struct us_face *face = us_test_face_add(&faces, unit_to_plate);
    face->has_matrix = true;
    assert_true(us_affine_invert(unit_to_plate, face->matrix));
    struct us_value *value = us_faces_write(&faces);
    us_faces_finish(&faces);
    return value;
}

static struct us_value *crop(struct us_value *plate, const char *encoding, const char *filter,
                             int device) {
    struct us_task *task = us_fake_create(&us_node_face_crop);
    us_fake_device(task, device);
    us_fake_number(task, "size", SIZE);
    us_fake_text(task, "encoding", encoding);
    us_fake_text(task, "filter", filter);
    us_fake_input(task, "image", 0, frame, us_value_ref(plate));
    us_fake_input(task, "faces", 0, frame, face_value());
    ASSERT_OK(us_fake_run(task));
    struct us_value *made = us_value_ref(us_fake_output(task, "crop"));
    us_fake_destroy(task);
    return made;
}

static void crops_are_the_processors(void **state) {
    (void)state;
    us_gpu_use(api);
    static const char *const rgb[] = {"R", "G", "B"}, *const grey[] = {"Y"};
    static const char *const filters[] = {"linear", "cubic", "lanczos"};
    struct us_value *plates[] = {plate_of(US_HALF, rgb, 3), plate_of(US_FLOAT, rgb, 3),
                                 plate_of(US_HALF, grey, 1)};
    for (int i = 0; i < 9; i++) {
        const char *encoding = i % 2 ? "linear" : "log";
        struct us_value *here = crop(plates[i / 3], encoding, filters[i % 3], -1);
        struct us_value *there = crop(plates[i / 3], encoding, filters[i % 3], 0);
        assert_true(us_digest_equal(&here->digest, &there->digest));
        us_value_unref(here);
        us_value_unref(there);
    }
    for (int i = 0; i < 3; i++) {
        us_value_unref(plates[i]);
    }
    assert_int_equal(us_device_used(0), 0);
}

static struct us_value *merge(struct us_value *plate, struct us_value *faces, int device) {
    struct us_task *task = us_fake_create(&us_node_composite);
    us_fake_device(task, device);
    us_fake_text(task, "aovs", "none");
    us_fake_input(task, "plate", 0, frame, us_value_ref(plate));
    us_fake_input(task, "faces", 0, frame, us_value_ref(faces));
    us_fake_input(task, "swap", 0, frame, us_value_ref(faces));
    ASSERT_OK(us_fake_run(task));
    struct us_value *made = us_value_ref(us_fake_output(task, "image"));
    us_fake_destroy(task);
    return made;
}

static void a_frame_crosses_the_bus_twice(void **state) {
    (void)state;
    us_gpu_use(api);
    static const char *const rgb[] = {"R", "G", "B"};
    const size_t plate_bytes = 3 * WIDTH * HEIGHT * sizeof(uint16_t);
    const size_t crop_bytes = 4 * SIZE * SIZE * sizeof(float), curve = 160 * 2 * sizeof(double);
    struct us_value *plate = plate_of(US_HALF, rgb, 3);
    struct us_cuda_frame_stats before, cropped, merged;
    api->stats(0, &before);
    struct us_value *faces = crop(plate, "log", "cubic", 0);
    api->stats(0, &cropped);
    struct us_value *out = merge(plate, faces, 0);
    api->stats(0, &merged);
    assert_int_equal(cropped.bytes_up - before.bytes_up, plate_bytes + curve);
    assert_int_equal(cropped.bytes_down - before.bytes_down, crop_bytes);
    assert_int_equal(merged.bytes_up, cropped.bytes_up);
    assert_true(merged.bytes_down - cropped.bytes_down <= plate_bytes);
    assert_int_equal(merged.transfers_down - cropped.transfers_down, 1);
    struct us_value *wanted = merge(plate, faces, -1);
    assert_true(us_digest_equal(&out->digest, &wanted->digest));
    assert_false(us_digest_equal(&out->digest, &plate->digest));
    us_value_unref(wanted);
    us_value_unref(out);
    us_value_unref(faces);
    us_value_unref(plate);
    assert_int_equal(us_device_used(0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(crops_are_the_processors),
                                       cmocka_unit_test(a_frame_crosses_the_bus_twice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
