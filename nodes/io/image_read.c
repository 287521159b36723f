#include <string.h>

#include "kernels/encoding.h"
#include "nodes/io/jpeg.h"
#include "nodes/io/png.h"
#include "nodes/io/sequence.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

enum { OUT_IMAGE };

struct image_read_params {
    const char *path, *colorspace;
    struct us_frames frames;
};

static const char *const colorspaces[] = {"srgb", "linear", NULL};

#define PARAMS struct image_read_params
static const struct us_param params[] = {
    {.name = "path",
     .type = US_PARAM_PATH,
     .offset = offsetof(PARAMS, path),
     .unit = "",
     .required = true,
     .doc = "PNG or JPEG file or pattern: still.png, frame.####.jpg (a glob is a take)."},
    {.name = "frames",
     .type = US_PARAM_FRAMES,
     .offset = offsetof(PARAMS, frames),
     .text = "all",
     .unit = "",
     .doc = "Frames to read; a path without a frame number is one picture for all of them."},
    US_CHOICE(PARAMS, colorspace, "srgb", colorspaces,
              "How colours are encoded in the file; alpha is always linear."),
    US_PARAMS_END};

static const struct us_port outputs[] = {{.name = "image",
                                          .doc = "R, G, B or Y, and A if there is one; float, "
                                                 "scene-linear, alpha not premultiplied.",
                                          .data = US_IMAGE},
                                         {.name = NULL}};

static struct us_error *frames(const void *values, struct us_frames *found) {
    const struct image_read_params *p = values;
    return us_sequence_frames(p->path, &p->frames, found);
}

static char *take_name(const void *values, int32_t take) {
    return us_sequence_take_name(((const struct image_read_params *)values)->path, take);
}

static struct us_error *sources(const void *values, struct us_frame frame,
                                struct us_sources *found) {
    return us_sequence_source(((const struct image_read_params *)values)->path, frame, found);
}

static struct us_error *decode(const uint8_t *bytes, size_t size, struct us_png *picture) {
    if (size >= 4 && memcmp(bytes, "\x89PNG", 4) == 0) {
        return us_png_decode(bytes, size, picture);
    }
    if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0) {
        struct us_jpeg jpeg;
        US_TRY(us_jpeg_decode(bytes, size, &jpeg));
        *picture = (struct us_png){jpeg.width, jpeg.height, jpeg.channels, 8, jpeg.pixels};
        return NULL;
    }
    return us_error_hint(
        us_fail(US_CORRUPT, "%s", size ? "this is neither PNG nor JPEG" : "the file is empty"),
        "read EXR files with exr_read");
}

static void fill(const struct us_png *picture, int index, bool srgb, float *out) {
    size_t count = (size_t)picture->width * (size_t)picture->height;
    size_t step = (size_t)picture->channels;
    if (picture->bits == 16) {
        const uint16_t *from = (const uint16_t *)(const void *)picture->pixels + index;
        for (size_t i = 0; i < count; i++) {
            out[i] = (float)from[i * step] / 65535.0f;
        }
    } else {
        const uint8_t *from = picture->pixels + index;
        for (size_t i = 0; i < count; i++) {
            out[i] = (float)from[i * step] / 255.0f;
        }
    }
    if (srgb) {
        us_srgb_decode(out, out, count);
    }
}

static struct us_error *to_image(const struct us_png *picture, bool srgb, struct us_image *image) {
    static const char *const names[][4] = {
        {"Y"}, {"Y", "A"}, {"R", "G", "B"}, {"R", "G", "B", "A"}};
    for (int i = 0; i < picture->channels; i++) {
        const char *name = names[picture->channels - 1][i];
        struct us_channel *channel;
        US_TRY(us_image_add_channel(image, name, US_FLOAT, &channel));
        fill(picture, i, srgb && strcmp(name, "A") != 0, channel->data);
    }
    return NULL;
}

static struct us_error *read_picture(const char *path, struct us_png *picture) {
    uint8_t *bytes;
    size_t size;
    US_TRY(us_read_file(path, 0, &bytes, &size));
    struct us_error *error = us_error_wrap(decode(bytes, size, picture), "cannot read '%s'", path);
    us_free(bytes);
    return error;
}

static struct us_error *run(struct us_task *task) {
    const struct image_read_params *p = us_task_params(task);
    struct us_png picture;
    US_TRY(read_picture(us_task_source(task, "image", 0), &picture));
    const struct us_window window = {0, 0, picture.width - 1, picture.height - 1};
    struct us_image *image = us_image_create(window, window);
    struct us_error *error = to_image(&picture, strcmp(p->colorspace, "srgb") == 0, image);
    us_free(picture.pixels);
    if (error) {
        us_image_unref(image);
        return error;
    }
    us_task_output(task, OUT_IMAGE, us_value_from_image(image));
    return NULL;
}

const struct us_node_type us_node_image_read = {
    .name = "image_read",
    .group = "io",
    .version = 1,
    .summary = "Reads PNG and JPEG pictures into scene-linear light.",
    .doc =
        "PNG with 8 or 16 bits (gray, RGB, palette, with or without alpha) and JPEG (gray, RGB), "
        "told apart by their content. Colours are decoded by the sRGB curve of IEC 61966-2-1, or "
        "taken as they are with colorspace: linear; embedded profiles are not applied. Alpha "
        "stays as PNG has it, not premultiplied: multiply before an over.",
    .example = "still: {type: image_read, path: reference/face.png}",
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .per_frame = true,
    .reloads = true,
    .frames = frames,
    .take_name = take_name,
    .sources = sources,
    .run = run,
};
