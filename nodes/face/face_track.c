#include <string.h>

#include "nodes/face/tracks.h"
#include "runtime/api/task.h"

struct face_track_params {
    int64_t window;
    const char *order;
    double smooth;
    double smooth_landmarks;
    bool fill;
};
#define PARAMS struct face_track_params

static const char *const orders[] = {"size", "left", "score", NULL};

static const struct us_param params[] = {
    US_INT(PARAMS, window, 2, 0, 24, "frames",
           "Frames looked at before and after. More is steadier and follows quick moves less."),
    US_CHOICE(PARAMS, order, "size", orders,
              "Which face is track 0: the largest, the leftmost, or the one found most surely "
              "(means over the window)."),
    US_DOUBLE(PARAMS, smooth, 1.0, 0.0, 1.0, "",
              "How far the alignment matrix goes from the frame's own (0) to the fit over the "
              "window (1)."),
    US_DOUBLE(PARAMS, smooth_landmarks, 0.3, 0.0, 1.0, "",
              "The same for the landmarks; low, so that mouths and lids keep their motion."),
    US_BOOL(PARAMS, fill, false,
            "Interpolate a face that is missing in this frame and there before and after it."),
    US_PARAMS_END,
};

enum { IN_FACES };
enum { OUT_FACES };

static const struct us_port inputs[] = {
    {.name = "faces",
     .doc = "Faces from face_align, or boxes from face_detect.",
     .data = US_FACES,
     .reach = US_WINDOW},
    {.name = NULL},
};
static const struct us_port outputs[] = {
    {.name = "faces", .doc = "The same faces with track numbers, smoothed.", .data = US_FACES},
    {.name = NULL},
};

static void face_track_window(const void *params_, int *before, int *after) {
    const PARAMS *p = params_;
    *before = *after = (int)p->window;
}

static enum us_track_order order_of(const char *name) {
    return strcmp(name, "size") == 0   ? US_ORDER_SIZE
           : strcmp(name, "left") == 0 ? US_ORDER_LEFT
                                       : US_ORDER_SCORE;
}

/* The window's frames in order of time; times are relative to the task's frame. */
struct frames {
    struct us_faces faces[US_TRACK_FRAMES];
    double times[US_TRACK_FRAMES];
    int count, here;
};

static struct us_error *read_frames(struct us_task *task, struct frames *frames) {
    size_t inputs_there = us_task_input_count(task, IN_FACES);
    int32_t here = us_task_frame(task).number;
    frames->here = -1;
    for (size_t i = 0; i < inputs_there && frames->count < US_TRACK_FRAMES; i++) {
        struct us_value *value;
        int32_t number = us_task_input_frame(task, IN_FACES, i).number;
        US_TRY(us_task_input(task, IN_FACES, i, &value));
        struct us_error *error =
            us_faces_read(value->bytes, value->size, &frames->faces[frames->count]);
        US_TRY(us_error_wrap(error, "%s", us_task_input_name(task, IN_FACES, i)));
        if (number == here) {
            frames->here = frames->count;
        }
        frames->times[frames->count++] = (double)number - here;
        us_task_release(task, IN_FACES, i);
    }
    return frames->here < 0 ? us_fail(US_FAILED, "the faces of frame %d are missing", here) : NULL;
}

static void follow(const PARAMS *p, const struct frames *frames, struct us_faces *out) {
    struct us_tracks tracks;
    struct us_face face;
    const struct us_smoothing smoothing = {
        .reach = (double)p->window + 1, .matrix = p->smooth, .landmarks = p->smooth_landmarks};
    us_tracks_link(frames->faces, frames->count, order_of(p->order), &tracks);
    for (size_t t = 0; t < tracks.count; t++) {
        if (us_track_face(&tracks.items[t], frames->times, frames->count, frames->here, &smoothing,
                          p->fill, &face)) {
            face.track = (int32_t)t;
            *us_faces_add(out) = face;
        }
    }
    us_tracks_finish(&tracks);
}

static struct us_error *face_track_run(struct us_task *task) {
    struct frames frames = {.count = 0};
    struct us_faces out = {0};
    struct us_error *error = read_frames(task, &frames);
    if (!error) {
        follow(us_task_params(task), &frames, &out);
        us_task_output(task, OUT_FACES, us_faces_write(&out));
    }
    for (int i = 0; i < frames.count; i++) {
        us_faces_finish(&frames.faces[i]);
    }
    us_faces_finish(&out);
    return error;
}

const struct us_node_type us_node_face_track = {
    .name = "face_track",
    .group = "face",
    .version = 2,
    .summary = "Numbers the faces, steadies them in time and fills short gaps if asked to.",
    .doc = "Links the faces of a window of frames by the overlap of their boxes and numbers the "
           "people in it by size, from the left or by score, counting those who are missing in "
           "the frame itself, so a number does not jump when another face is lost. The alignment "
           "matrix is smoothed as motion in the plate, with local polynomials (Savitzky and Golay "
           "1964, tricube weights after Cleveland 1979): a parabola for the position, a line for "
           "size and turn. They do not lag, and at cuts nothing is linked. Landmarks are smoothed "
           "much less, and mouth_open and eye_open_left/right stay as measured. What an artist "
           "set is not changed. A frame's result depends on its window only.",
    .example = "steady: {type: face_track, faces: pose, window: 2, order: size}",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .per_frame = true,
    .window = face_track_window,
    .run = face_track_run,
};
