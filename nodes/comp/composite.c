#include <string.h>

#include "nodes/comp/input.h"
#include "nodes/comp/merge_device.h"

struct composite_params {
    const char *mask, *matte_use, *filter, *aovs, *on_missing;
    double erode_px, feather_px, opacity, grain;
};

enum { IN_PLATE, IN_FACES, IN_SWAP, IN_MATTE, IN_HOLDOUT };

static const struct us_port inputs[] = {
    {"plate", "The footage, scene-linear R, G, B and whatever else.", US_IMAGE, US_THIS_FRAME,
     false, false},
    {"faces", "The plate's crops, from face_crop: they say where the face is.", US_IMAGE,
     US_THIS_FRAME, false, false},
    {"swap", "The swapped crops, from infer_swap or color_match.", US_IMAGE, US_THIS_FRAME, false,
     false},
    {"matte", "An artist's matte in plate space: matte.A, A or a single channel.", US_IMAGE,
     US_THIS_FRAME, true, false},
    {"holdout", "What stands before the face, in plate space: white keeps the plate.", US_IMAGE,
     US_THIS_FRAME, true, false},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {"image", "The plate with the swapped face.", US_IMAGE, US_THIS_FRAME, false, false},
    {.name = NULL}};

static const char *const masks[] = {"product", "learned", "landmarks", "none", NULL};
static const char *const uses[] = {"multiply", "replace", NULL};
static const char *const filters[] = {"linear", "cubic", "lanczos", NULL};
static const char *const aovs[] = {"none", "matte", "swap", "all", NULL};
static const char *const policies[] = {"error", "plate", NULL};

#define PARAMS struct composite_params
static const struct us_param params[] = {
    US_CHOICE(PARAMS, mask, "learned", masks,
              "What the face is: the swap's own matte (what infer_swap's mask: says), the hull of "
              "the landmarks, both multiplied, or the whole crop."),
    US_CHOICE(PARAMS, matte_use, "multiply", uses,
              "Whether the artist's matte multiplies the mask or replaces it."),
    US_DOUBLE(PARAMS, erode_px, 2.0, -512.0, 512.0, "px",
              "Shrinks the mask by this many plate pixels; negative grows it."),
    US_DOUBLE(PARAMS, feather_px, 6.0, 0.0, 1024.0, "px",
              "Width of the mask's soft edge, from 2 to 98 percent, half of it to each side."),
    US_DOUBLE(PARAMS, opacity, 1.0, 0.0, 1.0, "", "Multiplies the mask."),
    US_DOUBLE(PARAMS, grain, 0.5, 0.0, 4.0, "",
              "Share of the plate's fine noise that the swap lacks and is given."),
    US_CHOICE(PARAMS, filter, "cubic", filters, "How the crop is resampled into the plate."),
    US_CHOICE(PARAMS, aovs, "swap", aovs,
              "Extra channels: matte.A; with swap also swap.R, G, B; with all also st.x, st.y."),
    US_CHOICE(PARAMS, on_missing, "error", policies,
              "For a frame without a face: fail, or hand on the plate with a black matte."),
    US_PARAMS_END};

static const char doc[] =
    "out = plate + M (swap - plate), in scene-linear light. The swap is brought from face space to "
    "plate space once, through the inverse of its crop's matrix in doubles, by a cubic (Keys 1981) "
    "or Lanczos filter, in the log encoding so that highlights make no dark rings, and then "
    "becomes light again: values above 1 come back. M is the mask, eroded (grey-scale morphology "
    "with an anti-aliased disc), feathered (gaussian, sigma a quarter of the width), multiplied by "
    "the artist's matte, by the inverse of the holdout and by opacity; it is 0 outside the crop's "
    "footprint and below 1/1024. Samples where M is 0 keep the plate's bits; so do all other "
    "channels, types, windows and attributes. Alpha is kept: the swap counts as premultiplied as "
    "its crop was.\n"
    "\n"
    "Colour is matched before, by color_match. Grain: the noise of plate and swap inside the mask "
    "is measured from Haar diagonals (Donoho and Johnstone 1994) in the log encoding, and what the "
    "swap lacks is added; the noise depends on the plate's content and the pixel alone.\n"
    "\n"
    "Extra channels are of the plate's type (st: float). st.x and st.y run from 0 to 1 over the "
    "crop, y upwards, and are 0 outside. When the plate has one of the names already, all are "
    "prefixed understudy.";

static const char example[] =
    "comp: {type: composite, plate: plate, faces: crop, swap: swap, erode_px: 4, feather_px: 12}\n";

static struct us_error *check_windows(const struct us_merge *merge) {
    const struct us_image *plate = merge->plate;
    US_TRY(us_window_check("the plate's data window", &plate->data_window,
                           "its face was cropped from", &merge->info->plate_data_window));
    US_TRY(us_window_check("the plate's display window", &plate->display_window,
                           "its face was cropped from", &merge->info->plate_display_window));
    if (merge->matte) {
        US_TRY(us_window_check("the plate's display window", &plate->display_window,
                               "the matte's is", &merge->matte->display_window));
    }
    if (merge->holdout) {
        US_TRY(us_window_check("the plate's display window", &plate->display_window,
                               "the holdout's is", &merge->holdout->display_window));
    }
    return NULL;
}

static struct us_merge_options options_of(const struct composite_params *p) {
    return (struct us_merge_options){
        .mask = (enum us_merge_mask)us_choice_index(masks, p->mask),
        .aovs = (enum us_merge_aovs)us_choice_index(aovs, p->aovs),
        .filter = (enum us_filter)(US_FILTER_LINEAR + us_choice_index(filters, p->filter)),
        .erode_px = p->erode_px,
        .feather_px = p->feather_px,
        .opacity = p->opacity,
        .grain = p->grain,
        .replace = strcmp(p->matte_use, "replace") == 0,
    };
}

/* A swap's attributes are those of the crop it was made from. */
static struct us_error *check_place(const struct us_merge *merge) {
    double faces[9], swap[9];
    if (us_image_get_matrix(merge->faces, "understudy.plateToCrop", faces) &&
        us_image_get_matrix(merge->swap, "understudy.plateToCrop", swap) &&
        memcmp(faces, swap, sizeof faces) != 0) {
        return us_error_hint(us_fail(US_FAILED, "the swap lies elsewhere than the crop of 'faces'"),
                             "connect the face_crop node that the swap was made from");
    }
    return NULL;
}

struct work {
    struct us_merge *merge;
    struct us_image *out;
};

static struct us_error *run_merge(struct us_gpu *gpu, void *context) {
    const struct work *work = context;
    return gpu->api ? us_merge_run_on_device(work->merge, gpu, work->out)
                    : us_merge_run(work->merge, work->out);
}

static struct us_error *merge_face(struct us_task *task, struct us_merge *merge,
                                   struct us_image *out) {
    const struct composite_params *p = us_task_params(task);
    if (!merge->info->found) {
        if (strcmp(p->on_missing, "plate") == 0) {
            return NULL;
        }
        return us_error_hint(us_fail(US_FAILED, "there is no face in this frame"),
                             "set on_missing: plate to hand on the plate, or add the face with "
                             "face_override");
    }
    bool touches;
    US_TRY(check_place(merge));
    US_TRY(us_merge_place(merge, &touches));
    if (!touches) {
        us_task_warn(task, "the face lies outside the plate's data window");
        return NULL;
    }
    US_TRY(us_task_progress(task, 0.1));
    struct work work = {merge, out};
    return us_gpu_run(task, run_merge, &work);
}

static struct us_error *make_output(struct us_task *task, struct us_merge *merge) {
    struct us_image *out;
    US_TRY(check_windows(merge));
    US_TRY(us_image_copy(merge->plate, true, &out));
    struct us_error *error = us_merge_channels(merge->plate, merge->options.aovs, out);
    error = error ? error : merge_face(task, merge, out);
    us_merge_finish(merge);
    if (error) {
        us_image_unref(out);
        return error;
    }
    us_task_output(task, 0, us_value_from_image(out));
    return NULL;
}

static struct us_error *run(struct us_task *task) {
    struct us_crop_info info;
    struct us_merge merge = {.options = options_of(us_task_params(task)), .info = &info};
    US_TRY(us_input_image(task, IN_PLATE, &merge.plate));
    US_TRY(us_input_image(task, IN_FACES, &merge.faces));
    US_TRY(us_input_image(task, IN_SWAP, &merge.swap));
    US_TRY(us_input_image(task, IN_MATTE, &merge.matte));
    US_TRY(us_input_image(task, IN_HOLDOUT, &merge.holdout));
    merge.seed = us_task_input_digest(task, IN_PLATE, 0);
    US_TRY(us_error_wrap(us_crop_info_read(merge.faces, &info), "input 'faces' (%s)",
                         us_task_input_name(task, IN_FACES, 0)));
    struct us_error *error = make_output(task, &merge);
    us_crop_info_finish(&info);
    return error;
}

static void needs(const void *params_, struct us_needs *wanted) {
    (void)params_;
    wanted->device = US_DEVICE_PREFERRED;
}

const struct us_node_type us_node_composite = {
    .name = "composite",
    .group = "comp",
    .version = 1,
    .summary = "Puts the swapped face back onto the plate.",
    .doc = doc,
    .example = example,
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(struct composite_params),
    .per_frame = true,
    .needs = needs,
    .run = run,
};
