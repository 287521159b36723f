#include <math.h>
#include <string.h>

#include "kernels/blend.h"
#include "nodes/comp/input.h"
#include "nodes/comp/match_device.h"
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
    struct us_view planes[4];
};

static struct us_error *crop_read(const struct us_match_side *side, struct crop *crop) {
    static const char *const names[] = {"R", "G", "B", "matte.A"};
    const struct us_window *window = &side->image->data_window;
    US_TRY(us_planes_create(us_window_width(window), us_window_height(window), 4, crop->planes));
    struct us_error *error = NULL;
    for (int c = 0; c < 4 && !error; c++) {
        error = us_image_read_plane(side->image, names[c], crop->planes[c]);
    }
    error = error ? error : us_encoding_decode(side->encoding, crop->planes, 3);
    if (error) {
        us_free(crop->planes[0].data);
    }
    return us_error_wrap(error, "input %s", side->name);
}

static struct us_error *gather_here(const struct us_match_side sides[2],
                                    struct us_colour_sums sums[2]) {
    struct crop swap, face;
    US_TRY(crop_read(&sides[0], &swap));
    struct us_error *error = crop_read(&sides[1], &face);
    if (!error) {
        us_blend_weigh(swap.planes[3], face.planes[3]);
        us_colour_gather(swap.planes, swap.planes[3], &sums[0]);
        us_colour_gather(face.planes, swap.planes[3], &sums[1]);
        us_free(face.planes[0].data);
    }
    us_free(swap.planes[0].data);
    return error;
}

struct gathering {
    struct us_match_side sides[2];
    struct us_colour_sums sums[2];
};

static struct us_error *gather(struct us_gpu *gpu, void *context) {
    struct gathering *g = context;
    memset(g->sums, 0, sizeof g->sums);
    return gpu->api ? us_match_gather_on_device(gpu, g->sides, g->sums)
                    : gather_here(g->sides, g->sums);
}

static struct us_error *check_sizes(const struct us_match_side sides[2]) {
    const struct us_window *a = &sides[0].image->data_window, *b = &sides[1].image->data_window;
    if (us_window_width(a) == us_window_width(b) && us_window_height(a) == us_window_height(b)) {
        return NULL;
    }
    return us_error_hint(us_fail(US_FAILED, "the swap is %d x %d pixels, the crop %d x %d",
                                 us_window_width(a), us_window_height(a), us_window_width(b),
                                 us_window_height(b)),
                         "connect the crops that the swap was made from");
}

/* A value's crop; what the info holds is the caller's. */
static struct us_error *find_side(struct us_task *task, int port, size_t index,
                                  struct us_crop_info *info, struct us_match_side *side) {
    struct us_value *value;
    US_TRY(us_task_input(task, port, index, &value));
    *side =
        (struct us_match_side){value->image, info->encoding, us_task_input_name(task, port, index)};
    return us_error_wrap(us_crop_info_read(value->image, info), "input %s", side->name);
}

/* Adds one frame's statistics. */
static struct us_error *gather_frame(struct us_task *task, size_t at_swap, size_t at_face,
                                     double share, struct us_colour_sums sums[2]) {
    struct us_crop_info swap = {0}, face = {0};
    struct gathering g;
    struct us_error *error = find_side(task, IN_SWAP, at_swap, &swap, &g.sides[0]);
    error = error ? error : find_side(task, IN_FACES, at_face, &face, &g.sides[1]);
    if (!error && swap.found && face.found) {
        error = check_sizes(g.sides);
        error = error ? error : us_gpu_run(task, gather, &g);
        for (int i = 0; i < 2 && !error; i++) {
            us_colour_blend(&sums[i], &g.sums[i], share);
        }
    }
    us_crop_info_finish(&swap);
    us_crop_info_finish(&face);
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

struct applying {
    struct us_match_side side;
    const struct us_colour_map *map;
    struct us_image *out; /* a copy of the side's image */
};

static struct us_error *apply(struct us_gpu *gpu, void *context) {
    struct applying *a = context;
    struct us_channel *channels[3];
    struct crop crop;
    US_TRY(us_rgb_find(a->out, channels));
    bool all_float = true;
    for (int c = 0; c < 3; c++) {
        all_float = all_float && channels[c]->sample == US_FLOAT;
    }
    if (gpu->api && all_float) {
        return us_match_apply_on_device(gpu, &a->side, a->map, a->out);
    }
    US_TRY(crop_read(&a->side, &crop));
    us_colour_apply(a->map, crop.planes);
    struct us_error *error = us_encoding_encode(a->side.encoding, crop.planes, 3);
    for (int c = 0; c < 3 && !error; c++) {
        us_channel_write(channels[c], crop.planes[c]);
    }
    us_free(crop.planes[0].data);
    return error;
}

static struct us_error *make_output(struct us_task *task, size_t index,
                                    const struct us_colour_map *map) {
    struct us_crop_info info = {0};
    struct applying a = {.map = map};
    struct us_error *error = find_side(task, IN_SWAP, index, &info, &a.side);
    error = error ? error : us_image_copy(a.side.image, true, &a.out);
    error = error ? error : us_gpu_run(task, apply, &a);
    us_crop_info_finish(&info);
    if (error) {
        us_image_unref(a.out);
        return error;
    }
    us_task_output(task, 0, us_value_from_image(a.out));
    return NULL;
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
    return make_output(task, (size_t)now, &map);
}

static void needs(const void *filled, struct us_needs *wanted) {
    (void)filled;
    wanted->device = US_DEVICE_PREFERRED;
}

static void window(const void *filled, int *before, int *after) {
    const struct color_match_params *p = filled;
    bool none = strcmp(p->method, "none") == 0;
    *before = *after = none ? 0 : (int)p->window;
}

const struct us_node_type us_node_color_match = {
    .name = "color_match",
    .group = "comp",
    .version = 2,
    .summary = "Gives the swapped face the plate's colour, without flicker.",
    .doc = doc,
    .example = example,
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(struct color_match_params),
    .per_frame = true,
    .window = window,
    .needs = needs,
    .run = run,
};
