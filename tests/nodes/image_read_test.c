#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "nodes/io/png.h"
#include "nodes/registry.h"
#include "runtime/api/registry.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/fake_task.h"

static const struct us_node_type *type(void) {
    return us_registry_find(&us_nodes, "image_read");
}

/* IEC 61966-2-1, straight from its text. */
static double linear_of(double encoded) {
    return encoded <= 0.04045 ? encoded / 12.92 : pow((encoded + 0.055) / 1.055, 2.4);
}

static struct us_task *reading(const char *name, const char *colorspace, char **path) {
    struct us_task *task = us_fake_create(type());
    *path = us_path_join(us_test_folder(), name);
    us_fake_text(task, "path", *path);
    us_fake_text(task, "colorspace", colorspace);
    return task;
}

static void save(const char *name, const void *bytes, size_t size) {
    char *path = us_path_join(us_test_folder(), name);
    ASSERT_OK(us_write_file(path, bytes, size));
    us_free(path);
}

static void save_png(const char *name, int channels, int bits, void *pixels) {
    const struct us_png png = {2, 1, channels, bits, pixels};
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_png_encode(&png, &bytes, &size));
    save(name, bytes, size);
    us_free(bytes);
}

static void save_jpeg(const char *name, int channels, J_COLOR_SPACE space, const uint8_t *color) {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    uint8_t row[16 * 4];
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &size);
    jpeg.image_width = jpeg.image_height = 16;
    jpeg.input_components = channels;
    jpeg.in_color_space = space;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    for (int i = 0; i < 16 * channels; i++) {
        row[i] = color[i % channels];
    }
    while (jpeg.next_scanline < 16) {
        JSAMPROW rows = row;
        jpeg_write_scanlines(&jpeg, &rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    save(name, bytes, size);
    free(bytes);
}

static void check_value(const struct us_task *task, const char *channel, int index, double value,
                        double tolerance) {
    const struct us_channel *c = us_image_channel(us_fake_output(task, "image")->image, channel);
    assert_non_null(c);
    assert_int_equal(c->sample, US_FLOAT);
    ASSERT_NEAR((double)((const float *)c->data)[index], value, tolerance);
}

static void png_becomes_light(void **state) {
    (void)state;
    char *path;
    save_png("rgb.png", 3, 8, (uint8_t[]){0, 10, 255, 128, 64, 200});
    struct us_task *task = reading("rgb.png", "srgb", &path);
    ASSERT_OK(us_fake_run(task));
    check_value(task, "R", 0, 0, 0);
    check_value(task, "G", 0, linear_of(10 / 255.0), 1e-6);
    check_value(task, "B", 0, 1, 1e-6);
    check_value(task, "R", 1, linear_of(128 / 255.0), 1e-6);
    us_fake_text(task, "colorspace", "linear");
    ASSERT_OK(us_fake_run(task));
    check_value(task, "R", 1, 128 / 255.0, 1e-7);
    us_fake_destroy(task);
    us_free(path);
}

static void alpha_and_16_bits_survive(void **state) {
    (void)state;
    char *path;
    save_png("rgba.png", 4, 16, (uint16_t[]){0, 1, 65535, 32768, 300, 20000, 7, 13});
    struct us_task *task = reading("rgba.png", "srgb", &path);
    ASSERT_OK(us_fake_run(task));
    check_value(task, "G", 0, 1 / 65535.0 / 12.92, 1e-9);
    check_value(task, "A", 0, 32768 / 65535.0, 1e-7);
    check_value(task, "G", 1, linear_of(20000 / 65535.0), 1e-6);
    check_value(task, "A", 1, 13 / 65535.0, 1e-9);
    us_fake_destroy(task);
    us_free(path);
    save_png("gray.png", 1, 8, (uint8_t[]){255, 51});
    task = reading("gray.png", "srgb", &path);
    ASSERT_OK(us_fake_run(task));
    assert_int_equal(us_fake_output(task, "image")->image->channel_count, 1);
    check_value(task, "Y", 1, linear_of(0.2), 1e-6);
    us_fake_destroy(task);
    us_free(path);
}

/* Written with libpng itself: us_png_encode makes no palettes. */
static void palettes_become_colours(void **state) {
    (void)state;
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = 2,
                     .height = 1,
                     .format = PNG_FORMAT_RGB_COLORMAP,
                     .colormap_entries = 2};
    const uint8_t colors[] = {255, 0, 51, 0, 102, 255}, indices[] = {1, 0};
    char *path = us_path_join(us_test_folder(), "palette.png");
    assert_true(png_image_write_to_file(&png, path, 0, indices, 2, colors));
    us_free(path);
    struct us_task *task = reading("palette.png", "linear", &path);
    ASSERT_OK(us_fake_run(task));
    check_value(task, "G", 0, 0.4, 1e-6);
    check_value(task, "R", 1, 1, 1e-6);
    check_value(task, "B", 1, 0.2, 1e-6);
    us_fake_destroy(task);
    us_free(path);
}

static void jpeg_becomes_light(void **state) {
    (void)state;
    char *path;
    save_jpeg("c.0001.jpg", 3, JCS_RGB, (const uint8_t[]){200, 100, 50});
    struct us_task *task = reading("c.####.jpg", "linear", &path);
    us_fake_frame(task, (struct us_frame){0, 1});
    ASSERT_OK(us_fake_run(task));
    check_value(task, "R", 37, 200 / 255.0, 2 / 255.0);
    check_value(task, "G", 37, 100 / 255.0, 2 / 255.0);
    check_value(task, "B", 37, 50 / 255.0, 2 / 255.0);
    us_fake_destroy(task);
    us_free(path);
    save_jpeg("g.jpg", 1, JCS_GRAYSCALE, (const uint8_t[]){128});
    task = reading("g.jpg", "srgb", &path);
    ASSERT_OK(us_fake_run(task));
    check_value(task, "Y", 9, linear_of(128 / 255.0), 0.01);
    us_fake_destroy(task);
    us_free(path);
}

static void bad_files_are_errors(void **state) {
    (void)state;
    char *path;
    save_jpeg("k.jpg", 4, JCS_CMYK, (const uint8_t[]){1, 2, 3, 4});
    struct us_task *task = reading("k.jpg", "srgb", &path);
    ASSERT_ERROR(us_fake_run(task), "k.jpg' because: the JPEG is CMYK");
    us_fake_destroy(task);
    us_free(path);
    save("text.png", "hello", 5);
    task = reading("text.png", "srgb", &path);
    ASSERT_ERROR(us_fake_run(task), "text.png' because: this is neither PNG nor JPEG");
    us_fake_destroy(task);
    us_free(path);
    uint8_t *bytes;
    size_t size;
    save_jpeg("cut.jpg", 3, JCS_RGB, (const uint8_t[]){200, 100, 50});
    path = us_path_join(us_test_folder(), "cut.jpg");
    ASSERT_OK(us_read_file(path, 0, &bytes, &size));
    us_free(path);
    save("cut.jpg", bytes, size - 12);
    us_free(bytes);
    task = reading("cut.jpg", "srgb", &path);
    ASSERT_ERROR(us_fake_run(task), "cut.jpg' because: the JPEG is damaged");
    us_fake_destroy(task);
    us_free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_becomes_light),       cmocka_unit_test(alpha_and_16_bits_survive),
        cmocka_unit_test(palettes_become_colours), cmocka_unit_test(jpeg_becomes_light),
        cmocka_unit_test(bad_files_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
