#include <math.h>
#include <string.h>

#include "kernels/colour.h"
#include "nodes/comp/input.h"
#include "nodes/comp/region.h"
#include "nodes/face/crop_info.h"
#include "runtime/base/mem.h"

struct color_match_params {
    const char *method;
    double strength;
    int64_t window;
};

enum { IN_SWAP, IN_FACES };

static const struct us_port inputs[] = {
    {"swap", "The swapped crops, from infer_swap.", US_IMAGE, US_WINDOW, false, false},
    {"faces", "The plate's crops, from face_crop: whose colour is wanted.", US_IMAGE, US_WINDOW,
     false, false},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {"image", "The swapped crops in the plate's colour.", US_IMAGE, US_THIS_FRAME, false, false},
    {.name = NULL}};

static const char *const methods[] = {"none", "mean", "reinhard", "mkl", NULL};

#define PARAMS struct color_match_params
static const struct us_param params[] = {
    US_CHOICE(PARAMS, method, "mean", methods,
              "What is matched: nothing, the mean of each channel (a gain), mean and deviation, or "
              "mean and covariance."),
    US_DOUBLE(PARAMS, strength, 1.0, 0.0, 1.0, "", "How much of the way the colours go."),
    US_INT(PARAMS, window, 12, 0, 100000, "frames",
           "Frames before and after whose statistics are averaged in; more than the shot is long "
           "gives nearly one solution for the shot."),
    US_PARAMS_END};

static const char doc[] =
    "Statistics of swap and plate crop are taken in scene-linear light, weighted by both mattes "
    "multiplied, and averaged over a window of frames with weights that fall off linearly to both "
    "sides (a triangle filter, whose response has no negative lobes). From the averages comes one "
    "linear map for the frame, which is applied to the whole crop. Averaging before solving is "
    "what keeps the match from flickering: the map changes far less from frame to frame than the "
    "statistics of single frames do. Windows never cross takes; frames without a face count "
    "nothing and pass through.\n"
    "\n"
    "mean keeps black black and is safe for highlights; reinhard (Reinhard et al. 2001, here in "
    "linear RGB) also matches contrast; mkl is the linear Monge-Kantorovitch map (Pitie and "
    "Kokaram "
    "2007), which matches how channels go together. A constant gain between the two is removed "
    "exactly by the first two.";

static const char example[] =
    "matched: {type: color_match, swap: swap, faces: crop, method: mean, window: 12}\n";

/* A crop as light, with its matte; planes[3] is the matte. */
struct crop {
    struct us_crop_info info;
    struct us_view planes[4];
};

static void crop_finish(struct crop *crop) {
    us_crop_info_finish(&crop->info);
    us_free(crop->planes[0].data);
    crop->planes[0].data = NULL;
}

static struct us_error *crop_fill(const struct us_image *image, struct crop *crop) {
    static const char *const names[] = {"R", "G", "B", "matte.A"};
    US_TRY(us_crop_info_read(image, &crop->info));
    US_TRY(us_planes_create(us_window_width(&image->data_window),
                            us_window_height(&image->data_window), 4, crop->planes));
    for (int c = 0; c < 4; c++) {
        US_TRY(us_image_read_plane(image, names[c], crop->planes[c]));
    }
    return us_encoding_decode(crop->info.encoding, crop->planes, 3);
}

static struct us_error *crop_read(struct us_task *task, int port, size_t index, struct crop *crop) {
    struct us_value *value;
    *crop = (struct crop){0};
    US_TRY(us_task_input(task, port, index, &value));
    struct us_error *error = crop_fill(value->image, crop);
    if (error) {
        crop_finish(crop);
        return us_error_wrap(error, "input %s", us_task_input_name(task, port, index));
    }
    return NULL;
}

static void weigh(struct us_view matte, struct us_view by) {
    for (int32_t y = 0; y < matte.height; y++) {
        float *row = us_view_row(matte, y);
        const float *other = us_view_row(by, y);
        for (int32_t x = 0; x < matte.width; x++) {
            row[x] = fmaxf(row[x], 0.0f) * fmaxf(other[x], 0.0f);
        }
    }
}

/* Adds one frame's statistics. */
static struct us_error *gather_crops(struct crop *swap, struct crop *face, double share,
                                     struct us_colour_sums sums[2]) {
    struct us_colour_sums now[2] = {{.weight = 0}, {.weight = 0}};
    const struct us_view *a = &swap->planes[3], *b = &face->planes[3];
    if (a->width != b->width || a->height != b->height) {
        return us_error_hint(us_fail(US_FAILED, "the swap is %d x %d pixels, the crop %d x %d",
                                     a->width, a->height, b->width, b->height),
                             "connect the crops that the swap was made from");
    }
    weigh(*a, *b);
    us_colour_gather(swap->planes, *a, &now[0]);
    us_colour_gather(face->planes, *a, &now[1]);
    us_colour_blend(&sums[0], &now[0], share);
    us_colour_blend(&sums[1], &now[1], share);
    return NULL;
}

static struct us_error *gather_frame(struct us_task *task, size_t at_swap, size_t at_face,
                                     double share, struct us_colour_sums sums[2]) {
    struct crop swap, face;
    US_TRY(crop_read(task, IN_SWAP, at_swap, &swap));
    struct us_error *error = crop_read(task, IN_FACES, at_face, &face);
    if (!error && swap.info.found && face.info.found) {
        error = gather_crops(&swap, &face, share, sums);
    }
    crop_finish(&swap);
    crop_finish(&face);
    return error;
}

/* Index of a frame's value at a port, or -1. */
static ptrdiff_t find_frame(struct us_task *task, int port, struct us_frame frame) {
    for (size_t i = 0; i < us_task_input_count(task, port); i++) {
        if (us_frame_compare(us_task_input_frame(task, port, i), frame) == 0) {
            return (ptrdiff_t)i;
        }
    }
    return -1;
}

static struct us_error *gather_window(struct us_task *task, struct us_colour_sums sums[2]) {
    const struct color_match_params *p = us_task_params(task);
    struct us_frame now = us_task_frame(task);
    for (size_t i = 0; i < us_task_input_count(task, IN_SWAP); i++) {
        struct us_frame frame = us_task_input_frame(task, IN_SWAP, i);
        ptrdiff_t face = find_frame(task, IN_FACES, frame);
        double away = fabs((double)frame.number - now.number);
        double share = 1.0 - away / ((double)p->window + 1.0);
        if (face < 0 || !(share > 0.0)) {
            continue;
        }
        US_TRY(us_task_progress(task, -1.0));
        US_TRY(gather_frame(task, i, (size_t)face, share, sums));
        if (away > 0.0) {
            us_task_release(task, IN_SWAP, i);
            us_task_release(task, IN_FACES, (size_t)face);
        }
    }
    return NULL;
}

static struct us_error *apply(const struct us_image *image, const struct us_colour_map *map,
                              struct us_image **out) {
    struct crop crop = {0};
    struct us_channel *channels[3];
    struct us_error *error = crop_fill(image, &crop);
    error = error ? error : us_image_copy(image, true, out);
    if (!error) {
        us_colour_apply(map, crop.planes);
        error = us_encoding_encode(crop.info.encoding, crop.planes, 3);
        error = error ? error : us_rgb_find(*out, channels);
        for (int c = 0; c < 3 && !error; c++) {
            us_channel_write(channels[c], crop.planes[c]);
        }
    }
    crop_finish(&crop);
    return error;
}

static struct us_error *find_face(struct us_task *task, size_t index, struct us_value **value,
                                  bool *found) {
    struct us_crop_info info;
    US_TRY(us_task_input(task, IN_SWAP, index, value));
    US_TRY(us_error_wrap(us_crop_info_read((*value)->image, &info), "input %s",
                         us_task_input_name(task, IN_SWAP, index)));
    *found = info.found;
    us_crop_info_finish(&info);
    return NULL;
}

static struct us_error *run(struct us_task *task) {
    const struct color_match_params *p = us_task_params(task);
    struct us_colour_sums sums[2] = {{.weight = 0}, {.weight = 0}};
    struct us_colour_map map;
    struct us_value *value;
    bool found;
    ptrdiff_t now = find_frame(task, IN_SWAP, us_task_frame(task));
    if (now < 0) {
        return us_fail(US_FAILED, "input 'swap' has no value at this frame");
    }
    US_TRY(find_face(task, (size_t)now, &value, &found));
    enum us_colour_method method = (enum us_colour_method)us_choice_index(methods, p->method);
    if (method == US_COLOUR_NONE || !(p->strength > 0.0) || !found) {
        us_task_output(task, 0, us_value_ref(value));
        return NULL;
    }
    US_TRY(gather_window(task, sums));
    us_colour_solve(&sums[0], &sums[1], method, p->strength, &map);
    struct us_image *out = NULL;
    struct us_error *error = apply(value->image, &map, &out);
    if (error) {
        us_image_unref(out);
        return error;
    }
    us_task_output(task, 0, us_value_from_image(out));
    return NULL;
}

static void window(const void *filled, int *before, int *after) {
    const struct color_match_params *p = filled;
    bool none = strcmp(p->method, "none") == 0;
    *before = *after = none ? 0 : (int)p->window;
}

const struct us_node_type us_node_color_match = {
    .name = "color_match",
    .group = "comp",
    .version = 1,
    .summary = "Gives the swapped face the plate's colour, without flicker.",
    .doc = doc,
    .example = example,
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(struct color_match_params),
    .per_frame = true,
    .window = window,
    .run = run,
};
