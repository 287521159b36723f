#include "nodes/learn/onnx/picture.h"

#include <math.h>
#include <string.h>

#include "kernels/encoding.h"
#include "kernels/resample.h"
#include "runtime/base/mem.h"
#include "runtime/image/image.h"

/* One run's worth: the planes at the network's scale, and the sum of the tiles so far. */
struct work {
    struct us_task *task;
    const struct us_onnx_job *job;
    struct us_onnx_session *session;
    const struct us_view *in, *out;
    struct us_view weight;
    int in_count, out_count;
    int32_t height, width; /* the network's input */
};

static void encode(const struct us_onnx_values *values, struct us_view plane, int channel) {
    for (int32_t y = 0; y < plane.height; y++) {
        float *row = us_view_row(plane, y);
        const size_t count = (size_t)plane.width;
        for (size_t i = 0; i < count; i++) {
            row[i] = isfinite(row[i]) ? row[i] : 0;
        }
        if (values->curve == US_ONNX_SRGB) {
            us_srgb_encode(row, row, count);
        } else if (values->curve == US_ONNX_LOG) {
            us_log_encode(row, row, count);
        }
        for (size_t i = 0; i < count; i++) {
            float x = row[i];
            x = values->clip ? (x < 0 ? 0 : x > 1 ? 1 : x) : x;
            row[i] = (x * values->scale - values->mean[channel]) / values->deviation[channel];
        }
    }
}

static void decode(const struct us_onnx_results *results, struct us_view plane) {
    for (int32_t y = 0; y < plane.height; y++) {
        float *row = us_view_row(plane, y);
        const size_t count = (size_t)plane.width;
        for (size_t i = 0; i < count; i++) {
            const float x = row[i] * results->scale + results->offset;
            row[i] = isfinite(x) ? x : 0;
        }
        if (results->curve == US_ONNX_SRGB) {
            us_srgb_decode(row, row, count);
        } else if (results->curve == US_ONNX_LOG) {
            us_log_decode(row, row, count);
        }
    }
}

static int32_t inside(int32_t x, int32_t size) {
    return x < 0 ? 0 : x >= size ? size - 1 : x;
}

/* The tile at (left, top) into the network's input; what lies beyond repeats the edge. */
static void load(const struct work *w, int32_t left, int32_t top) {
    float *to = us_onnx_net_input(us_onnx_session_net(w->session));
    const size_t area = (size_t)w->height * (size_t)w->width;
    const size_t step = w->job->channels_last ? (size_t)w->in_count : 1;
    for (int c = 0; c < w->in_count; c++) {
        float *plane = to + (w->job->channels_last ? (size_t)c : (size_t)c * area);
        for (int32_t y = 0; y < w->height; y++) {
            const float *row = us_view_row(w->in[c], inside(top + y, w->in[c].height));
            for (int32_t x = 0; x < w->width; x++, plane += step) {
                *plane = row[inside(left + x, w->in[c].width)];
            }
        }
    }
}

/* A plane of a result: where it is, and how one gets from pixel to pixel. */
struct source {
    const float *values;
    int32_t height, width;
    size_t step;
};

static struct us_error *wrong_result(const struct us_onnx_result *result) {
    return us_fail(US_FAILED, "the model's output '%.60s' is %s, no image", result->name,
                   us_onnx_shape_text(result->shape));
}

/* Channels of a result that is an image; 0 when it is none. */
static int64_t channels_of(const struct work *w, const struct us_onnx_result *result) {
    const struct us_onnx_shape *s = result->shape;
    const bool last = w->job->channels_last;
    if (!result->values || !result->count || s->rank < 3 || s->rank > 4 ||
        (s->rank == 4 && s->dims[0] != 1)) {
        return 0;
    }
    return s->rank == 3 ? s->dims[0] : last ? s->dims[3] : s->dims[1];
}

static struct source source_of(const struct work *w, const struct us_onnx_result *result,
                               int64_t channel) {
    const struct us_onnx_shape *s = result->shape;
    const bool last = w->job->channels_last && s->rank == 4;
    const int64_t *size = s->dims + (last ? 1 : s->rank - 2);
    const size_t area = (size_t)size[0] * (size_t)size[1];
    return (struct source){result->values + (size_t)channel * (last ? 1 : area), (int32_t)size[0],
                           (int32_t)size[1], last ? (size_t)s->dims[3] : 1};
}

static struct us_error *find_result(const struct work *w, size_t index,
                                    struct us_onnx_result *result) {
    const struct us_onnx_net *net = us_onnx_session_net(w->session);
    const size_t count = us_onnx_net_outputs(net);
    if (!w->job->output_count) {
        if (index >= count) {
            return us_fail(US_FAILED, "the model gives fewer planes than the %d channels named",
                           w->out_count);
        }
        *result = us_onnx_net_output(net, index);
        return NULL;
    }
    const char *name = index < w->job->output_count ? w->job->outputs[index] : "";
    for (size_t i = 0; i < count; i++) {
        *result = us_onnx_net_output(net, i);
        if (strcmp(result->name, name) == 0) {
            return NULL;
        }
    }
    return us_fail(US_FAILED, "the model has no output '%.60s', its first is '%.60s'", name,
                   count ? us_onnx_net_output(net, 0).name : "");
}

/* The planes of the results, in the order of the channels named. */
static struct us_error *list_sources(const struct work *w, struct source *sources) {
    int made = 0;
    for (size_t i = 0; made < w->out_count; i++) {
        struct us_onnx_result result = {0};
        US_TRY(find_result(w, i, &result));
        const int64_t channels = channels_of(w, &result);
        if (channels == 0) {
            return wrong_result(&result);
        }
        if (channels > w->out_count - made) {
            return us_error_hint(
                us_fail(US_FAILED, "the model's output '%.60s' has %lld channels, %d are named",
                        result.name, (long long)channels, w->out_count - made),
                "name every channel of an output in 'channels_out', or choose outputs");
        }
        for (int64_t c = 0; c < channels; c++) {
            sources[made++] = source_of(w, &result, c);
        }
    }
    return NULL;
}

/* How much a tile counts at x: less towards an edge that another tile overlaps. */
static float ramp(int32_t x, int32_t size, int32_t overlap, bool first, bool last) {
    const float before = first ? 1 : ((float)x + 0.5f) / (float)(overlap + 1);
    const float after = last ? 1 : ((float)(size - x) - 0.5f) / (float)(overlap + 1);
    const float least = before < after ? before : after;
    return least < 1 ? least : 1;
}

/* Along one axis, a tile from `start`. */
struct strip {
    int32_t start, size, total;
};

static float strip_weight(struct strip s, int32_t x, int32_t overlap) {
    return ramp(x, s.size, overlap, s.start == 0, s.start + s.size >= s.total);
}

static struct us_error *add_tile(const struct work *w, struct strip rows, struct strip columns) {
    struct source sources[US_ONNX_PLANES];
    US_TRY(list_sources(w, sources));
    for (int c = 0; c < w->out_count; c++) {
        const struct source *s = &sources[c];
        if (s->height != w->height || s->width != w->width) {
            return us_error_hint(us_fail(US_FAILED,
                                         "the model's output is %d x %d for an input of %d x %d",
                                         s->width, s->height, w->width, w->height),
                                 "set fit: resize");
        }
        for (int32_t y = 0; y < rows.size && rows.start + y < rows.total; y++) {
            const float v = strip_weight(rows, y, w->job->overlap);
            float *to = us_view_row(w->out[c], rows.start + y) + columns.start;
            float *weight = us_view_row(w->weight, rows.start + y) + columns.start;
            const float *from = s->values + (size_t)y * (size_t)s->width * s->step;
            for (int32_t x = 0; x < columns.size && columns.start + x < columns.total; x++) {
                const float share = v * strip_weight(columns, x, w->job->overlap);
                to[x] += share * from[(size_t)x * s->step];
                weight[x] += c == 0 ? share : 0;
            }
        }
    }
    return NULL;
}

static struct us_error *pause_run(void *task) {
    return us_task_progress(task, -1);
}

static int32_t next_start(int32_t start, int32_t size, int32_t total, int32_t overlap) {
    if (start + size >= total) {
        return total;
    }
    const int32_t next = start + size - overlap;
    return next + size > total ? total - size : next;
}

static void share_out(const struct work *w) {
    for (int c = 0; c < w->out_count; c++) {
        for (int32_t y = 0; y < w->weight.height; y++) {
            float *row = us_view_row(w->out[c], y);
            const float *weight = us_view_row(w->weight, y);
            for (int32_t x = 0; x < w->weight.width; x++) {
                row[x] /= weight[x];
            }
        }
    }
}

/* Every tile of the picture; one tile when the network takes it whole. */
static struct us_error *run_tiles(const struct work *w) {
    const int32_t height = w->in[0].height, width = w->in[0].width, overlap = w->job->overlap;
    for (int32_t y = 0; y < height; y = next_start(y, w->height, height, overlap)) {
        for (int32_t x = 0; x < width; x = next_start(x, w->width, width, overlap)) {
            load(w, x, y);
            US_TRY(us_onnx_net_run(us_onnx_session_net(w->session), pause_run, w->task));
            const struct strip rows = {y, w->height, height}, columns = {x, w->width, width};
            US_TRY(add_tile(w, rows, columns));
            US_TRY(us_task_progress(w->task, (double)y / height));
        }
    }
    share_out(w);
    return NULL;
}

static void resample(struct us_view from, struct us_view to) {
    const double map[6] = {(double)from.width / to.width,   0, 0, 0,
                           (double)from.height / to.height, 0};
    us_resample_affine(&from, &to, 1, map, US_FILTER_CUBIC);
}

/* The whole picture at the network's size. */
static struct us_error *run_resized(struct work *w) {
    const struct us_view *pictures = w->in;
    struct us_view small[US_ONNX_PLANES];
    struct source sources[US_ONNX_PLANES];
    US_TRY(us_planes_create(w->width, w->height, (size_t)w->in_count, small));
    for (int c = 0; c < w->in_count; c++) {
        resample(pictures[c], small[c]);
    }
    w->in = small;
    load(w, 0, 0);
    w->in = pictures;
    struct us_error *error = us_onnx_net_run(us_onnx_session_net(w->session), pause_run, w->task);
    error = error ? error : list_sources(w, sources);
    us_free(small[0].data);
    for (int c = 0; c < w->out_count && !error; c++) {
        struct us_view plane;
        error = us_planes_create(sources[c].width, sources[c].height, 1, &plane);
        for (size_t i = 0; !error && i < (size_t)sources[c].width * (size_t)sources[c].height;
             i++) {
            us_view_row(plane, (int32_t)(i / (size_t)sources[c].width))[i % (size_t)plane.width] =
                sources[c].values[i * sources[c].step];
        }
        if (!error) {
            resample(plane, w->out[c]);
            us_free(plane.data);
        }
    }
    return error;
}

static int32_t rounded_up(int32_t x, int32_t multiple) {
    return (x + multiple - 1) / multiple * multiple;
}

/* What the network is asked to take. */
static void choose_size(const struct us_onnx_job *job, struct us_view picture, int32_t size[2]) {
    const int32_t longer = picture.width > picture.height ? picture.width : picture.height;
    size[0] = picture.height;
    size[1] = picture.width;
    for (int i = 0; i < 2; i++) {
        if (job->size > 0 && job->fit == US_ONNX_TILE) {
            size[i] = job->size;
        } else if (job->size > 0 && job->fit == US_ONNX_RESIZE) {
            const double scaled = (double)size[i] * job->size / longer;
            size[i] = scaled < 1 ? 1 : (int32_t)(scaled + 0.5);
        }
        size[i] = rounded_up(size[i], job->multiple);
    }
}

static struct us_error *check_size(const struct work *w) {
    const int32_t height = w->in[0].height, width = w->in[0].width;
    const int32_t multiple = w->job->multiple;
    if (w->job->fit == US_ONNX_EXACT &&
        (rounded_up(height, multiple) != w->height || rounded_up(width, multiple) != w->width)) {
        return us_error_hint(us_fail(US_FAILED, "the model works on %d x %d, this image is %d x %d",
                                     w->width, w->height, width, height),
                             "make a face_crop of that size, or set fit: resize or tile");
    }
    if (w->job->fit == US_ONNX_TILE &&
        (w->job->overlap * 2 > w->width || w->job->overlap * 2 > w->height)) {
        return us_fail(US_FAILED, "an overlap of %d is more than half of the tiles' %d x %d",
                       w->job->overlap, w->width, w->height);
    }
    return NULL;
}

static struct us_error *run_session(struct work *w) {
    US_TRY(check_size(w));
    for (int c = 0; c < w->in_count; c++) {
        encode(&w->job->in, w->in[c], c);
    }
    struct us_error *error = NULL;
    if (w->job->fit == US_ONNX_RESIZE) {
        error = run_resized(w);
    } else {
        US_TRY(us_planes_create(w->in[0].width, w->in[0].height, 1, &w->weight));
        const size_t area = (size_t)w->in[0].width * (size_t)w->in[0].height;
        memset(w->weight.data, 0, area * sizeof(float));
        error = run_tiles(w);
        us_free(w->weight.data);
    }
    for (int c = 0; c < w->out_count && !error; c++) {
        decode(&w->job->out, w->out[c]);
    }
    return error;
}

struct us_error *us_onnx_picture(struct us_task *task, struct us_value *model,
                                 const struct us_onnx_job *job, const struct us_view *in,
                                 int in_count, const struct us_view *out, int out_count,
                                 char **license) {
    struct work w = {.task = task,
                     .job = job,
                     .in = in,
                     .out = out,
                     .in_count = in_count,
                     .out_count = out_count};
    int32_t size[2];
    choose_size(job, in[0], size);
    const struct us_onnx_wish wish = {in_count,           size[0],     size[1],
                                      job->channels_last, job->memory, us_task_threads(task)};
    US_TRY(us_onnx_session_get(model, &wish, &w.session));
    w.height = us_onnx_session_height(w.session);
    w.width = us_onnx_session_width(w.session);
    struct us_error *error = run_session(&w);
    const char *note = us_onnx_note(us_onnx_session_file(w.session), "license");
    *license = error ? NULL : us_strdup(note ? note : "");
    us_onnx_session_release(w.session);
    return error;
}
