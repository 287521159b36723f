#include "tests/support/fake_crops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/encoding.h"
#include "nodes/face/crop_info.h"
#include "tests/support/check.h"

static float bump(double x, double y, double radius) {
    return (float)exp(-(x * x + y * y) / (radius * radius));
}

/* Scene-linear colour of a head of sorts at (x, y), each -1 to 1. */
static void colour_at(const struct us_fake_crop *crop, double x, double y, float rgb[3]) {
    const double dx = 0.25 * crop->pose, wide = crop->person ? 0.3 : 0.45;
    const float head = bump(x, y * 0.8, 0.9);
    const float eyes = bump(x - wide + dx, y + 0.25, 0.14) + bump(x + wide + dx, y + 0.25, 0.14);
    const float mouth = bump((x + dx) * (crop->person ? 0.5 : 1), (y - 0.45) * 2, 0.22);
    const float skin[2][3] = {{0.6f, 0.35f, 0.25f}, {0.25f, 0.3f, 0.55f}};
    const float gain = crop->gain > 0 ? (float)crop->gain : 1.0f;
    for (int c = 0; c < 3; c++) {
        const float red = c == 0 ? 0.3f : 0.0f;
        rgb[c] = gain * (0.05f + skin[crop->person & 1][c] * head * (1 - 0.8f * eyes) +
                         (red - 0.2f * skin[crop->person & 1][c]) * mouth);
    }
}

static void fill(struct us_image *image, const struct us_fake_crop *crop, int size,
                 const char *encoding) {
    static const char *const names[3] = {"R", "G", "B"};
    struct us_channel *matte;
    for (int c = 0; c < 3; c++) {
        struct us_channel *channel;
        ASSERT_OK(us_image_add_channel(image, names[c], US_FLOAT, &channel));
    }
    ASSERT_OK(us_image_add_channel(image, "matte.A", US_FLOAT, &matte));
    for (int i = 0; i < size * size && !crop->missing; i++) {
        const double x = 2 * (i % size + 0.5) / size - 1, y = 2 * (i / size + 0.5) / size - 1;
        float linear[3], encoded[3];
        colour_at(crop, x, y, linear);
        us_log_encode(linear, encoded, 3);
        for (int c = 0; c < 3; c++) {
            float *data = us_image_channel(image, names[c])->data;
            data[i] = strcmp(encoding, "log") == 0 ? encoded[c] : linear[c];
        }
        ((float *)matte->data)[i] = x * x / 0.6 + y * y / 0.8 < 1 ? 1.0f : 0.0f;
    }
}

struct us_image *us_fake_crop_image(const struct us_fake_crop *crop) {
    const int size = crop->size ? crop->size : 32;
    const char *encoding = crop->encoding ? crop->encoding : "log";
    const struct us_window window = {0, 0, size - 1, size - 1}, plate = {0, 0, 319, 239};
    const float half = (float)size / 2;
    float landmarks[6] = {half * 0.6f, half * 0.8f, half * 1.4f, half * 0.8f, half, half * 1.4f};
    struct us_crop_info info = {.found = !crop->missing,
                                .matrix = {0.5, 0, -20, 0, 0.5, -10},
                                .plate_data_window = plate,
                                .plate_display_window = plate,
                                .landmark_count = crop->missing ? 0 : 3,
                                .landmarks = landmarks,
                                .yaw = (float)crop->pose * 30};
    snprintf(info.encoding, sizeof info.encoding, "%s", encoding);
    snprintf(info.coverage, sizeof info.coverage, "%s", crop->coverage ? crop->coverage : "whole");
    struct us_image *image = us_image_create(window, window);
    fill(image, crop, size, encoding);
    us_crop_info_write(image, &info);
    return image;
}

struct us_value *us_fake_crop_value(const struct us_fake_crop *crop) {
    return us_value_from_image(us_fake_crop_image(crop));
}
