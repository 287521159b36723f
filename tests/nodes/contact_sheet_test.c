#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/face/crop_info.h"
#include "nodes/io/exr_file.h"
#include "nodes/io/png.h"
#include "nodes/registry.h"
#include "runtime/api/registry.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/fake_task.h"

enum { MARGIN = 24, GAP = 6 };

static const struct us_node_type *type(void) {
    return us_registry_find(&us_nodes, "contact_sheet");
}

static struct us_image *flat(float r, float g, float b, int width, int height) {
    const struct us_window window = {0, 0, width - 1, height - 1};
    struct us_image *image = us_image_create(window, window);
    const float values[] = {b, g, r};
    static const char *const names[] = {"B", "G", "R"};
    for (int c = 0; c < 3; c++) {
        struct us_channel *channel;
        ASSERT_OK(us_image_add_channel(image, names[c], US_FLOAT, &channel));
        for (int i = 0; i < width * height; i++) {
            ((float *)channel->data)[i] = values[c];
        }
    }
    return image;
}

static void add(struct us_task *task, size_t entry, int frame, struct us_image *image) {
    us_fake_input(task, "images", entry, (struct us_frame){0, frame}, us_value_from_image(image));
}

static struct us_task *sheet(const char *name, char **path) {
    struct us_task *task = us_fake_create(type());
    *path = us_path_join(us_test_folder(), name);
    us_fake_text(task, "path", *path);
    us_fake_number(task, "width", 32);
    us_fake_number(task, "labels", 0);
    return task;
}

static const uint8_t *pixel(const struct us_png *png, int x, int y) {
    return png->pixels + 3 * (y * png->width + x);
}

static struct us_png result(const struct us_task *task) {
    struct us_png png;
    const struct us_value *file = us_fake_output(task, "file");
    ASSERT_OK(us_png_decode(file->bytes, file->size, &png));
    return png;
}

static void pictures_stand_in_rows_and_columns(void **state) {
    (void)state;
    char *path;
    struct us_task *task = sheet("rows.png", &path);
    add(task, 0, 1, flat(1, 0, 0, 8, 4));
    add(task, 0, 2, flat(0, 0.5f, 0, 8, 4));
    add(task, 1, 2, flat(0, 0, 4, 8, 8));
    ASSERT_OK(us_fake_run(task));
    struct us_png png = result(task);
    assert_int_equal(png.width, 2 * MARGIN + 2 * 32 + GAP);
    assert_int_equal(png.height, 2 * MARGIN + 16 + 14 + 32);
    assert_memory_equal(pixel(&png, MARGIN + 16, MARGIN + 8), "\xff\0\0", 3);
    assert_memory_equal(pixel(&png, MARGIN + 16 + 38, MARGIN + 8), "\0\xbc\0", 3);
    assert_memory_equal(pixel(&png, MARGIN + 16 + 38, MARGIN + 30 + 16), "\0\0\xff", 3);
    const uint8_t *nothing = pixel(&png, MARGIN + 3, MARGIN + 30 + 3);
    assert_true(nothing[0] < 40 && nothing[0] == nothing[1]);
    us_free(png.pixels);
    us_fake_destroy(task);
    us_free(path);
}

static void frames_are_spread_and_wrapped(void **state) {
    (void)state;
    char *path;
    struct us_task *task = sheet("spread.png", &path);
    for (int f = 0; f < 11; f++) {
        add(task, 0, f, flat((float)f / 10, 0, 0, 4, 4));
    }
    us_fake_number(task, "frames", 3);
    us_fake_number(task, "columns", 2);
    ASSERT_OK(us_fake_run(task));
    struct us_png png = result(task);
    assert_int_equal(png.width, 2 * MARGIN + 2 * 32 + GAP);
    assert_int_equal(pixel(&png, MARGIN + 16, MARGIN + 16)[0], 0);
    assert_int_equal(pixel(&png, MARGIN + 16 + 38, MARGIN + 16)[0], 188); /* sRGB of 0.5 */
    assert_int_equal(pixel(&png, MARGIN + 16, MARGIN + 46 + 16)[0], 255);
    us_free(png.pixels);
    us_fake_destroy(task);
    us_free(path);
}

static void labels_and_exposure(void **state) {
    (void)state;
    char *path;
    struct us_task *task = sheet("labels.png", &path);
    add(task, 0, 1234, flat(0.125f, 0.125f, 0.125f, 4, 4));
    us_fake_number(task, "exposure", 2);
    us_fake_number(task, "labels", 1);
    ASSERT_OK(us_fake_run(task));
    struct us_png png = result(task);
    int bright = 0;
    for (int y = 0; y < MARGIN + 30; y++) {
        for (int x = 0; x < png.width; x++) {
            bright += pixel(&png, x, y)[0] > 130;
        }
    }
    assert_int_equal(pixel(&png, MARGIN + 16, MARGIN + 30 + 16)[0], 188);
    assert_in_range(bright, 60, 400);
    us_free(png.pixels);
    us_fake_destroy(task);
    us_free(path);
}

static void exr_sheets_stay_linear(void **state) {
    (void)state;
    char *path;
    struct us_task *task = sheet("linear.exr", &path);
    us_fake_text(task, "format", "exr");
    add(task, 0, 1, flat(4, 0.5f, -1, 4, 4));
    ASSERT_OK(us_fake_run(task));
    struct us_image *image;
    ASSERT_OK(us_exr_read(path, NULL, &image));
    struct us_view planes[3];
    ASSERT_OK(us_image_rgb(image, "", planes));
    assert_true(us_view_row(planes[0], MARGIN + 9)[MARGIN + 9] == 4.0f);
    assert_true(us_view_row(planes[2], MARGIN + 9)[MARGIN + 9] == -1.0f);
    us_free(planes[0].data);
    us_image_unref(image);
    us_fake_destroy(task);
    us_free(path);
}

static void windows_are_respected(void **state) {
    (void)state;
    char *path;
    struct us_task *task = sheet("windows.png", &path);
    struct us_image *image = flat(1, 1, 1, 4, 8);
    image->display_window = (struct us_window){-4, 0, 3, 7};
    add(task, 0, 1, image);
    ASSERT_OK(us_fake_run(task));
    struct us_png png = result(task);
    assert_int_equal(pixel(&png, MARGIN + 14, MARGIN + 16)[0], 0);
    assert_int_equal(pixel(&png, MARGIN + 17, MARGIN + 16)[0], 255);
    us_free(png.pixels);
    us_fake_destroy(task);
    us_free(path);
}

/* Pixels a billion tiles away from what is displayed. */
static void pixels_far_outside_are_black(void **state) {
    (void)state;
    char *path;
    struct us_task *task = sheet("far.png", &path);
    struct us_image *image = flat(1, 1, 1, 4, 4);
    image->data_window = (struct us_window){1000000000, -1000000003, 1000000003, -1000000000};
    image->display_window = (struct us_window){0, 0, 0, 0};
    add(task, 0, 1, image);
    ASSERT_OK(us_fake_run(task));
    struct us_png png = result(task);
    assert_int_equal(pixel(&png, MARGIN + 9, MARGIN + 9)[0], 0);
    us_free(png.pixels);
    us_fake_destroy(task);
    us_free(path);
}

static void bad_sheets_are_errors(void **state) {
    (void)state;
    char *path;
    struct us_task *task = sheet("sheet.jpg", &path);
    ASSERT_ERROR(us_fake_run(task), "sheet.jpg', but format is png");
    us_free(path);
    us_fake_destroy(task);
    task = sheet("none.png", &path);
    ASSERT_ERROR(us_fake_run(task), "no pictures");
    const struct us_window window = {0, 0, 3, 3};
    struct us_image *depth = us_image_create(window, window);
    ASSERT_OK(us_image_add_channel(depth, "Z", US_FLOAT, NULL));
    add(task, 0, 7, depth);
    ASSERT_ERROR(us_fake_run(task), "cannot show images@7");
    us_free(path);
    us_fake_destroy(task);
    task = sheet("cancel.png", &path);
    add(task, 0, 7, flat(0, 0, 0, 4, 4));
    us_fake_cancel_after(task, 1);
    ASSERT_ERROR(us_fake_run(task), "stopped");
    us_free(path);
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_stand_in_rows_and_columns),
        cmocka_unit_test(frames_are_spread_and_wrapped),
        cmocka_unit_test(labels_and_exposure),
        cmocka_unit_test(exr_sheets_stay_linear),
        cmocka_unit_test(windows_are_respected),
        cmocka_unit_test(pixels_far_outside_are_black),
        cmocka_unit_test(bad_sheets_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
