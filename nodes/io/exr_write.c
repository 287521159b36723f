#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/half.h"
#include "nodes/io/exr_file.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"

enum { IN_IMAGE, OUT_FILE = 0 };

struct exr_write_params {
    const char *path, *compression, *pixels;
    struct us_strings channels;
    int64_t tile;
};

static const char *const pixel_choices[] = {"keep", "half", "float", NULL};

#define PARAMS struct exr_write_params
static const struct us_param params[] = {
    {.name = "path",
     .type = US_PARAM_PATH,
     .offset = offsetof(PARAMS, path),
     .unit = "",
     .required = true,
     .role = US_UNKEYED,
     .doc = "File to write, with a place for the frame number: comp/ab010.####.exr. $T stands for "
            "the number of the take."},
    US_CHOICE(PARAMS, compression, "zip", us_exr_compression_names,
              "How pixels are packed; pxr24, b44, b44a, dwaa and dwab lose precision."),
    US_CHOICE(PARAMS, pixels, "keep", pixel_choices,
              "Type of the samples; uint channels stay as they are."),
    US_STRINGS(PARAMS, channels, "Channels or layers to write (R, matte.A, matte); all if empty."),
    US_INT(PARAMS, tile, 0, 0, 4096, "px", "Side of the tiles; 0 writes scan lines."),
    US_PARAMS_END};

static const struct us_port inputs[] = {
    {.name = "image", .doc = "What to write.", .data = US_IMAGE, .reach = US_THIS_FRAME},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {.name = "file", .doc = "The written file.", .data = US_FILE}, {.name = NULL}};

/* Other programs go by the end of a name: a picture of theirs would not be one. */
static struct us_error *check(const void *values) {
    static const char *const others[] = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dpx", NULL};
    const char *path = ((const struct exr_write_params *)values)->path;
    for (size_t i = 0; others[i]; i++) {
        if (us_str_ends(path, others[i])) {
            return us_error_hint(
                us_fail(US_GRAPH, "'%s' ends in '%s', but OpenEXR is written", path, others[i]),
                "name it .exr; contact_sheet writes PNG");
        }
    }
    return NULL;
}

static char *destination(const void *values, struct us_frame frame) {
    const struct exr_write_params *p = values;
    char *path = us_pattern_path(p->path, frame.number);
    struct us_str out = {0};
    const char *rest = path;
    for (const char *at; (at = strstr(rest, "$T")) != NULL; rest = at + 2) {
        us_str_append_bytes(&out, rest, (size_t)(at - rest));
        us_str_printf(&out, "%d", frame.take);
    }
    us_str_append(&out, rest);
    us_free(path);
    return us_str_take(&out);
}

static bool is_chosen(const char *channel, const struct us_strings *chosen) {
    for (size_t i = 0; i < chosen->count; i++) {
        size_t length = strlen(chosen->items[i]);
        if (strncmp(channel, chosen->items[i], length) == 0 &&
            (channel[length] == '\0' || channel[length] == '.')) {
            return true;
        }
    }
    return chosen->count == 0;
}

static struct us_error *check_chosen(const struct us_image *image,
                                     const struct us_strings *chosen) {
    for (size_t i = 0; i < chosen->count; i++) {
        const struct us_strings one = {chosen->items + i, 1};
        struct us_str have = {0};
        bool found = false;
        for (size_t c = 0; c < image->channel_count; c++) {
            found |= is_chosen(image->channels[c].name, &one);
            us_str_printf(&have, "%s%s", c ? ", " : "", image->channels[c].name);
        }
        struct us_error *error =
            found ? NULL
                  : us_error_hint(us_fail(US_FAILED,
                                          "the image has no channel or layer '%s'; it has %s",
                                          chosen->items[i], have.length ? have.data : "none"),
                                  "name channels that are there, or leave the list out for all");
        us_str_finish(&have);
        US_TRY(error);
    }
    return NULL;
}

/* Finite light beyond the range of half becomes the largest half, not infinity. */
static size_t to_half(const float *from, uint16_t *to, size_t count) {
    const float largest = 65504.0f;
    size_t clipped = 0;
    float row[256];
    for (size_t start = 0; start < count; start += 256) {
        size_t part = count - start < 256 ? count - start : 256;
        for (size_t i = 0; i < part; i++) {
            float value = from[start + i];
            bool over = fabsf(value) > largest && !isinf(value);
            row[i] = over ? copysignf(largest, value) : value;
            clipped += over;
        }
        us_float_to_half(row, to + start, part);
    }
    return clipped;
}

static struct us_error *convert(const struct us_channel *from, const char *pixels,
                                struct us_image *out, size_t *clipped) {
    enum us_sample sample = from->sample;
    if (sample != US_UINT && strcmp(pixels, "keep") != 0) {
        sample = strcmp(pixels, "half") == 0 ? US_HALF : US_FLOAT;
    }
    struct us_channel *to;
    US_TRY(us_image_add_sampled_channel(out, from->name, sample, from->x_sampling, from->y_sampling,
                                        &to));
    to->perceptual = from->perceptual;
    size_t count = (size_t)from->width * (size_t)from->height;
    if (sample == from->sample) {
        memcpy(to->data, from->data, us_channel_bytes(from));
    } else if (sample == US_FLOAT) {
        us_half_to_float(from->data, to->data, count);
    } else {
        *clipped += to_half(from->data, to->data, count);
    }
    return NULL;
}

static struct us_error *prepare(struct us_task *task, const struct us_image *image,
                                struct us_image **prepared) {
    const struct exr_write_params *p = us_task_params(task);
    US_TRY(check_chosen(image, &p->channels));
    struct us_image *out = NULL;
    US_TRY(us_image_copy(image, false, &out));
    struct us_error *error = NULL;
    size_t clipped = 0;
    for (size_t i = 0; i < image->channel_count && !error; i++) {
        if (is_chosen(image->channels[i].name, &p->channels)) {
            error = convert(&image->channels[i], p->pixels, out, &clipped);
        }
    }
    if (error) {
        us_image_unref(out);
        return error;
    }
    if (clipped) {
        us_task_warn(task, "%zu samples beyond the range of half were clipped to 65504", clipped);
    }
    *prepared = out;
    return NULL;
}

static struct us_error *run(struct us_task *task) {
    const struct exr_write_params *p = us_task_params(task);
    struct us_exr_write_options options = {.tile_width = (int32_t)p->tile,
                                           .tile_height = (int32_t)p->tile};
    while (strcmp(us_exr_compression_names[options.compression], p->compression) != 0) {
        options.compression++;
    }
    struct us_value *value;
    US_TRY(us_task_input(task, IN_IMAGE, 0, &value));
    struct us_image *image = us_image_ref(value->image);
    if (p->channels.count || strcmp(p->pixels, "keep") != 0) {
        us_image_unref(image);
        US_TRY(prepare(task, value->image, &image));
    }
    struct us_error *error = us_exr_write(us_task_destination(task), image, &options);
    us_image_unref(image);
    return error ? error : us_task_written(task);
}

const struct us_node_type us_node_exr_write = {
    .name = "exr_write",
    .group = "io",
    .version = 1,
    .summary = "Writes OpenEXR files, one a frame.",
    .doc =
        "Single-part scan-line or tiled files with the image's windows, channels and attributes. "
        "A file is complete or not there: it is written beside its place and renamed. The bytes "
        "depend on the image and the parameters alone, so equal frames are equal files. Missing "
        "folders are made. Light beyond the range of half (65504) is clipped, with a warning, "
        "when pixels: half asks for it.",
    .example = "out: {type: exr_write, image: comp, path: comp/ab010.####.exr, compression: zip}",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .per_frame = true,
    .writes = true,
    .check = check,
    .destination = destination,
    .run = run,
};
