#include <math.h>
#include <string.h>

#include "nodes/registry.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"

static const struct us_codec *codec(void) {
    return us_nodes.codec;
}

static void fill(struct us_channel *channel, unsigned seed) {
    uint8_t *bytes = channel->data;
    for (size_t i = 0; i < us_channel_bytes(channel); i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

/* Consumes the image. */
static void check_round_trip(struct us_image *image) {
    uint8_t *bytes, *again;
    size_t size, again_size;
    struct us_image *back;
    ASSERT_OK(codec()->encode(image, &bytes, &size));
    ASSERT_OK(codec()->encode(image, &again, &again_size));
    assert_int_equal(size, again_size);
    assert_memory_equal(bytes, again, size);
    ASSERT_OK(codec()->decode(bytes, size, &back));
    struct us_digest a = us_image_digest(image), b = us_image_digest(back);
    assert_true(us_digest_equal(&a, &b));
    us_image_unref(image);
    us_image_unref(back);
    us_free(bytes);
    us_free(again);
}

static void crops_come_back_whole(void **state) {
    (void)state;
    struct us_image *image =
        us_image_create((struct us_window){-3, 5, 9, 11}, (struct us_window){0, 0, 99, 49});
    image->pixel_aspect = 1.333f;
    static const char *const names[] = {"R", "G", "B", "matte.A"};
    for (unsigned i = 0; i < 4; i++) {
        struct us_channel *channel;
        ASSERT_OK(us_image_add_channel(image, names[i], i % 3, &channel));
        channel->perceptual = i == 2;
        fill(channel, i);
    }
    const double m[9] = {1.0 / 3, -2, 3, 4, 5e-300, 6, 7, 8, NAN};
    const float landmarks[] = {1.5f, -2.5f, 3.25f};
    us_image_set_matrix(image, "crop.matrix", m);
    us_image_set_floats(image, "crop.landmarks", landmarks, 3);
    us_image_set_floats(image, "crop.none", NULL, 0);
    us_image_set_string(image, "crop.encoding", "");
    us_image_set_int(image, "crop.found", -1);
    us_image_set_attribute(image, "plate", "box2i", &image->data_window, 16);
    us_image_set_attribute(image, "odd", "a type nobody knows", "\0\1\2", 3);
    us_image_set_attribute(image, "name", "string", "left", 4);
    check_round_trip(image);
}

static void special_images_come_back(void **state) {
    (void)state;
    const struct us_window windows[] = {{0, 0, 0, 0}, {-7, -9, -5, -9}, {3, 5, 14, 22}};
    for (int i = 0; i < 3; i++) {
        struct us_channel *channel;
        struct us_image *image = us_image_create(windows[i], windows[2 - i]);
        check_round_trip(us_image_ref(image)); /* no channels */
        ASSERT_OK(us_image_add_channel(image, "Y", US_HALF, &channel));
        fill(channel, 1);
        ASSERT_OK(us_image_add_sampled_channel(image, "RY", US_HALF, 2, 2, &channel));
        fill(channel, 2);
        ASSERT_OK(us_image_add_sampled_channel(image, "far", US_UINT, 64, 3, &channel));
        fill(channel, 3);
        check_round_trip(us_image_ref(image));
        const float center[2] = {0, 0}, width = 1;
        us_image_set_attribute(image, "screenWindowCenter", "v2f", center, 8);
        check_round_trip(us_image_ref(image));
        us_image_set_attribute(image, "screenWindowWidth", "float", &width, 4);
        check_round_trip(image);
    }
}

static void names_that_exr_forbids_are_errors(void **state) {
    (void)state;
    uint8_t *bytes;
    size_t size;
    const struct us_window window = {0, 0, 1, 1};
    char name[300];
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    struct us_image *image = us_image_create(window, window);
    ASSERT_OK(us_image_add_channel(image, name, US_HALF, NULL));
    ASSERT_ERROR(codec()->encode(image, &bytes, &size), "no channel named 'nnnn");
    us_image_remove_channel(image, name);
    us_image_set_int(image, "", 4);
    ASSERT_ERROR(codec()->encode(image, &bytes, &size), "no attribute named ''");
    us_image_remove_attribute(image, "");
    us_image_set_int(image, "channels", 4);
    ASSERT_ERROR(codec()->encode(image, &bytes, &size), "no attribute may be named 'channels'");
    us_image_remove_attribute(image, "channels");
    name[255] = '\0';
    us_image_set_int(image, name, 4);
    check_round_trip(image);
    image = us_image_create((struct us_window){0, 0, -1, -1}, window);
    ASSERT_ERROR(codec()->encode(image, &bytes, &size), "empty data");
    us_image_unref(image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crops_come_back_whole),
        cmocka_unit_test(special_images_come_back),
        cmocka_unit_test(names_that_exr_forbids_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
