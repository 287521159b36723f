#include "nodes/io/synth/identity.h"
#include "nodes/io/synth/light.h"
#include "nodes/io/synth/render.h"
#include "nodes/io/synth/truth.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"

struct synth_plate_params {
    struct us_frames frames;
    int64_t width, height, seed, samples;
    const char *identity, *other, *light;
    double face_height, focal_mm, pose_deg, speech;
    double light_intensity, exposure_stops, highlights, grain;
};

enum { OUT_IMAGE, OUT_OTHER, OUT_MATTE, OUT_LANDMARKS };

static struct us_error *check(const void *params) {
    const struct synth_plate_params *p = params;
    if (p->frames.all) {
        return us_error_hint(
            us_fail(US_GRAPH, "frames is 'all', but nothing says how many there are"),
            "give a range such as 1001-1048");
    }
    return NULL;
}

static struct us_error *frames(const void *params, struct us_frames *out) {
    const struct synth_plate_params *p = params;
    us_frames_copy(&p->frames, out);
    return NULL;
}

static void needs(const void *params, struct us_needs *out) {
    const struct synth_plate_params *p = params;
    size_t pixels = (size_t)(p->width * p->height), band = (size_t)(p->width * 64);
    out->host_bytes =
        pixels * 16 + band * (size_t)(p->samples * p->samples) * 8 + ((size_t)16 << 20);
    out->threads = 1;
}

static struct synth_shot shot_of(const struct synth_plate_params *p, int32_t frame) {
    return (struct synth_shot){
        .identity = synth_identity_find(p->identity),
        .motion = {.seed = (uint32_t)p->seed,
                   .frame = (float)frame,
                   .pose_range = (float)p->pose_deg,
                   .speech = (float)p->speech},
        .frame = frame,
        .light = p->light,
        .intensity = (float)p->light_intensity,
        .exposure_stops = (float)p->exposure_stops,
        .grain = (float)p->grain,
        .peak = (float)p->highlights,
        .focal_mm = (float)p->focal_mm,
        .face_height = (float)p->face_height,
        .samples = (int)p->samples,
    };
}

static struct us_error *put_channel(struct us_image *image, const char *name,
                                    struct us_view plane) {
    struct us_channel *channel;
    US_TRY(us_image_add_channel(image, name, US_HALF, &channel));
    us_channel_write(channel, plane);
    return NULL;
}

static struct us_error *put_image(struct us_task *task, int port, const char *const *names,
                                  const struct us_view *planes, int count) {
    const struct us_window window = {0, 0, planes[0].width - 1, planes[0].height - 1};
    struct us_image *image = us_image_create(window, window);
    for (int i = 0; i < count; i++) {
        struct us_error *error = put_channel(image, names[i], planes[i]);
        if (error) {
            us_image_unref(image);
            return error;
        }
    }
    us_task_output(task, port, us_value_from_image(image));
    return NULL;
}

static struct us_error *render_all(struct us_task *task, const struct synth_plate_params *p,
                                   struct us_view planes[4]) {
    static const char *const rgb[] = {"R", "G", "B"}, *const alpha[] = {"matte.A"};
    struct synth_shot shot = shot_of(p, us_task_frame(task).number);
    struct synth_picture picture = {{planes[0], planes[1], planes[2]}, planes[3]};
    US_TRY(synth_render(&shot, &picture));
    US_TRY(put_image(task, OUT_IMAGE, rgb, planes, 3));
    US_TRY(put_image(task, OUT_MATTE, alpha, planes + 3, 1));
    US_TRY(us_task_progress(task, 0.5));
    shot.identity = synth_identity_find(p->other);
    picture.matte.data = NULL;
    US_TRY(synth_render(&shot, &picture));
    return put_image(task, OUT_OTHER, rgb, planes, 3);
}

static struct us_error *run(struct us_task *task) {
    const struct synth_plate_params *p = us_task_params(task);
    struct us_view planes[4];
    US_TRY(us_planes_create((int32_t)p->width, (int32_t)p->height, 4, planes));
    struct us_error *error = render_all(task, p, planes);
    us_free(planes[0].data);
    US_TRY(error);
    struct synth_shot shot = shot_of(p, us_task_frame(task).number);
    struct us_faces faces = {0};
    synth_truth_face(&shot, (int)p->width, (int)p->height, &faces);
    us_task_output(task, OUT_LANDMARKS, us_faces_write(&faces));
    us_faces_finish(&faces);
    return NULL;
}

#define PARAMS struct synth_plate_params
static const struct us_param params[] = {
    US_FRAMES(PARAMS, frames, "1001-1048", "Frames to render, 24 a second."),
    US_INT(PARAMS, width, 384, 16, 8192, "px", "Width of the frame."),
    US_INT(PARAMS, height, 288, 16, 8192, "px", "Height of the frame."),
    US_CHOICE(PARAMS, identity, "a", synth_identity_names, "Whose head is in `image`."),
    US_CHOICE(PARAMS, other, "b", synth_identity_names, "Whose head is in `other`."),
    US_INT(PARAMS, seed, 1, 0, 4294967295.0, "", "Which take: motion, clothes and background."),
    US_DOUBLE(PARAMS, face_height, 0.6, 0.05, 2.0, "",
              "Height of the head, chin to crown, as part of the frame's height."),
    US_DOUBLE(PARAMS, focal_mm, 65.0, 12.0, 400.0, "mm", "Focal length over a sensor 36 mm wide."),
    US_DOUBLE(PARAMS, pose_deg, 18.0, 0.0, 60.0, "degrees",
              "How far the head turns to either side; it nods and tilts in proportion."),
    US_DOUBLE(PARAMS, speech, 1.0, 0.0, 1.0, "", "How much it speaks: 0 is silent."),
    US_CHOICE(PARAMS, light, "day", synth_light_names, "Direction and colour of the lights."),
    US_DOUBLE(PARAMS, light_intensity, 1.0, 0.0, 16.0, "", "Factor on the lights on the head."),
    US_DOUBLE(PARAMS, exposure_stops, 0.0, -10.0, 10.0, "stops", "Exposure of the whole frame."),
    US_DOUBLE(PARAMS, highlights, 8.0, 0.0, 1000.0, "",
              "Scene-linear peak of the lamp behind the head and of the glints in the eyes."),
    US_DOUBLE(PARAMS, grain, 0.35, 0.0, 4.0, "", "Strength of the grain; it grows with the light."),
    US_INT(PARAMS, samples, 2, 1, 8, "", "Samples along each side of a pixel."),
    US_PARAMS_END,
};

static const struct us_port outputs[] = {
    {.name = "image", .doc = "The frame, scene-linear: R, G, B in half.", .data = US_IMAGE},
    {.name = "other",
     .doc = "The same frame with the other identity's head: what a perfect swap would give. Equal "
            "to `image` bit for bit where neither head is.",
     .data = US_IMAGE},
    {.name = "matte",
     .doc = "The face that is seen in `image`, as channel matte.A in half.",
     .data = US_IMAGE},
    {.name = "landmarks",
     .doc = "The face of `image`, complete as after face_align: box, keypoints, 468 points in "
            "FaceMesh's order, pose, openings and matrix.",
     .data = US_FACES},
    {.name = NULL},
};

const struct us_node_type us_node_synth_plate = {
    .name = "synth_plate",
    .group = "io",
    .version = 1,
    .summary = "Renders a take of a synthetic head, with ground truth.",
    .doc = "A parametric head with pose, speech, blinks, moving light and grain, before an "
           "out-of-focus background with a lamp far above 1.0. Motion depends on `seed` and the "
           "frame number alone, never on the identity, so that `other` is the same performance by "
           "another person: a swap has a true answer to be measured against. The head is a loft "
           "of superellipses with relief, rasterised and lit by a shadowed key light, shadowed "
           "light from all around and a rim light; hair after Kajiya and Kay 1989.",
    .example = "plate:\n  type: synth_plate\n  identity: b\n  other: a\n  seed: 2\n"
               "  light: tungsten\n",
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(struct synth_plate_params),
    .per_frame = true,
    .check = check,
    .frames = frames,
    .needs = needs,
    .run = run,
};
