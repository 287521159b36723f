#include <stdlib.h>
#include <string.h>

#include "nodes/learn/onnx/picture.h"
#include "runtime/base/mem.h"

enum { IN_MODEL, IN_IMAGE, OUT_IMAGE = 0 };

struct onnx_params {
    struct us_strings channels, mean, deviation, outputs, channels_out;
    const char *layout, *encoding, *decoding, *fit, *license;
    double scale, out_scale, out_offset;
    int64_t size, multiple, overlap, memory;
    bool clip;
};

static const char *const layouts[] = {"nchw", "nhwc", NULL};
static const char *const curves[] = {"none", "srgb", "log", NULL};
static const char *const fits[] = {"exact", "resize", "tile", NULL};

#define PARAMS struct onnx_params
static const struct us_param params[] = {
    US_STRINGS(PARAMS, channels, "Channels that go in, in order; R, G, B when not given."),
    US_CHOICE(PARAMS, layout, "nchw", layouts,
              "Order of the model's input and outputs: planes (nchw) or pixels (nhwc)."),
    US_CHOICE(PARAMS, encoding, "none", curves,
              "Curve put on the values first: 'srgb' for models trained on pictures, 'log' as "
              "face_crop's, 'none' for crops (already encoded) and models of linear light."),
    US_BOOL(PARAMS, clip, false, "Limit the encoded values to 0 to 1."),
    US_DOUBLE(PARAMS, scale, 1, -1e6, 1e6, "", "Factor on the encoded values (255, for example)."),
    US_STRINGS(PARAMS, mean, "Taken off after the scale: one number, or one a channel; 0."),
    US_STRINGS(PARAMS, deviation, "Divided by after the mean: one number, or one a channel; 1."),
    US_STRINGS(PARAMS, outputs,
               "Names of the model's outputs to take, in order; the file's order when not given."),
    US_STRINGS(PARAMS, channels_out,
               "Channels that the outputs' planes become, in order; R, G, B when not given."),
    US_DOUBLE(PARAMS, out_scale, 1, -1e6, 1e6, "", "Factor on what comes out."),
    US_DOUBLE(PARAMS, out_offset, 0, -1e6, 1e6, "", "Added after out_scale."),
    US_CHOICE(PARAMS, decoding, "none", curves,
              "Curve taken off the result, so that it is linear light again."),
    US_CHOICE(PARAMS, fit, "exact", fits,
              "How the image meets the model: 'exact' as it is (a model of fixed size wants that "
              "size), 'resize' through the model's size and back, 'tile' in tiles."),
    US_INT(PARAMS, size, 0, 0, 16384, "px",
           "For models of any size: side of the tiles, or the longer side after resize; 0: the "
           "image's own."),
    US_INT(PARAMS, multiple, 1, 1, 1024, "px",
           "Sizes are made multiples of this; the image's edge is repeated."),
    US_INT(PARAMS, overlap, 32, 0, 4096, "px", "Overlap of tiles, over which they are blended."),
    US_INT(PARAMS, memory, 4096, 16, 1048576, "MiB", "What one run of the model may take."),
    US_STRING(PARAMS, license, "",
              "Licence of the weights, written to the result's attribute understudy.modelLicense; "
              "what the file says when not given."),
    US_PARAMS_END};

static const struct us_port inputs[] = {
    {.name = "model",
     .doc = "An ONNX file, from model_read.",
     .data = US_MODEL | US_FILE,
     .reach = US_THIS_FRAME},
    {.name = "image", .doc = "The frames.", .data = US_IMAGE, .reach = US_THIS_FRAME},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {.name = "image",
     .doc = "The image with the channels of channels_out replaced or added (float).",
     .data = US_IMAGE},
    {.name = NULL}};

static const char *channel_name(const struct us_strings *names, size_t index) {
    static const char *const rgb[3] = {"R", "G", "B"};
    return names->count ? names->items[index] : rgb[index];
}

static size_t channel_count(const struct us_strings *names) {
    return names->count ? names->count : 3;
}

/* One number for all channels, or one each; text is in the C locale's form. */
static struct us_error *read_numbers(const struct us_strings *list, const char *what,
                                     size_t channels, float missing, float *values) {
    if (list->count > 1 && list->count != channels) {
        return us_fail(US_USAGE, "%s has %zu numbers, wanted 1 or %zu", what, list->count,
                       channels);
    }
    for (size_t i = 0; i < channels; i++) {
        const char *text = list->count ? list->items[list->count > 1 ? i : 0] : NULL;
        char *end;
        values[i] = text ? strtof(text, &end) : missing;
        if (text && (end == text || *end || !(values[i] > -1e9f && values[i] < 1e9f))) {
            return us_fail(US_USAGE, "%s is '%s', no number", what, text);
        }
        if (strcmp(what, "deviation") == 0 && values[i] == 0) {
            return us_fail(US_USAGE, "deviation is 0, allowed is any other number");
        }
    }
    return NULL;
}

static int find(const char *word, const char *const *words) {
    int index = 0;
    while (strcmp(word, words[index]) != 0) {
        index++;
    }
    return index;
}

static struct us_error *make_job(const struct onnx_params *p, struct us_onnx_job *job) {
    const size_t channels = channel_count(&p->channels);
    if (channels > US_ONNX_PLANES || channel_count(&p->channels_out) > US_ONNX_PLANES) {
        return us_fail(US_USAGE, "there are more than %d channels", US_ONNX_PLANES);
    }
    *job = (struct us_onnx_job){.in = {.curve = (enum us_onnx_curve)find(p->encoding, curves),
                                       .clip = p->clip,
                                       .scale = (float)p->scale},
                                .out = {.curve = (enum us_onnx_curve)find(p->decoding, curves),
                                        .scale = (float)p->out_scale,
                                        .offset = (float)p->out_offset},
                                .fit = (enum us_onnx_fit)find(p->fit, fits),
                                .size = (int32_t)p->size,
                                .multiple = (int32_t)p->multiple,
                                .overlap = (int32_t)p->overlap,
                                .channels_last = strcmp(p->layout, "nhwc") == 0,
                                .memory = (size_t)p->memory << 20,
                                .outputs = p->outputs.items,
                                .output_count = p->outputs.count};
    US_TRY(read_numbers(&p->mean, "mean", channels, 0, job->in.mean));
    return read_numbers(&p->deviation, "deviation", channels, 1, job->in.deviation);
}

static struct us_error *check(const void *values) {
    struct us_onnx_job job;
    return make_job(values, &job);
}

static void needs(const void *values, struct us_needs *needs) {
    needs->host_bytes = (size_t)((const struct onnx_params *)values)->memory << 18;
}

static struct us_error *add_results(const struct onnx_params *p, const struct us_image *image,
                                    const struct us_view *planes, const char *license,
                                    struct us_image **result) {
    US_TRY(us_image_copy(image, true, result));
    for (size_t c = 0; c < channel_count(&p->channels_out); c++) {
        struct us_channel *channel;
        US_TRY(
            us_image_add_channel(*result, channel_name(&p->channels_out, c), US_FLOAT, &channel));
        us_channel_write(channel, planes[c]);
    }
    if (*license) {
        us_image_set_string(*result, "understudy.modelLicense", license);
    }
    return NULL;
}

static struct us_error *infer(struct us_task *task, struct us_value *model,
                              const struct us_image *image, struct us_view *planes) {
    const struct onnx_params *p = us_task_params(task);
    const size_t in = channel_count(&p->channels), out = channel_count(&p->channels_out);
    struct us_onnx_job job;
    struct us_image *result = NULL;
    char *noted;
    US_TRY(make_job(p, &job));
    for (size_t c = 0; c < in; c++) {
        US_TRY(us_image_read_plane(image, channel_name(&p->channels, c), planes[c]));
    }
    memset(planes[in].data, 0,
           out * (size_t)planes[0].width * (size_t)planes[0].height * sizeof(float));
    US_TRY(us_onnx_picture(task, model, &job, planes, (int)in, planes + in, (int)out, &noted));
    const char *license = *p->license ? p->license : noted;
    struct us_error *error = add_results(p, image, planes + in, license, &result);
    us_free(noted);
    if (error) {
        us_image_unref(result);
        return error;
    }
    us_task_output(task, OUT_IMAGE, us_value_from_image(result));
    return NULL;
}

/* A crop of face_crop that says it shows none. */
static bool is_empty_crop(const struct us_image *image) {
    int32_t found;
    return us_image_get_int(image, "understudy.found", &found) && !found;
}

static struct us_error *run(struct us_task *task) {
    const struct onnx_params *p = us_task_params(task);
    struct us_value *model, *image;
    struct us_view planes[2 * US_ONNX_PLANES];
    US_TRY(us_task_input(task, IN_MODEL, 0, &model));
    US_TRY(us_task_input(task, IN_IMAGE, 0, &image));
    if (is_empty_crop(image->image)) {
        us_task_output(task, OUT_IMAGE, us_value_ref(image));
        return NULL;
    }
    const size_t count = channel_count(&p->channels) + channel_count(&p->channels_out);
    const struct us_window *window = &image->image->data_window;
    US_TRY(us_planes_create(us_window_width(window), us_window_height(window), count, planes));
    struct us_error *error = infer(task, model, image->image, planes);
    us_free(planes[0].data);
    return error;
}

const struct us_node_type us_node_infer_onnx = {
    .name = "infer_onnx",
    .group = "learn",
    .version = 2,
    .summary = "Runs a model that came as an ONNX file: mattes, denoising, other face models.",
    .doc =
        "Runs the network of an ONNX file (operator sets 7 to 24) on each frame, on the program's "
        "own engine. The model takes one image of floats; its outputs become channels. When the "
        "model needs operators that are missing, all of them are named before anything runs; "
        "docs/models.md lists the operators there are. A model of fixed size takes images of that "
        "size unless fit says otherwise; one of any size is bound to the image's. Values go in as "
        "(curve(x) scale - mean) / deviation and come out as x out_scale + out_offset, through "
        "the inverse of decoding's curve. Crops without a face pass as they are. What a model "
        "may be used for is for its licence to say.",
    .example = "model: {type: model_read, path: models/matte.onnx}\n"
               "matte: {type: infer_onnx, model: model, image: plate, encoding: srgb, clip: true, "
               "channels_out: [matte.A], fit: resize, size: 512, multiple: 32}",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .per_frame = true,
    .check = check,
    .needs = needs,
    .run = run,
};
