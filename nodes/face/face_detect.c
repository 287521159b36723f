#include <math.h>
#include <string.h>

#include "nodes/face/blazeface.h"
#include "nodes/face/weights.h"
#include "runtime/api/task.h"

struct face_detect_params {
    const char *model;
    double min_score;
    int64_t max_faces;
    int64_t levels;
    bool search_all;
    bool turned;
    double exposure_stops;
};
#define PARAMS struct face_detect_params

static const char *const models[] = {"short", "full", NULL};

static const struct us_param params[] = {
    US_CHOICE(PARAMS, model, "full", models,
              "The network: 'full' finds small and large faces, 'short' is faster and finds faces "
              "of about a fifth of what it looks at and more."),
    US_DOUBLE(PARAMS, min_score, 0.5, 0.05, 0.99, "", "Confidence a face must have."),
    US_INT(PARAMS, max_faces, 8, 1, 64, "", "Most faces to keep, best first."),
    US_INT(PARAMS, levels, 2, 1, 5, "",
           "How finely to look: level 1 is the whole frame, each further one halves the side of "
           "the squares that are looked at. Raise it for small faces."),
    US_BOOL(PARAMS, search_all, false,
            "Look at every level. Otherwise the search ends at the first level with a face."),
    US_BOOL(PARAMS, turned, false,
            "Also look at the frame turned by 90, 180 and 270 degrees, for faces on their side or "
            "upside down."),
    US_DOUBLE(PARAMS, exposure_stops, 0.0, -12.0, 12.0, "stops",
              "Brighter or darker than the automatic exposure for detection. Pixels stay as they "
              "are."),
    US_PARAMS_END,
};

enum { IN_IMAGE };
enum { OUT_FACES };

static const struct us_port inputs[] = {
    {.name = "image", .doc = "Frames with R, G, B (or Y).", .data = US_IMAGE},
    {.name = NULL},
};
static const struct us_port outputs[] = {
    {.name = "faces",
     .doc = "Boxes, scores and six keypoints; empty when there is no face.",
     .data = US_FACES},
    {.name = NULL},
};

static enum us_weights network_of(const PARAMS *p) {
    return strcmp(p->model, "short") == 0 ? US_WEIGHTS_BLAZEFACE_SHORT : US_WEIGHTS_BLAZEFACE_FULL;
}

static struct us_error *face_detect_sources(const void *params_, struct us_frame frame,
                                            struct us_sources *sources) {
    (void)frame;
    us_weights_source(sources, network_of(params_));
    return NULL;
}

/* Boxes that overlap by more are finds of one face. */
static const double same_face = 0.3;

enum { TILES_AT_ONCE = 16 };

struct search {
    struct us_task *task;
    const PARAMS *params;
    const struct us_image *image;
    struct us_blazeface detector;
    struct us_frame_rgb frame;
    struct us_faces candidates, found;
};

/* A face that leaves a tile inside the frame is seen whole by a neighbouring tile. */
static bool is_cut(const struct us_face *face, const struct us_square *tile,
                   const struct us_window *window) {
    double half = tile->side / 2, margin = tile->side * 0.01;
    return (face->box[0] < tile->x - half + margin && tile->x - half > window->x_min) ||
           (face->box[1] < tile->y - half + margin && tile->y - half > window->y_min) ||
           (face->box[2] > tile->x + half - margin && tile->x + half < window->x_max + 1) ||
           (face->box[3] > tile->y + half - margin && tile->y + half < window->y_max + 1);
}

static struct us_error *look(struct search *s, const struct us_square *squares, int count,
                             double stops, bool whole) {
    US_TRY(us_blazeface_look(&s->detector, &s->frame, squares, count,
                             stops + s->params->exposure_stops));
    for (int k = 0; k < count; k++) {
        size_t before = s->candidates.count, kept = before;
        us_blazeface_read(&s->detector, squares, k, s->params->min_score, &s->candidates);
        for (size_t i = before; i < s->candidates.count; i++) {
            if (whole || !is_cut(&s->candidates.items[i], &squares[k], &s->frame.window)) {
                s->candidates.items[kept++] = s->candidates.items[i];
            }
        }
        s->candidates.count = kept;
    }
    return us_task_progress(s->task, -1);
}

/* How many squares of `side` cover `length` with at least two fifths of overlap. */
static int tiles_along(double length, double side) {
    return length <= side ? 1 : (int)ceil((length - side) / (0.6 * side)) + 1;
}

static double tile_center(double start, double length, double side, int count, int index) {
    return count == 1 ? start + length / 2
                      : start + side / 2 + (length - side) * index / (count - 1);
}

static struct us_error *look_at_level(struct search *s, int level) {
    const struct us_window *w = &s->frame.window;
    double width = us_window_width(w), height = us_window_height(w);
    double side = fmax(width, height) / exp2(level);
    int columns = tiles_along(width, side), rows = tiles_along(height, side);
    struct us_square tiles[TILES_AT_ONCE];
    int have = 0;
    for (int i = 0; i < columns * rows; i++) {
        tiles[have++] = (struct us_square){
            .x = tile_center(w->x_min, width, side, columns, i % columns),
            .y = tile_center(w->y_min, height, side, rows, i / columns),
            .side = side,
        };
        if (have == TILES_AT_ONCE || i + 1 == columns * rows) {
            US_TRY(look(s, tiles, have, 0, level == 0));
            have = 0;
        }
    }
    return NULL;
}

static struct us_square whole_frame(const struct search *s) {
    const struct us_window *w = &s->frame.window;
    double width = us_window_width(w), height = us_window_height(w);
    return (struct us_square){w->x_min + width / 2, w->y_min + height / 2, fmax(width, height), 0};
}

/* A face much brighter or darker than what surrounds it. */
static struct us_error *look_at_exposures(struct search *s) {
    struct us_square square = whole_frame(s);
    for (int i = 0; i < 2 && s->candidates.count == 0; i++) {
        US_TRY(look(s, &square, 1, i ? -2.0 : 2.0, true));
    }
    return NULL;
}

/* Merges the candidates into the list and forgets them. */
static void harvest(struct search *s) {
    struct us_faces merged;
    us_faces_merge(&s->candidates, same_face, &merged);
    for (size_t i = 0; i < merged.count; i++) {
        *us_faces_add(&s->found) = merged.items[i];
    }
    us_faces_finish(&merged);
    s->candidates.count = 0;
}

/* A turned face is found upright too, less surely and with its points out of place, so each way
 * round is merged by itself and the surest one stays. */
static struct us_error *look_turned(struct search *s) {
    for (int quarter = 1; quarter < 4; quarter++) {
        struct us_square square = whole_frame(s);
        square.angle = quarter * acos(0.0);
        US_TRY(look(s, &square, 1, 0, true));
        harvest(s);
    }
    return NULL;
}

static struct us_error *search(struct search *s) {
    for (int level = 0; level < s->params->levels; level++) {
        US_TRY(look_at_level(s, level));
        if (level == 0 && s->candidates.count == 0) {
            US_TRY(look_at_exposures(s));
        }
        if (s->candidates.count > 0 && !s->params->search_all) {
            break;
        }
    }
    harvest(s);
    if (s->params->turned) {
        US_TRY(look_turned(s));
    }
    us_faces_prune(&s->found, same_face);
    if (s->found.count > (size_t)s->params->max_faces) {
        s->found.count = (size_t)s->params->max_faces;
    }
    return NULL;
}

static void finish(struct search *s) {
    us_faces_finish(&s->candidates);
    us_faces_finish(&s->found);
    us_blazeface_finish(&s->detector);
    us_frame_rgb_finish(&s->frame);
}

static struct us_error *search_image(struct us_gpu *gpu, void *context) {
    struct search *s = context;
    const struct us_tflite *network;
    finish(s);
    US_TRY(us_weights_load(network_of(s->params), &network));
    US_TRY(us_frame_rgb_read(s->image, gpu, &s->frame));
    US_TRY(us_blazeface_start(&s->detector, network));
    return search(s);
}

static struct us_error *face_detect_run(struct us_task *task) {
    struct search s = {.task = task, .params = us_task_params(task)};
    struct us_value *image;
    US_TRY(us_task_input(task, IN_IMAGE, 0, &image));
    s.image = image->image;
    struct us_error *error = us_gpu_run(task, search_image, &s);
    if (!error) {
        us_task_output(task, OUT_FACES, us_faces_write(&s.found));
    }
    finish(&s);
    return error;
}

static void face_detect_needs(const void *params_, struct us_needs *needs) {
    (void)params_;
    needs->device = US_DEVICE_PREFERRED;
}

const struct us_node_type us_node_face_detect = {
    .name = "face_detect",
    .group = "face",
    .version = 2,
    .summary = "Finds faces: boxes, scores and six keypoints.",
    .doc = "Runs BlazeFace (Bazarevsky et al. 2019; MediaPipe's weights, Apache-2.0) over the "
           "data window, letterboxed, and where that finds nothing over ever smaller overlapping "
           "squares. The network sees the light display-encoded (sRGB) after an automatic "
           "exposure that puts the geometric mean at 18 percent, so dark plates and plates far "
           "above 1 are searched alike; two more exposures are tried before a frame counts as "
           "empty. Overlapping finds are merged into their score-weighted mean. Coordinates are "
           "plate pixels; a frame without a face gives an empty list, which is no error here: "
           "what to do about it is decided by on_missing of face_crop. The weights come from "
           "tools/fetch_weights and are checked by SHA-256.",
    .example = "found: {type: face_detect, image: plate, min_score: 0.6}",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .per_frame = true,
    .sources = face_detect_sources,
    .needs = face_detect_needs,
    .run = face_detect_run,
};
