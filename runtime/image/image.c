#include "runtime/image/image.h"

#include <string.h>

#include "kernels/half.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "runtime/image/device.h"

int32_t us_window_width(const struct us_window *window) {
    return window->x_max - window->x_min + 1;
}

int32_t us_window_height(const struct us_window *window) {
    return window->y_max - window->y_min + 1;
}

bool us_window_equal(const struct us_window *a, const struct us_window *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

struct us_image *us_image_create(struct us_window data_window, struct us_window display_window) {
    struct us_image *image = us_calloc(1, sizeof *image);
    image->data_window = data_window;
    image->display_window = display_window;
    image->pixel_aspect = 1.0f;
    image->references = 1;
    return image;
}

struct us_image *us_image_ref(struct us_image *image) {
    __atomic_add_fetch(&image->references, 1, __ATOMIC_RELAXED);
    return image;
}

static void channel_finish(struct us_channel *channel) {
    us_device_forget(channel);
    us_free(channel->name);
    us_free(channel->data);
}

void us_image_unref(struct us_image *image) {
    if (!image || __atomic_sub_fetch(&image->references, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    for (size_t i = 0; i < image->channel_count; i++) {
        channel_finish(&image->channels[i]);
    }
    while (image->attribute_count) {
        us_image_remove_attribute(image, image->attributes[image->attribute_count - 1].name);
    }
    us_free(image->channels);
    us_free(image->attributes);
    us_free(image);
}

size_t us_sample_size(enum us_sample sample) {
    return sample == US_HALF ? 2 : 4;
}

size_t us_channel_bytes(const struct us_channel *channel) {
    return (size_t)channel->width * (size_t)channel->height * us_sample_size(channel->sample);
}

struct us_channel *us_image_channel(const struct us_image *image, const char *name) {
    for (size_t i = 0; i < image->channel_count; i++) {
        if (strcmp(image->channels[i].name, name) == 0) {
            return &image->channels[i];
        }
    }
    return NULL;
}

void us_image_remove_channel(struct us_image *image, const char *name) {
    struct us_channel *channel = us_image_channel(image, name);
    if (!channel) {
        return;
    }
    channel_finish(channel);
    size_t index = (size_t)(channel - image->channels);
    memmove(channel, channel + 1, (image->channel_count - index - 1) * sizeof *channel);
    image->channel_count--;
}

/* Samples of a subsampled axis: coordinates in [low, high] that `sampling` divides. */
static int32_t sample_count(int32_t low, int32_t high, int32_t sampling) {
    int64_t first =
        low >= 0 ? ((int64_t)low + sampling - 1) / sampling : -(-(int64_t)low / sampling);
    int64_t last = high >= 0 ? high / sampling : -((-(int64_t)high + sampling - 1) / sampling);
    return last >= first ? (int32_t)(last - first + 1) : 0;
}

struct us_error *us_image_add_sampled_channel(struct us_image *image, const char *name,
                                              enum us_sample sample, int32_t x_sampling,
                                              int32_t y_sampling, struct us_channel **channel) {
    struct us_channel made = {.sample = sample, .x_sampling = x_sampling, .y_sampling = y_sampling};
    const struct us_window *window = &image->data_window;
    made.width = sample_count(window->x_min, window->x_max, x_sampling);
    made.height = sample_count(window->y_min, window->y_max, y_sampling);
    made.data = us_try_alloc_pixels(us_channel_bytes(&made));
    if (!made.data) {
        return us_fail(US_RETRY, "no memory for channel '%s', %d x %d pixels", name, made.width,
                       made.height);
    }
    memset(made.data, 0, us_channel_bytes(&made));
    made.name = us_strdup(name);
    us_image_remove_channel(image, name);
    size_t index = 0;
    while (index < image->channel_count && strcmp(image->channels[index].name, name) < 0) {
        index++;
    }
    image->channels =
        us_realloc(image->channels, (image->channel_count + 1) * sizeof *image->channels);
    struct us_channel *place = &image->channels[index];
    memmove(place + 1, place, (image->channel_count - index) * sizeof *place);
    *place = made;
    image->channel_count++;
    if (channel) {
        *channel = place;
    }
    return NULL;
}

struct us_error *us_image_add_channel(struct us_image *image, const char *name,
                                      enum us_sample sample, struct us_channel **channel) {
    return us_image_add_sampled_channel(image, name, sample, 1, 1, channel);
}

struct us_error *us_image_copy(const struct us_image *image, bool with_channels,
                               struct us_image **copy) {
    struct us_image *made = us_image_create(image->data_window, image->display_window);
    made->pixel_aspect = image->pixel_aspect;
    for (size_t i = 0; i < image->attribute_count; i++) {
        const struct us_attribute *a = &image->attributes[i];
        us_image_set_attribute(made, a->name, a->type, a->bytes, a->size);
    }
    for (size_t i = 0; with_channels && i < image->channel_count; i++) {
        const struct us_channel *from = &image->channels[i];
        struct us_channel *to;
        struct us_error *error = us_image_add_sampled_channel(
            made, from->name, from->sample, from->x_sampling, from->y_sampling, &to);
        if (error) {
            us_image_unref(made);
            return error;
        }
        to->perceptual = from->perceptual;
        memcpy(to->data, from->data, us_channel_bytes(from));
    }
    *copy = made;
    return NULL;
}

void us_channel_read(const struct us_channel *channel, struct us_view plane) {
    size_t width = (size_t)channel->width;
    for (int32_t y = 0; y < channel->height; y++) {
        float *row = us_view_row(plane, y);
        size_t start = (size_t)y * width;
        if (channel->sample == US_HALF) {
            us_half_to_float((const uint16_t *)channel->data + start, row, width);
        } else if (channel->sample == US_FLOAT) {
            memcpy(row, (const float *)channel->data + start, width * sizeof *row);
        } else {
            const uint32_t *from = (const uint32_t *)channel->data + start;
            for (size_t x = 0; x < width; x++) {
                row[x] = (float)from[x];
            }
        }
    }
}

static uint32_t to_uint(float value) {
    if (!(value > 0.0f)) {
        return 0;
    }
    return value >= 4294967040.0f ? UINT32_MAX : (uint32_t)(value + 0.5f);
}

void us_channel_write(struct us_channel *channel, struct us_view plane) {
    size_t width = (size_t)channel->width;
    for (int32_t y = 0; y < channel->height; y++) {
        const float *row = us_view_row(plane, y);
        size_t start = (size_t)y * width;
        if (channel->sample == US_HALF) {
            us_float_to_half(row, (uint16_t *)channel->data + start, width);
        } else if (channel->sample == US_FLOAT) {
            memcpy((float *)channel->data + start, row, width * sizeof *row);
        } else {
            uint32_t *to = (uint32_t *)channel->data + start;
            for (size_t x = 0; x < width; x++) {
                to[x] = to_uint(row[x]);
            }
        }
    }
}

static struct us_error *no_channel(const struct us_image *image, const char *wanted) {
    struct us_str have = {0};
    for (size_t i = 0; i < image->channel_count; i++) {
        us_str_printf(&have, "%s%s", i ? ", " : "", image->channels[i].name);
    }
    struct us_error *error = us_fail(US_FAILED, "the image has no %s; it has %s", wanted,
                                     image->channel_count ? us_str_text(&have) : "no channels");
    us_str_finish(&have);
    return error;
}

struct us_error *us_image_full_channel(const struct us_image *image, const char *name,
                                       const struct us_channel **channel) {
    *channel = us_image_channel(image, name);
    if (!*channel || (*channel)->x_sampling != 1 || (*channel)->y_sampling != 1) {
        struct us_str wanted = {0};
        us_str_printf(&wanted, "full-resolution channel '%s'", name);
        struct us_error *error = no_channel(image, us_str_text(&wanted));
        us_str_finish(&wanted);
        return error;
    }
    return NULL;
}

struct us_error *us_image_read_plane(const struct us_image *image, const char *name,
                                     struct us_view plane) {
    const struct us_channel *channel;
    US_TRY(us_image_full_channel(image, name, &channel));
    us_channel_read(channel, plane);
    return NULL;
}

struct us_error *us_planes_create(int32_t width, int32_t height, size_t count,
                                  struct us_view *planes) {
    size_t plane = (size_t)width * (size_t)height;
    float *block = us_try_alloc_pixels(plane * count * sizeof *block);
    if (!block) {
        return us_fail(US_RETRY, "no memory for %zu planes of %d x %d pixels", count, width,
                       height);
    }
    for (size_t i = 0; i < count; i++) {
        planes[i] = (struct us_view){block + i * plane, width, height, width};
    }
    return NULL;
}

/* Nearest chroma sample for a pixel: OpenEXR puts samples where `sampling` divides the coordinate.
 * A window that has none of these is without colour. */
static void upsample(const struct us_channel *channel, const struct us_window *window,
                     struct us_view out) {
    if (channel->width == 0 || channel->height == 0) {
        memset(out.data, 0, (size_t)out.width * (size_t)out.height * sizeof *out.data);
        return;
    }
    struct us_view small = {us_malloc((size_t)channel->width * (size_t)channel->height * 4 + 4),
                            channel->width, channel->height, channel->width};
    us_channel_read(channel, small);
    for (int32_t y = 0; y < out.height; y++) {
        int32_t v = (y + window->y_min % channel->y_sampling) / channel->y_sampling;
        v = v < small.height ? v : small.height - 1;
        for (int32_t x = 0; x < out.width; x++) {
            int32_t u = (x + window->x_min % channel->x_sampling) / channel->x_sampling;
            u = u < small.width ? u : small.width - 1;
            us_view_row(out, y)[x] = us_view_row(small, v)[u];
        }
    }
    us_free(small.data);
}

/* OpenEXR technical introduction, "Luminance/chroma images": RY = (R-Y)/Y, BY = (B-Y)/Y. */
static void luminance_chroma(const struct us_channel *y, const struct us_channel *ry,
                             const struct us_channel *by, const struct us_window *window,
                             struct us_view planes[3]) {
    us_channel_read(y, planes[1]);
    upsample(ry, window, planes[0]);
    upsample(by, window, planes[2]);
    size_t count = (size_t)planes[0].width * (size_t)planes[0].height;
    for (size_t i = 0; i < count; i++) {
        float luma = planes[1].data[i];
        float r = (planes[0].data[i] + 1.0f) * luma, b = (planes[2].data[i] + 1.0f) * luma;
        planes[0].data[i] = r;
        planes[2].data[i] = b;
        planes[1].data[i] = (luma - 0.2126f * r - 0.0722f * b) / 0.7152f;
    }
}

static const struct us_channel *layered(const struct us_image *image, const char *layer,
                                        const char *name) {
    struct us_str full = {0};
    if (layer[0]) {
        us_str_printf(&full, "%s.", layer);
    }
    us_str_append(&full, name);
    const struct us_channel *channel = us_image_channel(image, us_str_text(&full));
    us_str_finish(&full);
    return channel;
}

bool us_image_rgb_channels(const struct us_image *image, const struct us_channel *channels[3]) {
    static const char *const names[3] = {"R", "G", "B"};
    bool full = true;
    for (int i = 0; i < 3; i++) {
        channels[i] = us_image_channel(image, names[i]);
        full = full && channels[i] && channels[i]->x_sampling == 1 && channels[i]->y_sampling == 1;
    }
    return full;
}

struct us_error *us_image_rgb(const struct us_image *image, const char *layer,
                              struct us_view planes[3]) {
    static const char *const names[3] = {"R", "G", "B"};
    const struct us_channel *rgb[3], *y = layered(image, layer, "Y");
    const struct us_channel *ry = layered(image, layer, "RY"), *by = layered(image, layer, "BY");
    bool full = true;
    for (int i = 0; i < 3; i++) {
        rgb[i] = layered(image, layer, names[i]);
        full = full && rgb[i] && rgb[i]->x_sampling == 1 && rgb[i]->y_sampling == 1;
    }
    if (!full && !(y && y->x_sampling == 1 && y->y_sampling == 1)) {
        return no_channel(image, layer[0] ? "R, G, B or Y in that layer" : "R, G, B or Y");
    }
    US_TRY(us_planes_create(us_window_width(&image->data_window),
                            us_window_height(&image->data_window), 3, planes));
    if (!full && ry && by) {
        luminance_chroma(y, ry, by, &image->data_window, planes);
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        us_channel_read(full ? rgb[i] : y, planes[i]);
    }
    return NULL;
}

struct us_digest us_image_digest(const struct us_image *image) {
    struct us_hasher *h = us_hasher_create();
    const int32_t *windows[2] = {&image->data_window.x_min, &image->display_window.x_min};
    us_hasher_string(h, "understudy image 1");
    for (int i = 0; i < 8; i++) {
        us_hasher_int(h, windows[i / 4][i % 4]);
    }
    us_hasher_double(h, (double)image->pixel_aspect);
    us_hasher_int(h, (int64_t)image->channel_count);
    for (size_t i = 0; i < image->channel_count; i++) {
        const struct us_channel *c = &image->channels[i];
        us_hasher_string(h, c->name);
        us_hasher_int(h, (int64_t)c->sample * 2 + c->perceptual);
        us_hasher_int(h, c->x_sampling);
        us_hasher_int(h, c->y_sampling);
        us_hasher_blob(h, c->data, us_channel_bytes(c));
    }
    us_hasher_int(h, (int64_t)image->attribute_count);
    for (size_t i = 0; i < image->attribute_count; i++) {
        const struct us_attribute *a = &image->attributes[i];
        us_hasher_string(h, a->name);
        us_hasher_string(h, a->type);
        us_hasher_blob(h, a->bytes, a->size);
    }
    struct us_digest digest = us_hasher_finish(h);
    us_hasher_destroy(h);
    return digest;
}

size_t us_image_bytes(const struct us_image *image) {
    size_t bytes = sizeof *image;
    for (size_t i = 0; i < image->channel_count; i++) {
        bytes += us_channel_bytes(&image->channels[i]);
    }
    return bytes;
}
