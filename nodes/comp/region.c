#include "nodes/comp/region.h"

#include <stdio.h>
#include <string.h>

#include "kernels/encoding.h"
#include "kernels/samples.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"

bool us_window_intersect(const struct us_window *a, const struct us_window *b,
                         struct us_window *out) {
    out->x_min = a->x_min > b->x_min ? a->x_min : b->x_min;
    out->y_min = a->y_min > b->y_min ? a->y_min : b->y_min;
    out->x_max = a->x_max < b->x_max ? a->x_max : b->x_max;
    out->y_max = a->y_max < b->y_max ? a->y_max : b->y_max;
    return out->x_min <= out->x_max && out->y_min <= out->y_max;
}

char *us_window_text(const struct us_window *window, char text[64]) {
    snprintf(text, 64, "(%d, %d)-(%d, %d)", window->x_min, window->y_min, window->x_max,
             window->y_max);
    return text;
}

static struct us_samples samples_of(const struct us_channel *channel) {
    return (struct us_samples){channel->data, channel->width, channel->height,
                               (enum us_sample_type)channel->sample};
}

void us_region_read(const struct us_image *image, const struct us_channel *channel,
                    const struct us_window *region, float outside, struct us_view plane) {
    const struct us_window *data = &image->data_window;
    us_samples_read(samples_of(channel), region->x_min - data->x_min, region->y_min - data->y_min,
                    outside, plane);
}

void us_region_write(const struct us_image *image, struct us_channel *channel,
                     const struct us_window *region, struct us_view plane,
                     const struct us_view *where) {
    const struct us_window *data = &image->data_window;
    us_samples_write(samples_of(channel), region->x_min - data->x_min, region->y_min - data->y_min,
                     plane, where);
}

static struct us_error *lacks(const struct us_image *image, const char *wanted) {
    struct us_str have = {0};
    for (size_t i = 0; i < image->channel_count; i++) {
        us_str_printf(&have, "%s%s", i ? ", " : "", image->channels[i].name);
    }
    struct us_error *error = us_fail(US_FAILED, "the image has no %s; it has %s", wanted,
                                     image->channel_count ? us_str_text(&have) : "no channels");
    us_str_finish(&have);
    return error;
}

static struct us_channel *full_channel(const struct us_image *image, const char *name) {
    struct us_channel *channel = us_image_channel(image, name);
    return channel && channel->x_sampling == 1 && channel->y_sampling == 1 ? channel : NULL;
}

struct us_error *us_matte_find(const struct us_image *image, struct us_channel **channel) {
    *channel = full_channel(image, "understudy.matte.A"); /* beside a plate's own */
    *channel = *channel ? *channel : full_channel(image, "matte.A");
    *channel = *channel ? *channel : full_channel(image, "A");
    if (!*channel && image->channel_count == 1) {
        *channel = full_channel(image, image->channels[0].name);
    }
    return *channel ? NULL : lacks(image, "matte (channel matte.A or A, or a single channel)");
}

struct us_error *us_rgb_find(const struct us_image *image, struct us_channel *channels[3]) {
    static const char *const names[3] = {"R", "G", "B"};
    for (int i = 0; i < 3; i++) {
        channels[i] = full_channel(image, names[i]);
        if (!channels[i] || channels[i]->sample == US_UINT) {
            return lacks(image, "full-resolution R, G and B of type half or float");
        }
    }
    return NULL;
}

typedef void (*us_curve)(const float *, float *, size_t);

static struct us_error *convert(const char *encoding, const struct us_view *planes, int count,
                                us_curve curve) {
    if (strcmp(encoding, "linear") == 0) {
        return NULL;
    }
    if (strcmp(encoding, "log") != 0) {
        return us_fail(US_FAILED, "unknown encoding '%s'; known are log and linear", encoding);
    }
    for (int p = 0; p < count; p++) {
        for (int32_t y = 0; y < planes[p].height; y++) {
            float *row = us_view_row(planes[p], y);
            curve(row, row, (size_t)planes[p].width);
        }
    }
    return NULL;
}

struct us_error *us_encoding_decode(const char *encoding, const struct us_view *planes, int count) {
    return convert(encoding, planes, count, us_log_decode);
}

struct us_error *us_encoding_encode(const char *encoding, const struct us_view *planes, int count) {
    return convert(encoding, planes, count, us_log_encode);
}
