#include "nodes/io/exr_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/half.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"

/* Smooth light with grain, some of it above 1. */
static float light(int x, int y, unsigned channel) {
    unsigned noise = (unsigned)(x * 7919 + y * 104729) + channel * 1299709u;
    noise = noise * 1664525u + 1013904223u;
    return 0.2f + 0.03f * (float)(x + (int)channel) + 0.02f * (float)y +
           0.01f * (float)(noise >> 24) / 256.0f;
}

static void fill(struct us_channel *channel, unsigned seed) {
    for (int y = 0; y < channel->height; y++) {
        for (int x = 0; x < channel->width; x++) {
            float value = channel->sample == US_UINT ? (float)(x * 100 + y) : light(x, y, seed);
            size_t at = (size_t)(y * channel->width + x);
            struct us_channel one = {.sample = channel->sample, .width = 1, .height = 1};
            one.data = (uint8_t *)channel->data + at * us_sample_size(channel->sample);
            us_channel_write(&one, (struct us_view){&value, 1, 1, 1});
        }
    }
}

static struct us_image *picture(struct us_window window, enum us_sample sample) {
    static const char *const names[] = {"R", "G", "B", "A", "matte.A"};
    const struct us_window display = {0, 0, 49, 39};
    struct us_image *image = us_image_create(window, display);
    for (unsigned i = 0; i < 5; i++) {
        struct us_channel *channel;
        ASSERT_OK(us_image_add_channel(image, names[i], i < 4 ? sample : US_FLOAT, &channel));
        channel->perceptual = i == 2;
        fill(channel, i);
    }
    us_image_set_string(image, "owner", "a show");
    us_image_set_attribute(image, "screenWindowCenter", "v2f", "\0\0\0\0\0\0\x80\x3f", 8);
    us_image_set_attribute(image, "screenWindowWidth", "float", "\0\0\x80\x3f", 4);
    return image;
}

static float worst_difference(const struct us_image *a, const struct us_image *b) {
    float worst = 0;
    assert_int_equal(a->channel_count, b->channel_count);
    for (size_t c = 0; c < a->channel_count; c++) {
        const struct us_channel *x = &a->channels[c], *y = &b->channels[c];
        size_t count = (size_t)(x->width * x->height);
        struct us_view p = {us_malloc(count * 4), x->width, x->height, x->width}, q = p;
        q.data = us_malloc(count * 4);
        us_channel_read(x, p);
        us_channel_read(y, q);
        for (size_t i = 0; i < count; i++) {
            worst = fmaxf(worst, fabsf(p.data[i] - q.data[i]));
        }
        us_free(p.data);
        us_free(q.data);
    }
    return worst;
}

static const enum us_exr_compression all_kinds[] = {
    US_EXR_NONE,  US_EXR_RLE, US_EXR_ZIPS, US_EXR_ZIP,  US_EXR_PIZ,
    US_EXR_PXR24, US_EXR_B44, US_EXR_B44A, US_EXR_DWAA, US_EXR_DWAB};

static void check_round_trip(const struct us_image *image,
                             const struct us_exr_write_options *options) {
    uint8_t *bytes, *again;
    size_t size, again_size;
    struct us_image *back;
    ASSERT_OK(us_exr_encode(image, options, &bytes, &size));
    ASSERT_OK(us_exr_encode(image, options, &again, &again_size));
    assert_int_equal(size, again_size);
    assert_memory_equal(bytes, again, size);
    ASSERT_OK(us_exr_decode(bytes, size, NULL, &back));
    struct us_digest a = us_image_digest(image), b = us_image_digest(back);
    if (us_exr_lossless(options->compression)) {
        assert_true(us_digest_equal(&a, &b));
    } else {
        ASSERT_NEAR((double)worst_difference(image, back), 0, 0.06);
        assert_int_equal(back->attribute_count, image->attribute_count);
        assert_true(us_window_equal(&back->data_window, &image->data_window));
    }
    us_image_unref(back);
    us_free(bytes);
    us_free(again);
}

static void every_compression_keeps_pixels(void **state) {
    (void)state;
    const struct us_window windows[] = {{0, 0, 49, 39}, {-13, -7, 21, 26}, {5, 9, 5, 9}};
    for (size_t k = 0; k < sizeof all_kinds / sizeof *all_kinds; k++) {
        for (int w = 0; w < 3; w++) {
            for (int sample = US_HALF; sample <= US_UINT; sample++) {
                struct us_image *image = picture(windows[w], (enum us_sample)sample);
                struct us_exr_write_options options = {.compression = all_kinds[k]};
                check_round_trip(image, &options);
                options.tile_width = 16;
                options.tile_height = 9;
                check_round_trip(image, &options);
                us_image_unref(image);
            }
        }
    }
}

static void noise_that_does_not_pack_is_kept(void **state) {
    (void)state;
    struct us_image *image = picture((struct us_window){0, 0, 30, 20}, US_FLOAT);
    unsigned seed = 5;
    for (size_t c = 0; c < image->channel_count; c++) {
        uint8_t *bytes = image->channels[c].data;
        for (size_t i = 0; i < us_channel_bytes(&image->channels[c]); i++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[i] = (uint8_t)(seed >> 24);
        }
    }
    for (enum us_exr_compression k = US_EXR_NONE; k <= US_EXR_PIZ; k++) {
        check_round_trip(image, &(struct us_exr_write_options){.compression = k});
    }
    us_image_unref(image);
}

static void flat_colours_pack_well(void **state) {
    (void)state;
    const struct us_window window = {0, 0, 199, 99};
    for (enum us_exr_compression k = US_EXR_RLE; k <= US_EXR_PIZ; k++) {
        struct us_image *image = us_image_create(window, window);
        struct us_channel *channel;
        ASSERT_OK(us_image_add_channel(image, "Y", US_HALF, &channel));
        us_image_set_attribute(image, "screenWindowCenter", "v2f", "\0\0\0\0\0\0\0\0", 8);
        us_image_set_attribute(image, "screenWindowWidth", "float", "\0\0\x80\x3f", 4);
        const struct us_exr_write_options options = {.compression = k};
        uint8_t *bytes;
        size_t size;
        ASSERT_OK(us_exr_encode(image, &options, &bytes, &size));
        assert_in_range(size, 300, 5000);
        us_free(bytes);
        check_round_trip(image, &options);
        us_image_unref(image);
    }
}

static void subsampled_channels_survive(void **state) {
    (void)state;
    const struct us_window window = {-4, 2, 35, 41};
    for (size_t k = 0; k < sizeof all_kinds / sizeof *all_kinds; k++) {
        struct us_image *image = us_image_create(window, window);
        static const char *const names[] = {"Y", "RY", "BY"};
        us_image_set_attribute(image, "screenWindowCenter", "v2f", "\0\0\0\0\0\0\0\0", 8);
        us_image_set_attribute(image, "screenWindowWidth", "float", "\0\0\x80\x3f", 4);
        for (unsigned c = 0; c < 3; c++) {
            struct us_channel *channel;
            ASSERT_OK(us_image_add_sampled_channel(image, names[c], US_HALF, c ? 2 : 1, c ? 2 : 1,
                                                   &channel));
            fill(channel, c);
        }
        check_round_trip(image, &(struct us_exr_write_options){.compression = all_kinds[k]});
        uint8_t *bytes;
        size_t size;
        const struct us_exr_write_options tiled = {.tile_width = 8, .tile_height = 8};
        ASSERT_ERROR(us_exr_encode(image, &tiled, &bytes, &size), "'BY' is sampled every 2 x 2");
        us_image_unref(image);
    }
}

static void attributes_pass_byte_for_byte(void **state) {
    (void)state;
    static const struct {
        const char *name, *type, *bytes;
        size_t size;
    } attributes[] = {
        {"chromaticities", "chromaticities", "0123456789abcdef0123456789abcdef", 32},
        {"custom", "unheard of", "\0\xff\0", 3},
        {"empty", "string", "", 0},
        {"keyCode", "keycode", "0123456789abcdef0123456789ab", 28},
        {"multiView", "stringvector", "\4\0\0\0left\5\0\0\0right", 17},
        {"name", "string", "main", 4},
        {"preview", "preview", "\1\0\0\0\1\0\0\0rgba", 12},
        {"timeCode", "timecode", "01234567", 8},
        {"worldToCamera", "m44f",
         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 64},
    };
    struct us_image *image = picture((struct us_window){0, 0, 3, 3}, US_HALF), *back;
    size_t count = sizeof attributes / sizeof *attributes;
    for (size_t i = 0; i < count; i++) {
        us_image_set_attribute(image, attributes[i].name, attributes[i].type, attributes[i].bytes,
                               attributes[i].size);
    }
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_exr_encode(image, &(struct us_exr_write_options){0}, &bytes, &size));
    ASSERT_OK(us_exr_decode(bytes, size, NULL, &back));
    assert_int_equal(back->attribute_count, image->attribute_count);
    for (size_t i = 0; i < count; i++) {
        const struct us_attribute *a = us_image_attribute(back, attributes[i].name);
        assert_non_null(a);
        assert_string_equal(a->type, attributes[i].type);
        assert_int_equal(a->size, attributes[i].size);
        assert_memory_equal(a->bytes, attributes[i].bytes, a->size);
    }
    us_image_unref(image);
    us_image_unref(back);
    us_free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_compression_keeps_pixels),
        cmocka_unit_test(noise_that_does_not_pack_is_kept),
        cmocka_unit_test(flat_colours_pack_well),
        cmocka_unit_test(subsampled_channels_survive),
        cmocka_unit_test(attributes_pass_byte_for_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
