#include "nodes/io/exr_file.h"
#include "nodes/io/sequence.h"
#include "runtime/api/task.h"

enum { OUT_IMAGE };

struct exr_read_params {
    const char *path, *part;
    struct us_frames frames;
    struct us_strings channels;
};

#define PARAMS struct exr_read_params
static const struct us_param params[] = {
    {.name = "path",
     .type = US_PARAM_PATH,
     .offset = offsetof(PARAMS, path),
     .unit = "",
     .required = true,
     .doc = "File or pattern: plate.####.exr, plate.%04d.exr, take*.$F4.exr (a glob is a take)."},
    {.name = "frames",
     .type = US_PARAM_FRAMES,
     .offset = offsetof(PARAMS, frames),
     .text = "all",
     .unit = "",
     .doc = "Frames to read: 1001-1048, 1001-1100x2, 1001,1005, or all there are."},
    US_STRING(PARAMS, part, "",
              "Part of a multi-part file, by name or number; the first if empty."),
    US_STRINGS(PARAMS, channels, "Channels or layers to read (R, matte.A, matte); all if empty."),
    US_PARAMS_END};

static const struct us_port outputs[] = {
    {.name = "image", .doc = "Pixels, windows and attributes as in the file.", .data = US_IMAGE},
    {.name = NULL}};

static struct us_error *frames(const void *values, struct us_frames *found) {
    const struct exr_read_params *p = values;
    return us_sequence_frames(p->path, &p->frames, found);
}

static char *take_name(const void *values, int32_t take) {
    return us_sequence_take_name(((const struct exr_read_params *)values)->path, take);
}

static struct us_error *sources(const void *values, struct us_frame frame,
                                struct us_sources *found) {
    return us_sequence_source(((const struct exr_read_params *)values)->path, frame, found);
}

static struct us_error *run(struct us_task *task) {
    const struct exr_read_params *p = us_task_params(task);
    const struct us_exr_read_options options = {
        .part = p->part, .channels = p->channels.items, .channel_count = p->channels.count};
    struct us_image *image;
    US_TRY(us_exr_read(us_task_source(task, "image", 0), &options, &image));
    us_task_output(task, OUT_IMAGE, us_value_from_image(image));
    return NULL;
}

const struct us_node_type us_node_exr_read = {
    .name = "exr_read",
    .group = "io",
    .version = 1,
    .summary = "Reads OpenEXR files, one a frame.",
    .doc =
        "Scan-line and tiled files (the full-size level), single- and multi-part, half, float and "
        "uint, every compression up to DWAB. Windows, pixel aspect, every channel and every "
        "attribute are carried through. Deep parts are refused. A frame of a stated range that "
        "is not on disk is an error before anything runs; a damaged file says which chunk is "
        "damaged.",
    .example = "plate: {type: exr_read, path: plates/ab010.####.exr, frames: 1001-1048}",
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
