/* composite on a device (emulated): the processor's pixels, the plate's bits where the matte is 0,
 * and the plate over the bus once up and its region once down. */
#include "tests/support/check.h"

#include <math.h>
#include <string.h>

#include "emulation.h"
#include "kernels/cuda/frame_internal.h"
#include "kernels/encoding.h"
#include "nodes/device/gpu.h"
#include "runtime/base/mem.h"
#include "tests/support/fake_task.h"
#include "tests/support/pictures.h"

extern const struct us_node_type us_node_composite;

enum { SIZE = 40 };

static const struct us_window data = {-8, 4, 111, 83}, display = {0, 0, 127, 95};
static const struct us_frame frame = {0, 1001};
static const struct us_cuda_frame_api *const api = &us_cuda_frame_table;

static float noisy(int x, int y, int c) {
    uint32_t bits = (uint32_t)(x * 7919 + y * 104729 + c * 1299709) * 2654435761u;
    return 0.3f + 0.1f * (float)c + (float)(bits >> 20) / 20480.0f;
}

static float plate_sample(int x, int y, int c) {
    if (x == 30 && y == 41) {
        return NAN;
    }
    return x == 31 && y == 41 ? -3.5f : x == 32 && y == 41 ? INFINITY : noisy(x, y, c);
}

static float swap_sample(int x, int y, int c) {
    float light = x == 20 && y == 20 ? 900.0f : 0.4f + 0.02f * (float)(x + y), encoded;
    us_log_encode(&light, &encoded, 1);
    return c < 3 ? encoded : x >= 8 && x < 32 && y >= 8 && y < 33 ? 1.0f : 0.0f;
}

static float left_half(int x, int y, int c) {
    (void)c;
    return x < 50 ? 0.8f : y < 30 ? 2.0f : 0.0f;
}

struct inputs {
    struct us_value *plate, *faces, *swap, *matte, *holdout;
};

static struct us_value *picture(enum us_sample type, us_test_sample sample, bool colour) {
    struct us_image *image = us_test_image(data, display);
    const char *const names[] = {"R", "G", "B"};
    for (int c = 0; c < 3 && colour; c++) {
        us_test_channel(image, names[c], c == 2 ? US_HALF : type, sample, c);
    }
    us_test_channel(image, "A", type, sample, 3);
    return us_value_from_image(image);
}

static struct inputs make_inputs(const char *encoding, double scale, double x, double y) {
    struct us_crop_info info = {
        .found = true,
        .matrix = {scale, 0.2 * scale, -scale * x, -0.2 * scale, scale, -scale * y},
        .plate_data_window = data,
        .plate_display_window = display};
    strcpy(info.encoding, encoding);
    strcpy(info.coverage, "full");
    return (struct inputs){.plate = picture(US_HALF, plate_sample, true),
                           .faces = us_value_from_image(us_test_crop(SIZE, &info, swap_sample)),
                           .swap = us_value_from_image(us_test_crop(SIZE, &info, swap_sample)),
                           .matte = picture(US_FLOAT, left_half, false),
                           .holdout = picture(US_HALF, left_half, false)};
}

static void drop_inputs(struct inputs *in) {
    us_value_unref(in->plate);
    us_value_unref(in->faces);
    us_value_unref(in->swap);
    us_value_unref(in->matte);
    us_value_unref(in->holdout);
}

struct options {
    const char *mask, *filter, *aovs, *matte_use;
    double erode_px, feather_px, opacity, grain;
    bool matte, holdout;
};

static struct us_value *merge(const struct inputs *in, const struct options *o, int device) {
    struct us_task *task = us_fake_create(&us_node_composite);
    us_fake_device(task, device);
    us_fake_input(task, "plate", 0, frame, us_value_ref(in->plate));
    us_fake_input(task, "faces", 0, frame, us_value_ref(in->faces));
    us_fake_input(task, "swap", 0, frame, us_value_ref(in->swap));
    if (o->matte) {
        us_fake_input(task, "matte", 0, frame, us_value_ref(in->matte));
    }
    if (o->holdout) {
        us_fake_input(task, "holdout", 0, frame, us_value_ref(in->holdout));
    }
    us_fake_text(task, "mask", o->mask);
    us_fake_text(task, "filter", o->filter);
    us_fake_text(task, "aovs", o->aovs);
    us_fake_text(task, "matte_use", o->matte_use);
    us_fake_number(task, "erode_px", o->erode_px);
    us_fake_number(task, "feather_px", o->feather_px);
    us_fake_number(task, "opacity", o->opacity);
    us_fake_number(task, "grain", o->grain);
    ASSERT_OK(us_fake_run(task));
    struct us_value *out = us_value_ref(us_fake_output(task, "image"));
    us_fake_destroy(task);
    return out;
}

/* Every bit of every channel; the emulation has the same sines and exponentials. */
static void assert_same_image(const struct us_image *got, const struct us_image *wanted) {
    assert_int_equal(got->channel_count, wanted->channel_count);
    for (size_t c = 0; c < wanted->channel_count; c++) {
        assert_string_equal(got->channels[c].name, wanted->channels[c].name);
        assert_memory_equal(got->channels[c].data, wanted->channels[c].data,
                            us_channel_bytes(&wanted->channels[c]));
    }
}

static const struct options cases[] = {
    {"learned", "cubic", "swap", "multiply", 2, 6, 1, 0.5, false, false},
    {"product", "lanczos", "all", "multiply", -3.5, 0, 0.7, 0, true, false},
    {"landmarks", "linear", "none", "multiply", 0, 12, 1, 2, false, true},
    {"none", "cubic", "matte", "replace", 1, 3, 1, 0.5, true, true},
};

static void pixels_are_the_processors(void **state) {
    (void)state;
    us_gpu_use(api);
    const double places[][3] = {{0.6, 20, 10}, {1.3, 90, 60}, {0.2, -20, 5}};
    for (size_t p = 0; p < 3; p++) {
        struct inputs in =
            make_inputs(p == 1 ? "linear" : "log", places[p][0], places[p][1], places[p][2]);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            us_emulation_set_order((enum us_emulation_order)(i % 3));
            struct us_value *here = merge(&in, &cases[i], -1), *there = merge(&in, &cases[i], 0);
            assert_same_image(there->image, here->image);
            assert_true(us_digest_equal(&there->digest, &here->digest));
            assert_false(us_digest_equal(&there->digest, &in.plate->digest));
            us_value_unref(here);
            us_value_unref(there);
        }
        drop_inputs(&in);
    }
    us_emulation_set_order(US_ORDER_UP);
}

static void outside_the_matte_bits_stay(void **state) {
    (void)state;
    us_gpu_use(api);
    struct inputs in = make_inputs("log", 0.6, 20, 10);
    struct us_value *out = merge(&in, &cases[0], 0);
    const char *const names[] = {"R", "G", "B"};
    const uint16_t *matte = us_image_channel(out->image, "matte.A")->data;
    size_t count = (size_t)us_window_width(&data) * (size_t)us_window_height(&data), changed = 0;
    for (int c = 0; c < 3; c++) {
        const uint16_t *before = us_image_channel(in.plate->image, names[c])->data;
        const uint16_t *after = us_image_channel(out->image, names[c])->data;
        for (size_t i = 0; i < count; i++) {
            assert_true(matte[i] != 0 || before[i] == after[i]);
            changed += before[i] != after[i];
        }
    }
    assert_true(changed > 300);
    us_value_unref(out);
    drop_inputs(&in);
}

static void the_plate_goes_up_once(void **state) {
    (void)state;
    us_gpu_use(api);
    struct inputs in = make_inputs("log", 0.6, 20, 10);
    struct us_cuda_frame_stats before, first, second;
    size_t pixels = (size_t)us_window_width(&data) * (size_t)us_window_height(&data);
    api->stats(0, &before);
    us_value_unref(merge(&in, &cases[0], 0));
    api->stats(0, &first);
    us_value_unref(merge(&in, &cases[0], 0));
    api->stats(0, &second);
    size_t crops = 4 * SIZE * SIZE * sizeof(float); /* the swap's R, G, B and matte */
    assert_int_equal(first.bytes_up - before.bytes_up, 3 * pixels * sizeof(uint16_t) + crops);
    assert_int_equal(first.transfers_down - before.transfers_down, 1);
    assert_true(first.bytes_down - before.bytes_down < 7 * pixels * sizeof(uint16_t));
    assert_int_equal(second.bytes_up, first.bytes_up);
    assert_int_equal(second.transfers_down - first.transfers_down, 1);
    drop_inputs(&in);
}

/* When memory runs out the run is told so: it knows what to try next. */
static void a_full_device_is_told(void **state) {
    (void)state;
    us_gpu_use(api);
    struct inputs in = make_inputs("log", 0.6, 20, 10);
    struct us_task *task = us_fake_create(&us_node_composite);
    us_fake_device(task, 0);
    us_fake_input(task, "plate", 0, frame, us_value_ref(in.plate));
    us_fake_input(task, "faces", 0, frame, us_value_ref(in.faces));
    us_fake_input(task, "swap", 0, frame, us_value_ref(in.swap));
    us_fake_number(task, "erode_px", 200);
    us_emulation_set_memory(us_emulation_used() + 100000);
    struct us_error *error = us_fake_run(task);
    assert_true(us_error_is(error, US_DEVICE_FULL));
    assert_non_null(strstr(error->text, "on device cuda:0"));
    us_error_free(error);
    us_emulation_set_memory(0);
    us_fake_destroy(task);
    drop_inputs(&in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_the_processors), cmocka_unit_test(outside_the_matte_bits_stay),
        cmocka_unit_test(the_plate_goes_up_once), cmocka_unit_test(a_full_device_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
