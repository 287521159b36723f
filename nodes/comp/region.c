#include "nodes/comp/region.h"

#include <stdio.h>
#include <string.h>

#include "kernels/encoding.h"
#include "kernels/half.h"
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

/* One row's samples of a channel from column `x` of the data window on, as a channel. */
static struct us_channel row_part(const struct us_channel *channel, int32_t x, int32_t y,
                                  int32_t width) {
    struct us_channel part = *channel;
    size_t start = (size_t)y * (size_t)channel->width + (size_t)x;
    part.data = (char *)channel->data + start * us_sample_size(channel->sample);
    part.width = width;
    part.height = 1;
    return part;
}

void us_region_read(const struct us_image *image, const struct us_channel *channel,
                    const struct us_window *region, float outside, struct us_view plane) {
    const struct us_window *data = &image->data_window;
    for (int32_t y = 0; y < plane.height; y++) {
        float *row = us_view_row(plane, y);
        for (int32_t x = 0; x < plane.width; x++) {
            row[x] = outside;
        }
    }
    struct us_window shared;
    if (!us_window_intersect(data, region, &shared)) {
        return;
    }
    for (int32_t y = shared.y_min; y <= shared.y_max; y++) {
        float *row = us_view_row(plane, y - region->y_min) + (shared.x_min - region->x_min);
        struct us_channel part = row_part(channel, shared.x_min - data->x_min, y - data->y_min,
                                          us_window_width(&shared));
        us_channel_read(&part, (struct us_view){row, part.width, 1, part.width});
    }
}

static float saturate(enum us_sample sample, float value) {
    if (sample != US_HALF) {
        return value;
    }
    return value > 65504.0f ? 65504.0f : value < -65504.0f ? -65504.0f : value;
}

static void write_run(struct us_channel *channel, float *values) {
    for (int32_t x = 0; x < channel->width; x++) {
        values[x] = saturate(channel->sample, values[x]);
    }
    us_channel_write(channel, (struct us_view){values, channel->width, 1, channel->width});
}

/* Writes one row in runs of samples at which `where` (or NULL) is above 0. */
static void write_row(struct us_channel *channel, int32_t x, int32_t y, int32_t width,
                      float *values, const float *where) {
    for (int32_t i = 0; i < width;) {
        if (where && !(where[i] > 0.0f)) {
            i++;
            continue;
        }
        int32_t end = i + 1;
        while (end < width && (!where || where[end] > 0.0f)) {
            end++;
        }
        struct us_channel part = row_part(channel, x + i, y, end - i);
        write_run(&part, values + i);
        i = end;
    }
}

void us_region_write(const struct us_image *image, struct us_channel *channel,
                     const struct us_window *region, struct us_view plane,
                     const struct us_view *where) {
    const struct us_window *data = &image->data_window;
    struct us_window shared;
    if (!us_window_intersect(data, region, &shared)) {
        return;
    }
    int32_t left = shared.x_min - region->x_min, width = us_window_width(&shared);
    for (int32_t y = shared.y_min; y <= shared.y_max; y++) {
        int32_t row = y - region->y_min;
        write_row(channel, shared.x_min - data->x_min, y - data->y_min, width,
                  us_view_row(plane, row) + left, where ? us_view_row(*where, row) + left : NULL);
    }
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
