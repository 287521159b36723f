#include "nodes/io/exr_format.h"

#include <string.h>

#include "runtime/base/mem.h"

const char *const us_exr_compression_names[] = {"none", "rle",  "zips", "zip",  "piz", "pxr24",
                                                "b44",  "b44a", "dwaa", "dwab", NULL};

int32_t us_exr_chunk_lines(enum us_exr_compression compression) {
    static const int32_t lines[] = {1, 1, 1, 16, 32, 16, 32, 32, 32, 256};
    return lines[compression];
}

bool us_exr_lossless(enum us_exr_compression compression) {
    return compression <= US_EXR_PIZ;
}

int32_t us_exr_first_sample(int32_t low, int32_t sampling) {
    int64_t rest = (int64_t)low % sampling;
    return (int32_t)(rest == 0 ? low : rest > 0 ? low + sampling - rest : low - rest);
}

int32_t us_exr_samples(int32_t low, int32_t high, int32_t sampling) {
    int64_t first = us_exr_first_sample(low, sampling);
    return first > high ? 0 : (int32_t)((high - first) / sampling) + 1;
}

uint64_t us_exr_chunk_offset(const struct us_exr_file *file, const struct us_exr_part *part,
                             size_t index) {
    uint64_t offset = 0;
    if (index < part->chunk_count) {
        memcpy(&offset, file->bytes + file->table + 8 * (part->first_chunk + index), 8);
    }
    return offset;
}

static void put_int(struct us_str *out, int32_t value) {
    us_str_append_bytes(out, &value, sizeof value);
}

static void put_attribute(struct us_str *out, const char *name, const char *type, const void *bytes,
                          size_t size) {
    us_str_append_bytes(out, name, strlen(name) + 1);
    us_str_append_bytes(out, type, strlen(type) + 1);
    put_int(out, (int32_t)size);
    us_str_append_bytes(out, bytes, size);
}

static struct us_error *check_name(const char *what, const char *name) {
    if (!name[0] || strlen(name) > 255) {
        return us_error_hint(us_fail(US_FAILED,
                                     "EXR allows no %s named '%.40s%s'; names have 1 to "
                                     "255 bytes",
                                     what, name, strlen(name) > 40 ? "..." : ""),
                             "rename the %s", what);
    }
    return NULL;
}

/* Fields of the header that no attribute of an image may carry. */
static const char *const reserved[] = {
    "channels",  "chunkCount",       "compression", "dataWindow", "displayWindow",
    "lineOrder", "pixelAspectRatio", "tiles",       "type",       US_EXR_MADE_UP};

static struct us_error *check_image(const struct us_image *image) {
    const struct us_window *w = &image->data_window, *d = &image->display_window;
    if (w->x_max < w->x_min || w->y_max < w->y_min || d->x_max < d->x_min || d->y_max < d->y_min) {
        return us_fail(US_FAILED, "EXR holds no empty data or display window");
    }
    for (size_t i = 0; i < image->channel_count; i++) {
        US_TRY(check_name("channel", image->channels[i].name));
    }
    for (size_t i = 0; i < image->attribute_count; i++) {
        const struct us_attribute *a = &image->attributes[i];
        US_TRY(check_name("attribute", a->name));
        US_TRY(check_name("attribute type", a->type));
        if (a->size > (size_t)64 << 20) {
            return us_fail(US_FAILED, "attribute '%s' has %zu bytes; at most 64 MiB are allowed",
                           a->name, a->size);
        }
        for (size_t r = 0; r < sizeof reserved / sizeof *reserved; r++) {
            if (strcmp(a->name, reserved[r]) == 0) {
                return us_fail(US_FAILED, "no attribute may be named '%s': EXR stores pixels by it",
                               a->name);
            }
        }
    }
    return NULL;
}

static bool has_long_name(const struct us_image *image) {
    for (size_t i = 0; i < image->channel_count; i++) {
        if (strlen(image->channels[i].name) > 31) {
            return true;
        }
    }
    for (size_t i = 0; i < image->attribute_count; i++) {
        const struct us_attribute *a = &image->attributes[i];
        if (strlen(a->name) > 31 || strlen(a->type) > 31) {
            return true;
        }
    }
    return false;
}

static void put_channels(struct us_str *out, const struct us_image *image) {
    static const int32_t types[] = {[US_UINT] = 0, [US_HALF] = 1, [US_FLOAT] = 2};
    struct us_str list = {0};
    for (size_t i = 0; i < image->channel_count; i++) {
        const struct us_channel *c = &image->channels[i];
        us_str_append_bytes(&list, c->name, strlen(c->name) + 1);
        put_int(&list, types[c->sample]);
        put_int(&list, c->perceptual);
        put_int(&list, c->x_sampling);
        put_int(&list, c->y_sampling);
    }
    us_str_append_bytes(&list, "", 1);
    put_attribute(out, "channels", "chlist", list.data, list.length);
    us_str_finish(&list);
}

/* Attributes that every header must have; an image may carry its own. */
static void put_required(struct us_str *out, const struct us_image *image, bool mark) {
    static const float center[2] = {0.0f, 0.0f}, width = 1.0f;
    struct us_str made_up = {0};
    if (!us_image_attribute(image, "screenWindowCenter")) {
        put_attribute(out, "screenWindowCenter", "v2f", center, sizeof center);
        us_str_append(&made_up, "screenWindowCenter ");
    }
    if (!us_image_attribute(image, "screenWindowWidth")) {
        put_attribute(out, "screenWindowWidth", "float", &width, sizeof width);
        us_str_append(&made_up, "screenWindowWidth ");
    }
    if (mark && made_up.length) {
        put_attribute(out, US_EXR_MADE_UP, "string", made_up.data, made_up.length);
    }
    us_str_finish(&made_up);
}

static void put_fields(struct us_str *out, const struct us_image *image,
                       const struct us_exr_header *header) {
    put_channels(out, image);
    uint8_t compression = (uint8_t)header->compression, line_order = 0;
    put_attribute(out, "compression", "compression", &compression, 1);
    put_attribute(out, "dataWindow", "box2i", &image->data_window, 16);
    put_attribute(out, "displayWindow", "box2i", &image->display_window, 16);
    put_attribute(out, "lineOrder", "lineOrder", &line_order, 1);
    put_attribute(out, "pixelAspectRatio", "float", &image->pixel_aspect, 4);
    if (header->tile_width > 0) {
        uint8_t tiles[9] = {0};
        memcpy(tiles, &header->tile_width, 4);
        memcpy(tiles + 4, &header->tile_height, 4);
        put_attribute(out, "tiles", "tiledesc", tiles, sizeof tiles);
    }
}

struct us_error *us_exr_header_write(const struct us_image *image,
                                     const struct us_exr_header *header, struct us_str *out) {
    US_TRY(check_image(image));
    put_int(out, 20000630);
    put_int(out, 2 | (header->tile_width > 0 ? 0x200 : 0) | (has_long_name(image) ? 0x400 : 0));
    put_fields(out, image, header);
    put_required(out, image, header->mark);
    for (size_t i = 0; i < image->attribute_count; i++) {
        const struct us_attribute *a = &image->attributes[i];
        put_attribute(out, a->name, a->type, a->bytes, a->size);
    }
    us_str_append_bytes(out, "", 1);
    return NULL;
}
