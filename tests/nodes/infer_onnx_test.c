#include <math.h>
#include <string.h>

#include "kernels/encoding.h"
#include "nodes/learn/onnx/protobuf.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/fake_crops.h"
#include "tests/support/fake_task.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/pictures.h"

extern const struct us_node_type us_node_infer_onnx;

enum { WIDTH = 20, HEIGHT = 14 };

static float sample(int x, int y, int channel) {
    return 0.02f * (float)x + 0.03f * (float)y + 0.1f * (float)channel;
}

static struct us_value *make_image(int width, int height) {
    static const char *const names[] = {"R", "G", "B"};
    const struct us_window window = {3, 5, 2 + width, 4 + height};
    struct us_image *image = us_test_image(window, window);
    for (int c = 0; c < 3; c++) {
        us_test_channel(image, names[c], US_FLOAT, sample, c);
    }
    return us_value_from_image(image);
}

/* y = 2 x on [1, channels, rows, columns] (-1: free); a second output is x's first channel. */
static struct us_value *doubling(int64_t channels, int64_t rows, int64_t columns) {
    const int64_t dims[4] = {-1, channels, rows, columns}, none[4] = {0};
    const float two = 2;
    struct us_test_onnx net = {0};
    size_t size;
    us_test_onnx_input(&net, "x", 4, dims);
    us_test_onnx_floats(&net, "two", 0, none, &two);
    const int64_t zero = 0, one = 1;
    us_test_onnx_ints(&net, "zero", 1, &zero);
    us_test_onnx_ints(&net, "one", 1, &one);
    us_test_onnx_node(&net, "Mul", "x two", "y", NULL);
    us_test_onnx_node(&net, "Slice", "x zero one one", "first", NULL);
    us_test_onnx_output(&net, "y");
    us_test_onnx_output(&net, "first");
    uint8_t *bytes = us_test_onnx_file(&net, 13, &size);
    return us_value_from_bytes(US_MODEL, bytes, size);
}

/* Sums 5 x 5 neighbours, so that tiles must overlap; channels stay apart. */
static struct us_value *blurring(void) {
    static const int64_t dims[4] = {1, 3, -1, -1}, kernel[4] = {3, 1, 5, 5}, pads[4] = {2, 2, 2, 2};
    float weights[75];
    struct us_test_onnx net = {0};
    struct us_str attributes = {0};
    size_t size;
    for (int i = 0; i < 75; i++) {
        weights[i] = 1.0f / 25;
    }
    us_test_onnx_input(&net, "x", 4, dims);
    us_test_onnx_floats(&net, "w", 4, kernel, weights);
    us_test_onnx_attribute_ints(&attributes, "pads", 4, pads);
    us_test_onnx_attribute_int(&attributes, "group", 3);
    us_test_onnx_node(&net, "Conv", "x w", "y", &attributes);
    us_test_onnx_output(&net, "y");
    uint8_t *bytes = us_test_onnx_file(&net, 13, &size);
    return us_value_from_bytes(US_MODEL, bytes, size);
}

static struct us_task *task_of(struct us_value *model, struct us_value *image) {
    struct us_task *task = us_fake_create(&us_node_infer_onnx);
    us_fake_threads(task, 1);
    us_fake_input(task, "model", 0, (struct us_frame){0, 0}, model);
    us_fake_input(task, "image", 0, (struct us_frame){0, 1001}, image);
    return task;
}

static float result(const struct us_task *task, const char *channel, int x, int y) {
    return us_test_at(us_fake_output(task, "image")->image, channel, x + 3, y + 5);
}

static void channels_are_replaced_in_place(void **state) {
    (void)state;
    struct us_task *task = task_of(doubling(3, -1, -1), make_image(WIDTH, HEIGHT));
    us_fake_append(task, "outputs", "y");
    ASSERT_OK(us_fake_run(task));
    const struct us_image *image = us_fake_output(task, "image")->image;
    assert_int_equal(image->channel_count, 3);
    assert_int_equal(image->data_window.x_min, 3);
    for (int x = 0; x < WIDTH; x++) {
        ASSERT_NEAR((double)result(task, "G", x, 7), 2 * (double)sample(x + 3, 12, 1), 1e-6);
    }
    us_fake_destroy(task);
}

static void outputs_are_chosen_by_name_and_become_channels(void **state) {
    (void)state;
    static const char *const names[] = {"matte.A", "r", "g", "b"};
    struct us_task *task = task_of(doubling(3, -1, -1), make_image(WIDTH, HEIGHT));
    us_fake_append(task, "outputs", "first");
    us_fake_append(task, "outputs", "y");
    for (int i = 0; i < 4; i++) {
        us_fake_append(task, "channels_out", names[i]);
    }
    ASSERT_OK(us_fake_run(task));
    assert_int_equal(us_fake_output(task, "image")->image->channel_count, 7);
    ASSERT_NEAR((double)result(task, "matte.A", 4, 4), (double)sample(7, 9, 0), 1e-6);
    ASSERT_NEAR((double)result(task, "b", 4, 4), 2 * (double)sample(7, 9, 2), 1e-6);
    ASSERT_NEAR((double)result(task, "B", 4, 4), (double)sample(7, 9, 2), 1e-6);
    us_fake_destroy(task);
}

static void values_go_in_and_come_out_as_said(void **state) {
    (void)state;
    struct us_task *task = task_of(doubling(3, -1, -1), make_image(WIDTH, HEIGHT));
    us_fake_append(task, "outputs", "y");
    us_fake_text(task, "encoding", "srgb");
    us_fake_text(task, "decoding", "srgb");
    us_fake_number(task, "scale", 255);
    us_fake_append(task, "mean", "10");
    us_fake_append(task, "mean", "20");
    us_fake_append(task, "mean", "30");
    us_fake_append(task, "deviation", "50");
    us_fake_number(task, "out_scale", 0.1);
    us_fake_number(task, "out_offset", 0.05);
    ASSERT_OK(us_fake_run(task));
    const float linear = sample(7, 9, 1);
    float x;
    us_srgb_encode(&linear, &x, 1);
    x = 2 * (x * 255 - 20) / 50 * 0.1f + 0.05f;
    us_srgb_decode(&x, &x, 1);
    ASSERT_NEAR((double)result(task, "G", 4, 4), (double)x, 1e-5);
    us_fake_destroy(task);
}

static void clipping_limits_what_the_model_sees(void **state) {
    (void)state;
    struct us_value *image = make_image(WIDTH, HEIGHT);
    struct us_channel *red = us_image_channel(image->image, "R");
    ((float *)red->data)[0] = 9;
    ((float *)red->data)[1] = NAN;
    struct us_task *task = task_of(doubling(3, -1, -1), image);
    us_fake_append(task, "outputs", "y");
    us_fake_number(task, "clip", 1);
    ASSERT_OK(us_fake_run(task));
    ASSERT_NEAR((double)result(task, "R", 0, 0), 2, 0);
    ASSERT_NEAR((double)result(task, "R", 1, 0), 0, 0);
    us_fake_destroy(task);
}

static void a_fixed_size_is_asked_for_or_reached(void **state) {
    (void)state;
    struct us_task *task = task_of(doubling(3, 10, 8), make_image(WIDTH, HEIGHT));
    us_fake_append(task, "outputs", "y");
    ASSERT_ERROR(us_fake_run(task), "the model works on 8 x 10, this image is 20 x 14");
    us_fake_destroy(task);
    task = task_of(doubling(3, 10, 8), make_image(WIDTH, HEIGHT));
    us_fake_append(task, "outputs", "y");
    us_fake_text(task, "fit", "resize");
    ASSERT_OK(us_fake_run(task));
    ASSERT_NEAR((double)result(task, "G", 10, 7), 2 * (double)sample(13, 12, 1), 4e-3);
    us_fake_destroy(task);
}

/* Tiles give what the whole gives where no tile's own edge is near. */
static void tiles_agree_with_the_whole(void **state) {
    (void)state;
    struct us_task *whole = task_of(blurring(), make_image(90, 70));
    struct us_task *tiled = task_of(blurring(), make_image(90, 70));
    us_fake_text(tiled, "fit", "tile");
    us_fake_number(tiled, "size", 40);
    us_fake_number(tiled, "overlap", 12);
    ASSERT_OK(us_fake_run(whole));
    ASSERT_OK(us_fake_run(tiled));
    double worst = 0;
    for (int y = 4; y < 66; y++) {
        for (int x = 4; x < 86; x++) {
            const double a = (double)result(whole, "B", x, y), b = (double)result(tiled, "B", x, y);
            worst = fabs(a - b) > worst ? fabs(a - b) : worst;
        }
    }
    /* Two samples at a tile's edge see zeros; the ramp gives them little. */
    assert_true(worst < 0.05 * (double)result(whole, "B", 80, 60));
    ASSERT_NEAR((double)result(tiled, "B", 20, 20), (double)result(whole, "B", 20, 20), 1e-5);
    us_fake_destroy(whole);
    us_fake_destroy(tiled);
}

static void sizes_are_made_multiples(void **state) {
    (void)state;
    struct us_task *task = task_of(doubling(3, 16, 32), make_image(WIDTH, HEIGHT));
    us_fake_append(task, "outputs", "y");
    us_fake_number(task, "multiple", 16);
    ASSERT_OK(us_fake_run(task));
    ASSERT_NEAR((double)result(task, "B", 19, 13), 2 * (double)sample(22, 18, 2), 1e-6);
    us_fake_destroy(task);
}

static void fails(struct us_task *task, const char *message) {
    ASSERT_ERROR(us_fake_run(task), message);
    us_fake_destroy(task);
}

static void a_mismatch_is_one_clear_error(void **state) {
    (void)state;
    fails(task_of(doubling(4, -1, -1), make_image(8, 8)),
          "the model's input 'x' is any x 4 x any x any, given is 1 x 3 x 8 x 8");
    struct us_task *task = task_of(doubling(3, -1, -1), make_image(8, 8));
    us_fake_append(task, "outputs", "z");
    fails(task, "the model has no output 'z', its first is 'y'");
    task = task_of(doubling(3, -1, -1), make_image(8, 8));
    us_fake_append(task, "channels_out", "matte.A");
    fails(task, "the model's output 'y' has 3 channels, 1 are named");
    task = task_of(doubling(3, -1, -1), make_image(8, 8));
    us_fake_append(task, "mean", "1,5");
    fails(task, "mean is '1,5', no number");
    task = task_of(doubling(3, -1, -1), make_image(8, 8));
    us_fake_append(task, "channels", "R");
    us_fake_append(task, "channels", "depth.Z");
    us_fake_append(task, "channels", "B");
    fails(task, "depth.Z");
    struct us_value *bad = us_value_from_bytes(US_MODEL, (uint8_t *)us_strdup("nothing"), 7);
    fails(task_of(bad, make_image(8, 8)), "cannot use the model because: the file is damaged");
}

static void a_frame_without_face_passes(void **state) {
    (void)state;
    struct us_task *task =
        task_of(doubling(3, -1, -1), us_fake_crop_value(&(struct us_fake_crop){.missing = true}));
    ASSERT_OK(us_fake_run(task));
    struct us_digest in = us_task_input_digest(task, 1, 0);
    assert_true(us_digest_equal(&in, &us_fake_output(task, "image")->digest));
    us_fake_destroy(task);
}

/* A stored picture of no rows, given as a result. */
static void a_result_without_pixels_is_refused(void **state) {
    (void)state;
    static const int64_t dims[4] = {1, 3, -1, -1}, empty[4] = {1, 3, 0, 5};
    struct us_test_onnx net = {0};
    size_t size;
    us_test_onnx_input(&net, "x", 4, dims);
    us_test_onnx_floats(&net, "y", 4, empty, NULL);
    us_test_onnx_output(&net, "y");
    uint8_t *bytes = us_test_onnx_file(&net, 13, &size);
    struct us_task *task =
        task_of(us_value_from_bytes(US_MODEL, bytes, size), make_image(WIDTH, HEIGHT));
    us_fake_text(task, "fit", "resize");
    ASSERT_ERROR(us_fake_run(task), "the model's output 'y' is 1 x 3 x 0 x 5, no image");
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_without_pixels_is_refused),
        cmocka_unit_test(channels_are_replaced_in_place),
        cmocka_unit_test(outputs_are_chosen_by_name_and_become_channels),
        cmocka_unit_test(values_go_in_and_come_out_as_said),
        cmocka_unit_test(clipping_limits_what_the_model_sees),
        cmocka_unit_test(a_fixed_size_is_asked_for_or_reached),
        cmocka_unit_test(tiles_agree_with_the_whole),
        cmocka_unit_test(sizes_are_made_multiples),
        cmocka_unit_test(a_mismatch_is_one_clear_error),
        cmocka_unit_test(a_frame_without_face_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
