#include <stdio.h>
#include <string.h>

#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/edit_nodes.h"

#define PARAMS struct edit_params
static const char *const choices[] = {"plain", "fancy", "odd", NULL};

#define I_ROW US_INT(PARAMS, i, 0, -1000, 1000, "", "A number.")
#define PATH_ROW(role_)                                                                      \
    {                                                                                        \
        .name = "path", .type = US_PARAM_PATH, .offset = offsetof(PARAMS, path), .unit = "", \
        .required = true, .role = role_, .doc = "Where."                                     \
    }
#define TAKES_ROW                                                                              \
    {                                                                                          \
        .name = "takes", .type = US_PARAM_INT, .offset = offsetof(PARAMS, takes), .number = 1, \
        .min = 1, .max = 4, .unit = "", .role = US_UNKEYED, .doc = "How many takes."           \
    }
#define FRAMES_ROW US_FRAMES(PARAMS, frames, "1-3", "Which frames.")
#define LABEL_ROW                                                                                \
    {                                                                                            \
        .name = "label", .type = US_PARAM_STRING, .offset = offsetof(PARAMS, label), .unit = "", \
        .role = US_UNKEYED, .doc = "Changes nothing."                                            \
    }

static const struct us_param source_rows[] = {PATH_ROW(US_KEYED), FRAMES_ROW,   TAKES_ROW, I_ROW,
                                              LABEL_ROW,          US_PARAMS_END};
static const struct us_param gen_rows[] = {FRAMES_ROW, TAKES_ROW, I_ROW, LABEL_ROW, US_PARAMS_END};
static const struct us_param plain_rows[] = {
    I_ROW, US_DOUBLE(PARAMS, d, 0, -1e6, 1e6, "px", "A number."), LABEL_ROW, US_PARAMS_END};
static const struct us_param mix_rows[] = {I_ROW,
                                           US_DOUBLE(PARAMS, d, 0, -1e6, 1e6, "px", "A number."),
                                           US_CHOICE(PARAMS, choice, "plain", choices, "A word."),
                                           US_STRING(PARAMS, text, "", "A text."),
                                           US_BOOL(PARAMS, on, false, "Yes or no."),
                                           US_STRINGS(PARAMS, notes, "Texts."),
                                           {.name = "late",
                                            .type = US_PARAM_INT,
                                            .offset = offsetof(PARAMS, late),
                                            .max = 100,
                                            .unit = "",
                                            .neutral = true,
                                            .doc = "Came later."},
                                           LABEL_ROW,
                                           US_PARAMS_END};
static const struct us_param window_rows[] = {
    US_INT(PARAMS, radius, 1, 0, 3, "frames", "Neighbours."), I_ROW, LABEL_ROW, US_PARAMS_END};
static const struct us_param count_rows[] = {I_ROW,
                                             {.name = "steps",
                                              .type = US_PARAM_INT,
                                              .offset = offsetof(PARAMS, steps),
                                              .number = 1,
                                              .min = 1,
                                              .max = 100,
                                              .unit = "steps",
                                              .role = US_EXTENDING,
                                              .doc = "How far."},
                                             LABEL_ROW,
                                             US_PARAMS_END};
static const struct us_param write_rows[] = {PATH_ROW(US_UNKEYED), I_ROW, LABEL_ROW, US_PARAMS_END};
#undef PARAMS

#define PORT(name_, reach_, optional_, list_)                                            \
    {                                                                                    \
        .name = name_, .doc = "Numbers.", .data = US_METRICS | US_FILE, .reach = reach_, \
        .optional = optional_, .list = list_                                             \
    }
static const struct us_port list_in[] = {PORT("in", US_THIS_FRAME, false, true), {.name = NULL}};
static const struct us_port one_in[] = {PORT("in", US_THIS_FRAME, false, false), {.name = NULL}};
static const struct us_port mix_in[] = {PORT("in", US_THIS_FRAME, false, true),
                                        PORT("other", US_THIS_FRAME, true, false),
                                        {.name = NULL}};
static const struct us_port pair_in[] = {PORT("in", US_THIS_FRAME, false, false),
                                         PORT("b", US_THIS_FRAME, false, false),
                                         {.name = NULL}};
static const struct us_port window_in[] = {PORT("in", US_WINDOW, false, false), {.name = NULL}};
static const struct us_port all_in[] = {PORT("in", US_ALL_FRAMES, false, true), {.name = NULL}};
static const struct us_port one_out[] = {{.name = "full", .doc = "It.", .data = US_METRICS},
                                         {.name = NULL}};
static const struct us_port two_out[] = {{.name = "full", .doc = "It.", .data = US_METRICS},
                                         {.name = "low", .doc = "Bits.", .data = US_METRICS},
                                         {.name = NULL}};
static const struct us_port file_out[] = {{.name = "file", .doc = "It.", .data = US_FILE},
                                          {.name = NULL}};

static struct us_error *frames(const void *params, struct us_frames *out) {
    const struct edit_params *p = params;
    for (int32_t take = 0; take < (int32_t)p->takes; take++) {
        for (size_t i = 0; i < p->frames.count; i++) {
            us_frames_add(out, (struct us_frame){take, p->frames.items[i].number});
        }
    }
    return NULL;
}

static char *path_at(const void *params, struct us_frame frame) {
    const struct edit_params *p = params;
    struct us_str path = {0};
    us_str_printf(&path, "%s.%d.%d", p->path, frame.take, frame.number);
    return us_str_take(&path);
}

static char *path_alone(const void *params, struct us_frame frame) {
    (void)frame;
    return us_strdup(((const struct edit_params *)params)->path);
}

static struct us_error *sources(const void *params, struct us_frame frame, struct us_sources *out) {
    char *path = path_at(params, frame);
    us_source_add(out, "file", path, "put it back");
    us_free(path);
    return NULL;
}

static void window(const void *params, int *before, int *after) {
    *before = *after = (int)((const struct edit_params *)params)->radius;
}

#define RUN(name_, kind_)                                 \
    static struct us_error *name_(struct us_task *task) { \
        return edit_run(task, kind_);                     \
    }
RUN(run_file, EDIT_FILE)
RUN(run_load, EDIT_LOAD)
RUN(run_gen, EDIT_GEN)
RUN(run_mix, EDIT_MIX)
RUN(run_pair, EDIT_PAIR)
RUN(run_window, EDIT_WINDOW)
RUN(run_coarse, EDIT_COARSE)
RUN(run_two, EDIT_TWO)
RUN(run_gather, EDIT_GATHER)
RUN(run_max, EDIT_MAX)
RUN(run_count, EDIT_COUNT)
RUN(run_train, EDIT_TRAIN)
RUN(run_write, EDIT_WRITE)
RUN(run_sheet, EDIT_SHEET)

#define TYPE(name_, in_, out_, rows_, run_)                                                   \
    .name = name_, .group = "util", .version = 1, .summary = "A test's.", .doc = "A test's.", \
    .example = "", .inputs = in_, .outputs = out_, .params = rows_,                           \
    .params_size = sizeof(struct edit_params), .run = run_
static const struct us_node_type kinds[EDIT_KINDS] = {
    [EDIT_FILE] = {TYPE("e_file", NULL, one_out, source_rows, run_file), .per_frame = true,
                   .reloads = true, .frames = frames, .sources = sources},
    [EDIT_LOAD] = {TYPE("e_load", NULL, one_out, source_rows, run_load), .per_frame = true,
                   .frames = frames, .sources = sources},
    [EDIT_GEN] = {TYPE("e_gen", NULL, one_out, gen_rows, run_gen), .per_frame = true,
                  .frames = frames},
    [EDIT_MIX] = {TYPE("e_mix", mix_in, one_out, mix_rows, run_mix), .per_frame = true},
    [EDIT_PAIR] = {TYPE("e_pair", pair_in, one_out, plain_rows, run_pair), .per_frame = true},
    [EDIT_WINDOW] = {TYPE("e_window", window_in, one_out, window_rows, run_window),
                     .per_frame = true, .window = window},
    [EDIT_COARSE] = {TYPE("e_coarse", list_in, one_out, plain_rows, run_coarse), .per_frame = true},
    [EDIT_TWO] = {TYPE("e_two", one_in, two_out, plain_rows, run_two), .per_frame = true},
    [EDIT_GATHER] = {TYPE("e_gather", all_in, one_out, plain_rows, run_gather)},
    [EDIT_MAX] = {TYPE("e_max", all_in, one_out, plain_rows, run_max)},
    [EDIT_COUNT] = {TYPE("e_count", all_in, one_out, count_rows, run_count)},
    [EDIT_TRAIN] = {TYPE("e_train", all_in, one_out, plain_rows, run_train),
                    .volatile_result = true},
    [EDIT_WRITE] = {TYPE("e_write", one_in, file_out, write_rows, run_write), .per_frame = true,
                    .writes = true, .destination = path_at},
    [EDIT_SHEET] = {TYPE("e_sheet", all_in, file_out, write_rows, run_sheet),
                    .keyed_by_names = true, .writes = true, .destination = path_alone},
};

const char *edit_type_name(enum edit_kind kind) {
    return kinds[kind].name;
}

bool edit_per_frame(enum edit_kind kind) {
    return kinds[kind].per_frame;
}

bool edit_has_source(enum edit_kind kind) {
    return kinds[kind].sources != NULL;
}

bool edit_writes(enum edit_kind kind) {
    return kinds[kind].writes;
}

static struct us_node_type table[EDIT_KINDS];

uint32_t edit_version(enum edit_kind kind) {
    return table[kind].version;
}

const struct us_registry *edit_registry(const uint32_t versions[EDIT_KINDS]) {
    /* Sorted by name, as a registry is. */
    static const enum edit_kind order[EDIT_KINDS] = {
        EDIT_COARSE, EDIT_COUNT, EDIT_FILE,  EDIT_GATHER, EDIT_GEN, EDIT_LOAD,   EDIT_MAX,
        EDIT_MIX,    EDIT_PAIR,  EDIT_SHEET, EDIT_TRAIN,  EDIT_TWO, EDIT_WINDOW, EDIT_WRITE};
    static const struct us_node_type *types[EDIT_KINDS];
    static const struct us_registry registry = {.types = types, .count = EDIT_KINDS};
    memcpy(table, kinds, sizeof table);
    for (int i = 0; i < EDIT_KINDS; i++) {
        table[i].version = versions[i];
        types[i] = &table[order[i]];
    }
    return &registry;
}
