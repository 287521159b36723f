#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/blend.h"
#include "kernels/encoding.h"
#include "kernels/resample.h"
#include "nodes/device/gpu.h"
#include "nodes/face/crop_geometry.h"
#include "nodes/face/crop_info.h"
#include "nodes/face/regions.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"

struct face_crop_params {
    int64_t size;
    const char *coverage;
    const char *encoding;
    const char *filter;
    int64_t track;
    const char *on_missing;
    int64_t hold_frames;
    double forehead;
};
#define PARAMS struct face_crop_params

static const char *const encodings[] = {"log", "linear", NULL};
static const char *const filters[] = {"linear", "cubic", "lanczos", NULL};
static const char *const policies[] = {"error", "plate", "hold", NULL};

static const struct us_param params[] = {
    US_INT(PARAMS, size, 256, 64, 1024, "px", "Side of the crop."),
    US_CHOICE(PARAMS, coverage, "whole", us_coverages,
              "How much is shown: half (brows to below the mouth), full (to the chin), whole (the "
              "face with the forehead), head."),
    US_CHOICE(PARAMS, encoding, "log", encodings,
              "What networks see: 'log' keeps light far above 1 within 0 to 1, 'linear' is the "
              "plate's light."),
    US_CHOICE(PARAMS, filter, "cubic", filters, "Resampling filter; the plate is resampled once."),
    US_INT(PARAMS, track, 0, 0, 1000000, "",
           "Which face: its track from face_track, or, without tracks, its place in the list "
           "(0 is the one found with the most confidence)."),
    US_CHOICE(PARAMS, on_missing, "error", policies,
              "A frame without that face: 'error' fails it, 'plate' makes an empty crop that "
              "leaves the plate as it is, 'hold' takes the nearest frame's position."),
    US_INT(PARAMS, hold_frames, 12, 1, 240, "frames",
           "How far 'hold' looks back and ahead; without a face there it fails like 'error'."),
    US_DOUBLE(PARAMS, forehead, 0.2, 0.0, 1.5, "",
              "How far the matte rises above the landmarks' top, in distances from there to the "
              "brows."),
    US_PARAMS_END,
};

enum { IN_IMAGE, IN_FACES };
enum { OUT_CROP };

static const struct us_port inputs[] = {
    {.name = "image", .doc = "The frames.", .data = US_IMAGE},
    {.name = "faces",
     .doc = "Faces with a matrix, from face_align or face_track.",
     .data = US_FACES,
     .reach = US_WINDOW},
    {.name = NULL},
};
static const struct us_port outputs[] = {
    {.name = "crop",
     .doc = "R, G, B (encoded, float) and matte.A; attributes hold the matrix, the landmarks, the "
            "pose and the encoding.",
     .data = US_IMAGE},
    {.name = NULL},
};

static bool holds(const PARAMS *p) {
    return strcmp(p->on_missing, "hold") == 0;
}

static void face_crop_window(const void *params_, int *before, int *after) {
    const PARAMS *p = params_;
    *before = *after = holds(p) ? (int)p->hold_frames : 0;
}

/* Reads one frame's faces and copies the wanted one. */
static struct us_error *read_face(struct us_task *task, size_t index, int64_t track,
                                  struct us_face *face, bool *found) {
    struct us_value *value;
    struct us_faces faces;
    US_TRY(us_task_input(task, IN_FACES, index, &value));
    US_TRY(us_faces_read(value->bytes, value->size, &faces));
    const struct us_face *chosen = us_faces_choose(&faces, track);
    *found = chosen != NULL;
    if (chosen) {
        *face = *chosen;
    }
    us_faces_finish(&faces);
    us_task_release(task, IN_FACES, index);
    if (*found && !face->has_matrix) {
        return us_error_hint(us_fail(US_FAILED, "face %d has no matrix", (int)track),
                             "put face_align before face_crop");
    }
    return NULL;
}

/* The wanted face of the nearest frame, earlier ones first; this frame alone unless held. */
static struct us_error *find_face(struct us_task *task, struct us_face *face, bool *found) {
    const PARAMS *p = us_task_params(task);
    int64_t here = us_task_frame(task).number, reach = holds(p) ? p->hold_frames : 0;
    size_t count = us_task_input_count(task, IN_FACES);
    *found = false;
    for (int64_t distance = 0; distance <= reach && !*found; distance++) {
        for (size_t i = 0; i < count && !*found; i++) {
            int64_t frame = us_task_input_frame(task, IN_FACES, i).number;
            if (frame - here == distance || here - frame == distance) {
                US_TRY(read_face(task, i, p->track, face, found));
            }
        }
    }
    return NULL;
}

/* What a crop is made of: its image and how the plate gets there. */
struct making {
    const struct us_image *plate;
    const PARAMS *params;
    const struct us_face *face;
    struct us_crop_info *info;
    struct us_view views[4]; /* the crop's channels: R, G, B and the matte */
    struct us_image *crop;
    double inverse[6];                   /* crop sample -> plate sample */
    double points[US_FACE_LANDMARKS][2]; /* in the crop */
};

static enum us_filter filter_of(const PARAMS *p) {
    return strcmp(p->filter, "linear") == 0  ? US_FILTER_LINEAR
           : strcmp(p->filter, "cubic") == 0 ? US_FILTER_CUBIC
                                             : US_FILTER_LANCZOS3;
}

static bool is_log(const PARAMS *p) {
    return strcmp(p->encoding, "log") == 0;
}

/* R, G, B through the map into the crop's channels, encoded. NaN and infinities become finite. */
static struct us_error *fill_color(struct making *m) {
    struct us_view source[3];
    US_TRY(us_image_rgb(m->plate, "", source));
    for (int c = 0; c < 3; c++) {
        us_blend_clamp(source[c], -65504.0f, 65504.0f);
    }
    us_resample_affine(source, m->views, 3, m->inverse, filter_of(m->params));
    us_free(source[0].data);
    for (int c = 0; c < 3 && is_log(m->params); c++) {
        us_log_encode(m->views[c].data, m->views[c].data,
                      (size_t)m->params->size * (size_t)m->params->size);
    }
    return NULL;
}

/* The landmarks in crop pixels: for the matte, and as attributes. */
static struct us_error *place_landmarks(struct making *m) {
    const struct us_face *face = m->face;
    struct us_crop_info *info = m->info;
    info->landmark_count = face->landmark_count;
    info->landmarks = us_calloc(2 * (size_t)face->landmark_count + 1, sizeof(float));
    for (int i = 0; i < face->landmark_count; i++) {
        us_affine_apply(info->matrix, face->landmarks[i][0], face->landmarks[i][1],
                        &m->points[i][0], &m->points[i][1]);
        info->landmarks[2 * i] = (float)m->points[i][0];
        info->landmarks[2 * i + 1] = (float)m->points[i][1];
    }
    if (face->landmark_count == 0) {
        return us_error_hint(us_fail(US_FAILED, "the face has no landmarks to draw a matte from"),
                             "put face_align before face_crop");
    }
    return NULL;
}

/* The crop's planes, on a GPU; returned to be published. */
static struct us_error *fill_on_device(struct making *m, struct us_gpu *gpu,
                                       const struct us_channel *const *channels,
                                       struct us_view planes[4]) {
    struct us_view source[3];
    struct us_samples samples[3];
    double curve[US_CURVE_POINTS][2];
    void *there;
    for (int c = 0; c < 3; c++) {
        US_TRY(us_gpu_channel(gpu, channels[c], &samples[c]));
    }
    US_TRY(us_gpu_planes(gpu, samples[0].width, samples[0].height, 3, source));
    for (int c = 0; c < 4; c++) {
        US_TRY(us_gpu_planes(gpu, m->views[c].width, m->views[c].height, 1, &planes[c]));
    }
    for (int c = 0; c < 3; c++) {
        gpu->api->samples_read(samples[c], 0, 0, 0.0f, source[c], gpu->stream);
        gpu->api->blend_clamp(source[c], -65504.0f, 65504.0f, gpu->stream);
    }
    gpu->api->resample_affine(source, planes, 3, m->inverse, filter_of(m->params), gpu->stream);
    for (int c = 0; c < 3 && is_log(m->params); c++) {
        gpu->api->log_encode(planes[c].data, planes[c].data,
                             (size_t)planes[c].width * (size_t)planes[c].height, gpu->stream);
    }
    int count = us_face_curve((const double(*)[2])m->points, m->params->forehead, curve);
    US_TRY(us_gpu_take(gpu, sizeof curve, &there));
    gpu->api->up(gpu->frame, there, curve, sizeof curve);
    gpu->api->polygon_fill(planes[3], there, count, gpu->stream);
    return NULL;
}

static const char *const channel_names[] = {"R", "G", "B", "matte.A"};

static struct us_error *create_crop(int32_t size, struct us_image **crop, struct us_view views[4]) {
    struct us_window window = {0, 0, size - 1, size - 1};
    *crop = us_image_create(window, window);
    struct us_channel *channel;
    for (int i = 0; i < 4; i++) {
        US_TRY(us_image_add_channel(*crop, channel_names[i], US_FLOAT, &channel));
    }
    for (int i = 0; i < 4; i++) {
        channel = us_image_channel(*crop, channel_names[i]);
        views[i] = (struct us_view){channel->data, size, size, size};
    }
    return NULL;
}

/* On the task's device, which keeps the crop; a plate without R, G and B is put together here. */
static struct us_error *fill_pixels(struct us_gpu *gpu, void *context) {
    struct making *m = context;
    const struct us_channel *channels[3];
    struct us_channel *made[4];
    struct us_view planes[4];
    if (!gpu->api || !us_image_rgb_channels(m->plate, channels)) {
        US_TRY(fill_color(m));
        return us_region_draw(US_REGION_FACE, (const double(*)[2])m->points, m->params->forehead,
                              m->views[3]);
    }
    US_TRY(fill_on_device(m, gpu, channels, planes));
    for (int i = 0; i < 4; i++) {
        made[i] = us_image_channel(m->crop, channel_names[i]);
    }
    return us_gpu_publish(gpu, made, planes, 4);
}

static struct us_error *fill_crop(struct us_task *task, struct making *m) {
    const struct us_face *face = m->face;
    m->info->found = true;
    us_crop_map(face->matrix, m->params->coverage, (int32_t)m->params->size, m->info->matrix);
    if (face->has_pose) {
        m->info->yaw = (float)face->pose[0];
        m->info->pitch = (float)face->pose[1];
        m->info->roll = (float)face->pose[2];
    }
    if (!us_affine_invert(m->info->matrix, m->inverse)) {
        return us_fail(US_FAILED, "the face's matrix cannot be inverted");
    }
    m->inverse[2] -= m->plate->data_window.x_min;
    m->inverse[5] -= m->plate->data_window.y_min;
    US_TRY(place_landmarks(m));
    return us_gpu_run(task, fill_pixels, m);
}

static struct us_error *missing(struct us_task *task) {
    const PARAMS *p = us_task_params(task);
    struct us_frame frame = us_task_frame(task);
    if (holds(p)) {
        return us_error_hint(us_fail(US_FAILED, "no face in frame %d, nor within %d frames of it",
                                     frame.number, (int)p->hold_frames),
                             "raise hold_frames, or set on_missing: plate");
    }
    return us_error_hint(us_fail(US_FAILED, "no face in frame %d", frame.number),
                         "set on_missing: plate to leave such frames as they are, or hold; or put "
                         "the face in by hand with face_override");
}

static struct us_error *face_crop_run(struct us_task *task) {
    const PARAMS *p = us_task_params(task);
    struct us_value *plate;
    struct us_face face;
    bool found;
    US_TRY(us_task_input(task, IN_IMAGE, 0, &plate));
    US_TRY(find_face(task, &face, &found));
    if (!found && strcmp(p->on_missing, "plate") != 0) {
        return missing(task);
    }
    struct us_image *crop;
    struct us_crop_info info = {.matrix = {1, 0, 0, 0, 1, 0},
                                .plate_data_window = plate->image->data_window,
                                .plate_display_window = plate->image->display_window};
    snprintf(info.encoding, sizeof info.encoding, "%s", p->encoding);
    snprintf(info.coverage, sizeof info.coverage, "%s", p->coverage);
    struct making m = {.plate = plate->image, .params = p, .face = &face, .info = &info};
    struct us_error *error = create_crop((int32_t)p->size, &crop, m.views);
    if (!error && found) {
        m.crop = crop;
        error = fill_crop(task, &m);
    }
    if (error) {
        us_image_unref(crop);
    } else {
        us_crop_info_write(crop, &info);
        us_task_output(task, OUT_CROP, us_value_from_image(crop));
    }
    us_crop_info_finish(&info);
    return error;
}

/* With on_missing: error a run ends rather than have a frame without a face. */
static void face_crop_describe(const struct us_outlook *outlook, struct us_geometry *made) {
    const struct face_crop_params *p = outlook->params;
    made[OUT_CROP].size = (int)p->size;
    made[OUT_CROP].at_most = strcmp(p->on_missing, "error") != 0;
}

static void face_crop_needs(const void *params_, struct us_needs *needs) {
    (void)params_;
    needs->device = US_DEVICE_PREFERRED;
}

const struct us_node_type us_node_face_crop = {
    .name = "face_crop",
    .group = "face",
    .version = 1,
    .summary = "Cuts the aligned face out, ready for a network.",
    .doc = "Resamples a square around the face once, through the exact matrix from face_align or "
           "face_track in doubles (bicubic after Keys 1981, stretched where it minifies), and "
           "encodes it: 'log' is the curve of color_convert that keeps a scene's highlights "
           "within 0 to 1. matte.A is the outline of the landmarks as a smooth curve, filled with "
           "exact area coverage. Attributes named understudy.* hold the matrix, the landmarks in "
           "crop pixels, the pose, the coverage and the encoding, so the crop can be put back "
           "exactly and opens in any EXR viewer.",
    .example = "crop: {type: face_crop, image: plate, faces: pose, size: 256, coverage: whole}",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .per_frame = true,
    .window = face_crop_window,
    .needs = face_crop_needs,
    .describe = face_crop_describe,
    .run = face_crop_run,
};
