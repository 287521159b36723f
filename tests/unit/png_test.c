#include "nodes/io/png.h"

#include <string.h>

#include "runtime/base/mem.h"
#include "tests/support/check.h"

static void fill(struct us_png *png, int width, int height, int channels, int bits) {
    *png = (struct us_png){width, height, channels, bits, NULL};
    size_t size = (size_t)(width * height * channels * bits / 8);
    png->pixels = us_malloc(size);
    for (size_t i = 0; i < size; i++) {
        png->pixels[i] = (uint8_t)(i * 37 + i / 251);
    }
}

static void round_trips_are_exact(void **state) {
    (void)state;
    for (int bits = 8; bits <= 16; bits += 8) {
        for (int channels = 1; channels <= 4; channels++) {
            struct us_png in, out;
            fill(&in, 13, 7, channels, bits);
            uint8_t *bytes, *again;
            size_t size, again_size;
            ASSERT_OK(us_png_encode(&in, &bytes, &size));
            ASSERT_OK(us_png_encode(&in, &again, &again_size));
            assert_int_equal(size, again_size);
            assert_memory_equal(bytes, again, size);
            ASSERT_OK(us_png_decode(bytes, size, &out));
            assert_int_equal(out.width, 13);
            assert_int_equal(out.height, 7);
            assert_int_equal(out.channels, channels);
            assert_int_equal(out.bits, bits);
            assert_memory_equal(in.pixels, out.pixels, (size_t)(13 * 7 * channels * bits / 8));
            us_free(in.pixels);
            us_free(out.pixels);
            us_free(bytes);
            us_free(again);
        }
    }
}

/* 16-bit samples stand in the file most significant byte first. */
static void samples_are_of_this_host(void **state) {
    (void)state;
    uint16_t sample = 0x1234;
    struct us_png in = {1, 1, 1, 16, (uint8_t *)&sample}, out;
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_png_encode(&in, &bytes, &size));
    ASSERT_OK(us_png_decode(bytes, size, &out));
    assert_int_equal(*(const uint16_t *)(const void *)out.pixels, 0x1234);
    us_free(out.pixels);
    us_free(bytes);
}

static void damage_is_an_error(void **state) {
    (void)state;
    struct us_png in, out;
    fill(&in, 32, 32, 3, 8);
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_png_encode(&in, &bytes, &size));
    ASSERT_ERROR(us_png_decode(bytes, 4, &out), "no PNG");
    ASSERT_ERROR(us_png_decode(bytes, size / 2, &out), "cut short");
    for (size_t i = 8; i < size; i++) {
        bytes[i] ^= 0x55;
        us_error_free(us_png_decode(bytes, size, &out));
        us_free(out.pixels);
        bytes[i] ^= 0x55;
    }
    bytes[20] ^= 1; /* a digit of the width: the checksum of the header no longer fits */
    ASSERT_ERROR(us_png_decode(bytes, size, &out), "damaged");
    assert_null(out.pixels);
    us_free(bytes);
    us_free(in.pixels);
}

static void impossible_sizes_are_refused(void **state) {
    (void)state;
    struct us_png png = {.width = 0, .height = 4, .channels = 3, .bits = 8};
    uint8_t *bytes;
    size_t size;
    ASSERT_ERROR(us_png_encode(&png, &bytes, &size), "0 x 4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_are_exact),
        cmocka_unit_test(samples_are_of_this_host),
        cmocka_unit_test(damage_is_an_error),
        cmocka_unit_test(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
