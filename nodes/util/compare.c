#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/comp/input.h"
#include "nodes/comp/region.h"
#include "nodes/util/compare_faces.h"
#include "nodes/util/compare_pixels.h"
#include "runtime/base/mem.h"

struct compare_params {
    const char *space;
    double psnr, ssim, gain_db, mouth, eyes, differing;
};

enum { IN_IMAGE, IN_REFERENCE, IN_BASELINE, IN_MATTE, IN_FACES, IN_REFERENCE_FACES };

static const struct us_port inputs[] = {
    {"image", "What is judged.", US_IMAGE, US_ALL_FRAMES, false, false},
    {"reference", "What it should be.", US_IMAGE, US_ALL_FRAMES, false, false},
    {"baseline", "What it has to be better than: the untouched plate.", US_IMAGE, US_ALL_FRAMES,
     true, false},
    {"matte", "Where to look: matte.A, A or a single channel.", US_IMAGE, US_ALL_FRAMES, true,
     false},
    {"faces", "Faces found in `image`, with landmarks.", US_FACES, US_ALL_FRAMES, true, false},
    {"reference_faces", "Faces whose motion they should have.", US_FACES, US_ALL_FRAMES, true,
     false},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {"metrics", "A JSON line a frame, then the summary.", US_METRICS, US_THIS_FRAME, false, false},
    {.name = NULL}};

static const char *const spaces[] = {"display", "log", "as_is", NULL};

#define PARAMS struct compare_params
#define LIMIT(yaml, field, low, high, unit_, text_)                                      \
    {                                                                                    \
        .name = yaml, .type = US_PARAM_DOUBLE, .offset = offsetof(PARAMS, field),        \
        .number = (double)NAN, .min = (low), .max = (high), .unit = unit_, .doc = text_, \
        .neutral = true                                                                  \
    }
static const struct us_param params[] = {
    US_CHOICE(PARAMS, space, "display", spaces,
              "Light is compared as a display shows it (sRGB, clipped), log-encoded, or as it is."),
    LIMIT("at_least.psnr", psnr, 0, 120, "dB",
          "Fails below this, inside the matte if there is one."),
    LIMIT("at_least.ssim", ssim, -1, 1, "", "Fails below this, inside the matte if there is one."),
    LIMIT("at_least.gain_db", gain_db, -120, 120, "dB",
          "Fails unless PSNR is better than the baseline's by this."),
    LIMIT("at_least.mouth", mouth, -1, 1, "", "Fails below this correlation of mouth openings."),
    LIMIT("at_least.eyes", eyes, -1, 1, "", "Fails below this correlation of eye openings."),
    LIMIT("at_most.differing", differing, 0, 1e15, "pixels",
          "Fails when more pixels outside the matte differ."),
    US_PARAMS_END};

static const char doc[] =
    "PSNR (peak 1; 120 dB stands for equal) and SSIM (Wang et al. 2004, gaussian window, mean of "
    "the channels) over the whole frame and, with a matte, weighted by it. Sums are pooled over "
    "the frames, so one bad frame shows. Flicker is the mean absolute change of (image - "
    "reference) from one frame to the next. Outside the matte, where it is 0, pixels are counted "
    "whose bits differ, and the largest difference is given. With a baseline its PSNR and the gain "
    "over it are given too.\n"
    "\n"
    "With both faces ports: Pearson's correlation over the frames of how far mouth and eyes are "
    "open, and the landmarks' mean distance over the distance of the outer eye corners (NME). "
    "Limits that are set make the task fail when they are missed.";

static const char example[] =
    "quality:\n  type: compare\n  image: comp\n  reference: plate.other\n  baseline: plate.image\n"
    "  matte: plate.matte\n  at_least: {gain_db: 3}\n";

struct session {
    struct us_task *task;
    const struct compare_params *p;
    struct us_pixel_compare now;
    struct us_window window; /* of the frames so far: flicker needs one size */
    struct us_frame last;
    struct us_pixel_sums total;
    struct us_face_pairs pairs;
    struct us_str lines;
    size_t frames;
    double worst;
    int32_t worst_frame;
};

/* NaN has no place in JSON. */
static void set_number(json_t *object, const char *name, double value) {
    json_object_set_new(object, name, isfinite(value) ? json_real(value) : json_null());
}

static void append_line(struct us_str *lines, json_t *object) {
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(7));
    us_str_append(lines, text ? text : "{}");
    us_str_append(lines, "\n");
    free(text);
    json_decref(object);
}

static bool connected(const struct session *s, int port) {
    return us_task_input_count(s->task, port) > 0;
}

static json_t *part_json(const struct session *s, const struct us_part_sums *part) {
    json_t *object = json_object();
    double psnr = us_psnr(part->squares, part->weight);
    set_number(object, "psnr", psnr);
    set_number(object, "ssim", part->similar / part->weight);
    set_number(object, "flicker", part->moved / part->moved_weight);
    if (connected(s, IN_BASELINE)) {
        double baseline = us_psnr(part->baseline, part->weight);
        set_number(object, "baseline_psnr", baseline);
        set_number(object, "gain_db", psnr - baseline);
    }
    return object;
}

static void add_parts(const struct session *s, const struct us_pixel_sums *sums, json_t *line) {
    json_object_set_new(line, "whole", part_json(s, &sums->parts[US_WHOLE]));
    if (!connected(s, IN_MATTE)) {
        return;
    }
    json_object_set_new(line, "inside", part_json(s, &sums->parts[US_INSIDE]));
    const struct us_part_sums *part = &sums->parts[US_OUTSIDE];
    json_t *outside = json_object();
    json_object_set_new(outside, "differing", json_integer((json_int_t)sums->differing));
    set_number(outside, "largest", sums->largest);
    set_number(outside, "flicker", part->moved / part->moved_weight);
    json_object_set_new(line, "outside", outside);
}

/* The value of a port at a frame: its only one when it is not per frame. */
static struct us_error *value_at(struct session *s, int port, size_t near, struct us_frame frame,
                                 size_t *index) {
    size_t count = us_task_input_count(s->task, port);
    *index = 0;
    for (size_t i = 0; i < count && count > 1; i++) {
        *index = (near + i) % count;
        if (us_frame_compare(us_task_input_frame(s->task, port, *index), frame) == 0) {
            return NULL;
        }
    }
    if (count == 1) {
        return NULL;
    }
    return us_error_hint(us_fail(US_FAILED, "%s has no frame %d", inputs[port].name, frame.number),
                         "compare images of the same frames");
}

static struct us_error *fill_planes(struct session *s, int port, size_t near, struct us_frame frame,
                                    struct us_view planes[3]) {
    size_t index;
    struct us_value *value;
    planes[0].data = planes[1].data = planes[2].data = NULL;
    if (!connected(s, port)) {
        return NULL;
    }
    US_TRY(value_at(s, port, near, frame, &index));
    US_TRY(us_task_input(s->task, port, index, &value));
    const char *name = us_task_input_name(s->task, port, index);
    US_TRY(
        us_window_check("the image's data window", &s->window, name, &value->image->data_window));
    US_TRY(us_error_wrap(us_image_rgb(value->image, "", planes), "input %s", name));
    us_task_release(s->task, port, index);
    return NULL;
}

static struct us_error *fill_matte(struct session *s, size_t near, struct us_frame frame) {
    size_t index;
    struct us_value *value;
    struct us_channel *channel;
    US_TRY(us_planes_create(us_window_width(&s->window), us_window_height(&s->window), 1,
                            &s->now.matte));
    if (!connected(s, IN_MATTE)) {
        memset(s->now.matte.data, 0,
               (size_t)s->now.matte.width * (size_t)s->now.matte.height * sizeof(float));
        return NULL;
    }
    US_TRY(value_at(s, IN_MATTE, near, frame, &index));
    US_TRY(us_task_input(s->task, IN_MATTE, index, &value));
    US_TRY(us_error_wrap(us_matte_find(value->image, &channel), "input %s",
                         us_task_input_name(s->task, IN_MATTE, index)));
    us_region_read(value->image, channel, &s->window, 0.0f, s->now.matte);
    us_task_release(s->task, IN_MATTE, index);
    return NULL;
}

/* Frames of another size or take start anew. */
static struct us_error *keep_difference(struct session *s, const struct us_image *image,
                                        struct us_frame frame) {
    bool same = s->frames > 0 && us_window_equal(&s->window, &image->data_window);
    s->now.has_before = same && s->last.take == frame.take;
    s->window = image->data_window;
    s->last = frame;
    if (same) {
        return NULL;
    }
    us_free(s->now.before[0].data);
    s->now.before[0].data = NULL;
    return us_planes_create(us_window_width(&s->window), us_window_height(&s->window), 3,
                            s->now.before);
}

static void free_frame(struct session *s) {
    us_free(s->now.image[0].data);
    us_free(s->now.reference[0].data);
    us_free(s->now.baseline[0].data);
    us_free(s->now.matte.data);
    s->now.image[0].data = s->now.reference[0].data = s->now.baseline[0].data = NULL;
    s->now.matte.data = NULL;
}

static struct us_error *compare_pixels(struct session *s, size_t i, struct us_frame frame,
                                       json_t *line) {
    struct us_pixel_sums sums;
    struct us_value *value;
    US_TRY(us_task_input(s->task, IN_IMAGE, i, &value));
    US_TRY(keep_difference(s, value->image, frame));
    US_TRY(fill_planes(s, IN_REFERENCE, i, frame, s->now.reference));
    US_TRY(fill_planes(s, IN_BASELINE, i, frame, s->now.baseline));
    US_TRY(fill_matte(s, i, frame));
    US_TRY(fill_planes(s, IN_IMAGE, i, frame, s->now.image));
    US_TRY(us_pixels_compare(&s->now, &sums));
    add_parts(s, &sums, line);
    us_pixel_sums_add(&s->total, &sums);
    const struct us_part_sums *part = &sums.parts[connected(s, IN_MATTE) ? US_INSIDE : US_WHOLE];
    double psnr = us_psnr(part->squares, part->weight);
    if (psnr < s->worst) {
        s->worst = psnr;
        s->worst_frame = frame.number;
    }
    s->frames++;
    return NULL;
}

static struct us_error *compare_faces(struct session *s, size_t near, struct us_frame frame,
                                      json_t *line) {
    size_t a, b;
    struct us_value *faces, *reference;
    double error;
    if (!connected(s, IN_FACES) || !connected(s, IN_REFERENCE_FACES)) {
        return NULL;
    }
    US_TRY(value_at(s, IN_FACES, near, frame, &a));
    US_TRY(value_at(s, IN_REFERENCE_FACES, near, frame, &b));
    US_TRY(us_task_input(s->task, IN_FACES, a, &faces));
    US_TRY(us_task_input(s->task, IN_REFERENCE_FACES, b, &reference));
    US_TRY(us_error_wrap(us_face_pairs_add(&s->pairs, faces, reference, &error), "faces of %s",
                         us_task_input_name(s->task, IN_FACES, a)));
    set_number(line, "nme", error);
    return NULL;
}

static struct us_error *compare_frame(struct session *s, size_t i) {
    struct us_frame frame = us_task_input_frame(s->task, IN_IMAGE, i);
    json_t *line = json_object();
    if (frame.take) {
        json_object_set_new(line, "take", json_integer(frame.take));
    }
    json_object_set_new(line, "frame", json_integer(frame.number));
    struct us_error *error = compare_pixels(s, i, frame, line);
    error = error ? error : compare_faces(s, i, frame, line);
    free_frame(s);
    if (error) {
        json_decref(line);
        return error;
    }
    append_line(&s->lines, line);
    return NULL;
}

struct figures {
    double psnr, ssim, gain_db, mouth, eyes, differing;
};

static struct figures figures_of(const struct session *s) {
    const struct us_part_sums *part =
        &s->total.parts[connected(s, IN_MATTE) ? US_INSIDE : US_WHOLE];
    double psnr = us_psnr(part->squares, part->weight);
    double baseline = us_psnr(part->baseline, part->weight);
    return (struct figures){
        .psnr = psnr,
        .ssim = part->similar / part->weight,
        .gain_db = connected(s, IN_BASELINE) ? psnr - baseline : (double)NAN,
        .mouth = us_face_pairs_correlation(&s->pairs, 0),
        .eyes = us_face_pairs_correlation(&s->pairs, 1),
        .differing = (double)s->total.differing,
    };
}

static void append_summary(struct session *s, const struct figures *figures) {
    json_t *line = json_object();
    json_object_set_new(line, "event", json_string("summary"));
    json_object_set_new(line, "frames", json_integer((json_int_t)s->frames));
    json_object_set_new(line, "space", json_string(s->p->space));
    set_number(line, "peak", 1.0);
    add_parts(s, &s->total, line);
    json_object_set_new(line, "worst_frame", json_integer(s->worst_frame));
    set_number(line, "worst_psnr", s->worst);
    if (connected(s, IN_FACES) && connected(s, IN_REFERENCE_FACES)) {
        json_t *faces = json_object();
        json_object_set_new(faces, "frames", json_integer((json_int_t)s->pairs.count));
        set_number(faces, "mouth_correlation", figures->mouth);
        set_number(faces, "eye_correlation", figures->eyes);
        set_number(faces, "nme", s->pairs.error / (double)s->pairs.error_count);
        json_object_set_new(line, "faces", faces);
    }
    append_line(&s->lines, line);
}

static void show(struct session *s, const struct figures *figures) {
    struct us_str text = {0};
    bool matte = connected(s, IN_MATTE);
    us_str_printf(&text, "PSNR %.2f dB, SSIM %.4f%s", figures->psnr, figures->ssim,
                  matte ? " inside the matte" : "");
    if (connected(s, IN_BASELINE)) {
        us_str_printf(&text, "; %.2f dB %s than the baseline", fabs(figures->gain_db),
                      figures->gain_db < 0 ? "worse" : "better");
    }
    if (matte) {
        us_str_printf(&text, "; %zu pixels differ outside", s->total.differing);
    }
    if (s->pairs.count) {
        us_str_printf(&text, "; correlation mouth %.3f, eyes %.3f", figures->mouth, figures->eyes);
    }
    if (s->pairs.error_count) {
        us_str_printf(&text, "; NME %.4f", s->pairs.error / (double)s->pairs.error_count);
    }
    us_task_status(s->task, "%s", us_str_text(&text));
    us_str_finish(&text);
}

/* A figure that could not be measured misses every limit. */
static struct us_error *hold(const char *what, double have, double least, const char *unit) {
    if (isnan(least) || have >= least) {
        return NULL;
    }
    if (isnan(have)) {
        return us_fail(US_FAILED, "%s could not be measured, at least %g%s is asked for", what,
                       least, unit);
    }
    return us_fail(US_FAILED, "%s is %.4g%s, at least %g%s is asked for", what, have, unit, least,
                   unit);
}

static struct us_error *hold_all(const struct session *s, const struct figures *figures) {
    const struct compare_params *p = s->p;
    US_TRY(hold("PSNR", figures->psnr, p->psnr, " dB"));
    US_TRY(hold("SSIM", figures->ssim, p->ssim, ""));
    US_TRY(hold("gain over the baseline", figures->gain_db, p->gain_db, " dB"));
    US_TRY(hold("correlation of mouth openings", figures->mouth, p->mouth, ""));
    US_TRY(hold("correlation of eye openings", figures->eyes, p->eyes, ""));
    if (figures->differing > p->differing) {
        return us_fail(US_FAILED, "%zu pixels outside the matte differ, at most %g may",
                       s->total.differing, p->differing);
    }
    return NULL;
}

static struct us_error *compare_all(struct session *s) {
    size_t count = us_task_input_count(s->task, IN_IMAGE);
    for (size_t i = 0; i < count; i++) {
        US_TRY(us_task_progress(s->task, (double)i / (double)count));
        US_TRY(compare_frame(s, i));
    }
    struct figures figures = figures_of(s);
    append_summary(s, &figures);
    show(s, &figures);
    US_TRY(hold_all(s, &figures));
    size_t size = s->lines.length;
    us_task_output(s->task, 0,
                   us_value_from_bytes(US_METRICS, (uint8_t *)us_str_take(&s->lines), size));
    return NULL;
}

static struct us_error *run(struct us_task *task) {
    struct session s = {.task = task, .p = us_task_params(task), .worst = INFINITY};
    s.now.space = (enum us_measure_space)us_choice_index(spaces, s.p->space);
    struct us_error *error = compare_all(&s);
    us_free(s.now.before[0].data);
    us_face_pairs_finish(&s.pairs);
    us_str_finish(&s.lines);
    return error;
}

const struct us_node_type us_node_compare = {
    .name = "compare",
    .group = "util",
    .version = 2,
    .summary = "Measures how close images and faces are to a reference.",
    .doc = doc,
    .example = example,
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(struct compare_params),
    .run = run,
};
