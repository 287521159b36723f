#include "tests/support/pictures.h"

#include "runtime/base/mem.h"
#include "tests/support/check.h"

struct us_image *us_test_image(struct us_window data, struct us_window display) {
    return us_image_create(data, display);
}

void us_test_channel(struct us_image *image, const char *name, enum us_sample type,
                     us_test_sample sample, int index) {
    struct us_channel *channel;
    struct us_view plane;
    int32_t width = us_window_width(&image->data_window);
    int32_t height = us_window_height(&image->data_window);
    ASSERT_OK(us_image_add_channel(image, name, type, &channel));
    ASSERT_OK(us_planes_create(width, height, 1, &plane));
    for (int32_t y = 0; y < height; y++) {
        for (int32_t x = 0; x < width; x++) {
            us_view_row(plane, y)[x] =
                sample(x + image->data_window.x_min, y + image->data_window.y_min, index);
        }
    }
    us_channel_write(channel, plane);
    us_free(plane.data);
}

struct us_image *us_test_crop(int size, const struct us_crop_info *info, us_test_sample sample) {
    static const char *const names[] = {"R", "G", "B", "matte.A"};
    struct us_window window = {0, 0, size - 1, size - 1};
    struct us_image *crop = us_image_create(window, window);
    for (int c = 0; c < 4; c++) {
        us_test_channel(crop, names[c], US_FLOAT, sample, c);
    }
    us_crop_info_write(crop, info);
    return crop;
}

float us_test_at(const struct us_image *image, const char *channel, int x, int y) {
    const struct us_channel *c = us_image_channel(image, channel);
    assert_non_null(c);
    struct us_view plane;
    ASSERT_OK(us_planes_create(c->width, c->height, 1, &plane));
    us_channel_read(c, plane);
    float value = us_view_row(plane, y - image->data_window.y_min)[x - image->data_window.x_min];
    us_free(plane.data);
    return value;
}
