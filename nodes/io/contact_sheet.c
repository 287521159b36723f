#include <stdio.h>
#include <string.h>

#include "nodes/io/sheet.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

enum { IN_IMAGES };
enum { MARGIN = 24, GAP = 6, ROW_GAP = 14 };

struct contact_sheet_params {
    const char *path, *format;
    int64_t frames, columns, width;
    double exposure;
    bool labels;
};

static const char *const formats[] = {"png", "exr", NULL};

#define PARAMS struct contact_sheet_params
static const struct us_param params[] = {
    {.name = "path",
     .type = US_PARAM_PATH,
     .offset = offsetof(PARAMS, path),
     .unit = "",
     .required = true,
     .role = US_UNKEYED,
     .doc = "File to write; it ends in .png or .exr, as `format` says."},
    US_CHOICE(PARAMS, format, "png", formats, "png: sRGB, 8 bits; exr: scene-linear, half."),
    US_INT(PARAMS, frames, 8, 1, 1000, "frames", "At most so many, evenly spread over the range."),
    US_INT(PARAMS, columns, 0, 0, 1000, "",
           "Frames side by side; more continue below. 0: all in one row."),
    US_INT(PARAMS, width, 192, 16, 4096, "px", "Width of a picture on the sheet."),
    US_DOUBLE(PARAMS, exposure, 0.0, -20.0, 20.0, "stops", "Brightens the pictures."),
    US_BOOL(PARAMS, labels, true, "Writes frame numbers and the names of the inputs."),
    US_PARAMS_END};

static const struct us_port inputs[] = {{.name = "images",
                                         .doc = "One row for each; face crops are shown decoded.",
                                         .data = US_IMAGE,
                                         .reach = US_ALL_FRAMES,
                                         .list = true},
                                        {.name = NULL}};

static const struct us_port outputs[] = {{.name = "file", .doc = "The sheet.", .data = US_FILE},
                                         {.name = NULL}};

static struct us_error *check(const void *values) {
    const struct contact_sheet_params *p = values;
    const char *dot = strrchr(p->path, '.');
    if (!dot || strcmp(dot + 1, p->format) != 0) {
        return us_error_hint(
            us_fail(US_GRAPH, "path is '%s', but format is %s", p->path, p->format),
            "let path end in .%s, or set format", p->format);
    }
    return NULL;
}

static char *destination(const void *values, struct us_frame frame) {
    (void)frame;
    return us_strdup(((const struct contact_sheet_params *)values)->path);
}

/* What is to be drawn. */
struct plan {
    struct us_frame *frames; /* the chosen ones */
    size_t frame_count, rows;
    size_t columns, blocks;
    ptrdiff_t *index; /* of the value at [row * frame_count + column], or -1 */
    int32_t *heights; /* of each row's tiles */
    int32_t scale, head;
    bool takes;
};

static void plan_finish(struct plan *plan) {
    us_free(plan->frames);
    us_free(plan->index);
    us_free(plan->heights);
}

static void choose_frames(struct us_task *task, struct plan *plan, size_t most) {
    struct us_frames all = {0};
    size_t count = us_task_input_count(task, IN_IMAGES);
    for (size_t i = 0; i < count; i++) {
        us_frames_add(&all, us_task_input_frame(task, IN_IMAGES, i));
        size_t entry = us_task_input_entry(task, IN_IMAGES, i);
        plan->rows = entry + 1 > plan->rows ? entry + 1 : plan->rows;
    }
    plan->frame_count = all.count < most ? all.count : most;
    plan->frames = us_calloc(plan->frame_count + 1, sizeof *plan->frames);
    for (size_t i = 0; i < plan->frame_count; i++) {
        size_t at = plan->frame_count > 1 ? i * (all.count - 1) / (plan->frame_count - 1) : 0;
        plan->frames[i] = all.items[at];
        plan->takes |= all.items[at].take != 0;
    }
    us_frames_finish(&all);
}

static void find_values(struct us_task *task, struct plan *plan) {
    size_t cells = plan->rows * plan->frame_count;
    plan->index = us_calloc(cells + 1, sizeof *plan->index);
    for (size_t i = 0; i < cells; i++) {
        plan->index[i] = -1;
    }
    size_t count = us_task_input_count(task, IN_IMAGES);
    for (size_t i = 0; i < count; i++) {
        struct us_frame frame = us_task_input_frame(task, IN_IMAGES, i);
        size_t row = us_task_input_entry(task, IN_IMAGES, i);
        for (size_t f = 0; f < plan->frame_count; f++) {
            if (us_frame_compare(frame, plan->frames[f]) == 0) {
                plan->index[row * plan->frame_count + f] = (ptrdiff_t)i;
            }
        }
    }
}

/* A row's tiles have the shape of its first picture. */
static struct us_error *measure_rows(struct us_task *task, struct plan *plan, int32_t width) {
    plan->heights = us_calloc(plan->rows + 1, sizeof *plan->heights);
    for (size_t row = 0; row < plan->rows; row++) {
        plan->heights[row] = width;
        for (size_t f = 0; f < plan->frame_count; f++) {
            ptrdiff_t index = plan->index[row * plan->frame_count + f];
            if (index < 0) {
                continue;
            }
            struct us_value *value;
            US_TRY(us_task_input(task, IN_IMAGES, (size_t)index, &value));
            const struct us_image *image = value->image;
            double aspect = (double)us_window_height(&image->display_window) /
                            us_window_width(&image->display_window) / (double)image->pixel_aspect;
            double height = aspect > 0 && aspect < 16 ? width * aspect + 0.5 : width;
            plan->heights[row] = height < 1 ? 1 : (int32_t)height;
            us_task_release(task, IN_IMAGES, (size_t)index);
            break;
        }
    }
    return NULL;
}

static struct us_error *make_plan(struct us_task *task, struct plan *plan) {
    const struct contact_sheet_params *p = us_task_params(task);
    choose_frames(task, plan, (size_t)p->frames);
    if (!plan->frame_count) {
        return us_error_hint(us_fail(US_FAILED, "there are no pictures to show"),
                             "connect images: to nodes that have frames");
    }
    plan->columns = p->columns ? (size_t)p->columns : plan->frame_count;
    plan->columns = plan->columns < plan->frame_count ? plan->columns : plan->frame_count;
    plan->blocks = (plan->frame_count + plan->columns - 1) / plan->columns;
    plan->scale = p->width >= 256 ? 2 : 1;
    plan->head = p->labels ? US_TEXT_HEIGHT * plan->scale + 6 : 0;
    find_values(task, plan);
    return measure_rows(task, plan, (int32_t)p->width);
}

static int64_t block_height(const struct plan *plan) {
    int64_t height = plan->head;
    for (size_t row = 0; row < plan->rows; row++) {
        height += plan->head + plan->heights[row] + ROW_GAP;
    }
    return height;
}

static const struct us_rgb8 bright = {215, 215, 215}, dim = {140, 140, 140}, line = {60, 60, 60};

/* The label of a row: the input's name without its frame. */
static void draw_name(struct us_task *task, const struct plan *plan, struct us_sheet *sheet,
                      size_t row, int32_t x, int32_t y) {
    for (size_t f = 0; f < plan->frame_count; f++) {
        ptrdiff_t index = plan->index[row * plan->frame_count + f];
        if (index >= 0) {
            const char *full = us_task_input_name(task, IN_IMAGES, (size_t)index);
            char *name = us_strndup(full, strcspn(full, "@"));
            us_draw_text(sheet->labels, x, y, plan->scale, name, bright);
            us_free(name);
            return;
        }
    }
}

static void draw_number(const struct plan *plan, struct us_sheet *sheet, size_t frame, int32_t x,
                        int32_t y, int32_t width) {
    char text[40];
    struct us_frame f = plan->frames[frame];
    if (plan->takes) {
        snprintf(text, sizeof text, "%d:%d", f.take, f.number);
    } else {
        snprintf(text, sizeof text, "%d", f.number);
    }
    us_draw_text(sheet->labels, x + (width - us_text_width(text, plan->scale)) / 2, y, plan->scale,
                 text, dim);
}

static struct us_error *draw_tile(struct us_task *task, const struct plan *plan,
                                  struct us_sheet *sheet, size_t row, size_t frame, int32_t x,
                                  int32_t y) {
    const struct contact_sheet_params *p = us_task_params(task);
    int32_t width = (int32_t)p->width, height = plan->heights[row];
    ptrdiff_t index = plan->index[row * plan->frame_count + frame];
    if (index < 0) {
        us_draw_line(sheet->labels, x, y + height - 1, x + width - 1, y, line);
        return NULL;
    }
    struct us_value *value;
    US_TRY(us_task_input(task, IN_IMAGES, (size_t)index, &value));
    struct us_error *error = us_sheet_place(sheet, value->image, x, y, width, height, p->exposure);
    error =
        us_error_wrap(error, "cannot show %s", us_task_input_name(task, IN_IMAGES, (size_t)index));
    us_task_release(task, IN_IMAGES, (size_t)index);
    return error;
}

static struct us_error *draw_block(struct us_task *task, const struct plan *plan,
                                   struct us_sheet *sheet, size_t block) {
    const struct contact_sheet_params *p = us_task_params(task);
    int32_t step = (int32_t)p->width + GAP;
    int32_t y = MARGIN + (int32_t)((int64_t)block * block_height(plan));
    size_t first = block * plan->columns, end = first + plan->columns;
    end = end < plan->frame_count ? end : plan->frame_count;
    for (size_t f = first; f < end && p->labels; f++) {
        draw_number(plan, sheet, f, MARGIN + (int32_t)(f - first) * step, y, (int32_t)p->width);
    }
    y += plan->head;
    for (size_t row = 0; row < plan->rows; row++) {
        if (p->labels) {
            draw_name(task, plan, sheet, row, MARGIN, y);
        }
        y += plan->head;
        for (size_t f = first; f < end; f++) {
            US_TRY(us_task_progress(task, (double)(f * plan->rows + row) /
                                              (double)(plan->frame_count * plan->rows)));
            US_TRY(draw_tile(task, plan, sheet, row, f, MARGIN + (int32_t)(f - first) * step, y));
        }
        y += plan->heights[row] + ROW_GAP;
    }
    return NULL;
}

static struct us_error *draw_sheet(struct us_task *task, const struct plan *plan) {
    const struct contact_sheet_params *p = us_task_params(task);
    int64_t width = 2 * MARGIN + (int64_t)plan->columns * (p->width + GAP) - GAP;
    int64_t height = 2 * MARGIN + (int64_t)plan->blocks * block_height(plan) - ROW_GAP;
    struct us_sheet sheet = {0};
    if (width > INT32_MAX || height > INT32_MAX) {
        return us_fail(US_FAILED, "the sheet would be %lld x %lld pixels", (long long)width,
                       (long long)height);
    }
    struct us_error *error = us_sheet_create((int32_t)width, (int32_t)height, &sheet);
    for (size_t block = 0; block < plan->blocks && !error; block++) {
        error = draw_block(task, plan, &sheet, block);
    }
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (!error) {
        error = us_sheet_encode(&sheet, strcmp(p->format, "exr") == 0, &bytes, &size);
    }
    if (!error) {
        error = us_write_file(us_task_destination(task), bytes, size);
    }
    us_free(bytes);
    us_sheet_finish(&sheet);
    return error;
}

static struct us_error *run(struct us_task *task) {
    struct plan plan = {0};
    struct us_error *error = make_plan(task, &plan);
    if (!error) {
        error = draw_sheet(task, &plan);
    }
    plan_finish(&plan);
    return error ? error : us_task_written(task);
}

const struct us_node_type us_node_contact_sheet = {
    .name = "contact_sheet",
    .group = "io",
    .version = 1,
    .summary = "Shows frames of several inputs side by side in one picture.",
    .doc =
        "Rows are inputs, columns are frames, evenly spread over what the inputs have; frames an "
        "input lacks are crossed out. Pictures are scaled (cubic, anti-aliased) in scene-linear "
        "light, brightened by the exposure, and encoded as sRGB for a PNG; an EXR sheet stays "
        "linear. Face crops that are encoded for the net are decoded first.",
    .example =
        "sheet: {type: contact_sheet, images: [plate, comp], path: out/sheet.png, frames: 6}",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .keyed_by_names = true,
    .writes = true,
    .check = check,
    .destination = destination,
    .run = run,
};
