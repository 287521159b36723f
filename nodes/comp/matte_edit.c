#include <math.h>
#include <string.h>

#include "kernels/blur.h"
#include "kernels/morph.h"
#include "nodes/comp/input.h"
#include "nodes/comp/region.h"
#include "runtime/base/mem.h"

struct matte_edit_params {
    const char *channel, *combine;
    double erode_px, feather_px, gain, offset;
    bool invert, clip;
};

enum { IN_MATTE, IN_WITH };

static const struct us_port inputs[] = {
    {"matte", "The image whose matte is edited.", US_IMAGE, US_THIS_FRAME, false, false},
    {"with", "A second matte, combined with the edited first one.", US_IMAGE, US_THIS_FRAME, true,
     false},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {"image", "The first image with its matte edited.", US_IMAGE, US_THIS_FRAME, false, false},
    {.name = NULL}};

enum combine { MULTIPLY, ADD, SUBTRACT, MAXIMUM, MINIMUM };
static const char *const combines[] = {"multiply", "add", "subtract", "max", "min", NULL};

#define PARAMS struct matte_edit_params
static const struct us_param params[] = {
    US_STRING(PARAMS, channel, "",
              "The channel to edit; empty: matte.A, else A, else the only one."),
    US_BOOL(PARAMS, invert, false, "Starts from 1 - matte."),
    US_DOUBLE(PARAMS, erode_px, 0.0, -512.0, 512.0, "px", "Shrinks the matte; negative grows it."),
    US_DOUBLE(PARAMS, feather_px, 0.0, 0.0, 1024.0, "px",
              "Width of the soft edge that a hard one becomes, from 2 to 98 percent."),
    US_DOUBLE(PARAMS, gain, 1.0, -1000.0, 1000.0, "", "Multiplies the matte."),
    US_DOUBLE(PARAMS, offset, 0.0, -1000.0, 1000.0, "", "Is added after the gain."),
    US_CHOICE(PARAMS, combine, "multiply", combines, "How the second matte joins the first."),
    US_BOOL(PARAMS, clip, true, "Holds the result within 0 and 1."),
    US_PARAMS_END};

static const char doc[] =
    "In this order: invert, erode (grey-scale morphology with an anti-aliased disc, so that "
    "fractions of a pixel count), feather (gaussian whose sigma is a quarter of the width), gain "
    "and offset, combine with the second matte, clip. Mattes meet in pixel coordinates of the "
    "plate, so data windows may differ; outside its data window the second matte is 0. Everything "
    "else in the first image stays as it is. All numbers may be animated.";

static const char example[] =
    "soft: {type: matte_edit, matte: roto, erode_px: 1.5, feather_px: 8}\n";

static void affine(struct us_view plane, double gain, double offset) {
    for (int32_t y = 0; y < plane.height; y++) {
        float *row = us_view_row(plane, y);
        for (int32_t x = 0; x < plane.width; x++) {
            row[x] = (float)(gain * (double)row[x] + offset);
        }
    }
}

static void join(struct us_view plane, struct us_view with, enum combine how) {
    for (int32_t y = 0; y < plane.height; y++) {
        float *a = us_view_row(plane, y);
        const float *b = us_view_row(with, y);
        for (int32_t x = 0; x < plane.width; x++) {
            const float results[] = {a[x] * b[x], a[x] + b[x], a[x] - b[x], fmaxf(a[x], b[x]),
                                     fminf(a[x], b[x])};
            a[x] = results[how];
        }
    }
}

static void clip(struct us_view plane) {
    for (int32_t y = 0; y < plane.height; y++) {
        float *row = us_view_row(plane, y);
        for (int32_t x = 0; x < plane.width; x++) {
            row[x] = row[x] > 0.0f ? fminf(row[x], 1.0f) : 0.0f;
        }
    }
}

static struct us_error *shape(struct us_view plane, double grow, double sigma) {
    size_t floats = us_matte_grow_scratch(plane.width, plane.height, grow);
    size_t blur = us_blur_scratch(plane.width, plane.height, sigma);
    float *scratch = us_try_alloc_pixels((floats > blur ? floats : blur) * sizeof *scratch);
    if (!scratch) {
        return us_fail(US_RETRY, "no memory for a matte of %d x %d pixels", plane.width,
                       plane.height);
    }
    if (fabs(grow) > 0.0) {
        us_matte_grow(plane, plane, grow, scratch);
    }
    us_gaussian_blur(plane, plane, sigma, scratch);
    us_free(scratch);
    return NULL;
}

static struct us_error *join_second(const struct us_image *image, const struct us_image *with,
                                    enum combine how, struct us_view plane) {
    struct us_channel *channel;
    struct us_view second;
    US_TRY(us_window_check("the matte's display window", &image->display_window,
                           "the second one's is", &with->display_window));
    US_TRY(us_error_wrap(us_matte_find(with, &channel), "input 'with'"));
    US_TRY(us_planes_create(plane.width, plane.height, 1, &second));
    us_region_read(with, channel, &image->data_window, 0.0f, second);
    join(plane, second, how);
    us_free(second.data);
    return NULL;
}

static struct us_error *edit(const struct matte_edit_params *p, const struct us_image *image,
                             const struct us_image *with, struct us_view plane) {
    if (p->invert) {
        affine(plane, -1.0, 1.0);
    }
    US_TRY(shape(plane, -p->erode_px, p->feather_px / 4.0));
    affine(plane, p->gain, p->offset);
    if (with) {
        US_TRY(
            join_second(image, with, (enum combine)us_choice_index(combines, p->combine), plane));
    }
    if (p->clip) {
        clip(plane);
    }
    return NULL;
}

static struct us_error *find_channel(const struct matte_edit_params *p,
                                     const struct us_image *image, struct us_channel **channel) {
    if (!p->channel[0]) {
        return us_matte_find(image, channel);
    }
    *channel = us_image_channel(image, p->channel);
    if (!*channel || (*channel)->x_sampling != 1 || (*channel)->y_sampling != 1) {
        return us_error_hint(
            us_fail(US_FAILED, "the image has no full-resolution channel '%s'", p->channel),
            "set channel: to one it has");
    }
    return NULL;
}

static struct us_error *run(struct us_task *task) {
    const struct matte_edit_params *p = us_task_params(task);
    const struct us_image *image, *with;
    struct us_image *out;
    struct us_channel *channel;
    struct us_view plane;
    US_TRY(us_input_image(task, IN_MATTE, &image));
    US_TRY(us_input_image(task, IN_WITH, &with));
    US_TRY(find_channel(p, image, &channel));
    US_TRY(us_planes_create(channel->width, channel->height, 1, &plane));
    us_channel_read(channel, plane);
    struct us_error *error = edit(p, image, with, plane);
    error = error ? error : us_image_copy(image, true, &out);
    if (!error) {
        us_channel_write(us_image_channel(out, channel->name), plane);
        us_task_output(task, 0, us_value_from_image(out));
    }
    us_free(plane.data);
    return error;
}

const struct us_node_type us_node_matte_edit = {
    .name = "matte_edit",
    .group = "comp",
    .version = 1,
    .summary = "Shrinks, grows, softens and combines mattes.",
    .doc = doc,
    .example = example,
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(struct matte_edit_params),
    .per_frame = true,
    .run = run,
};
