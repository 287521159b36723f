/* Changing a parameter of a node changes the plan keys of exactly that node's tasks and those below
 * it; a parameter that changes no result changes none; a default that is written out changes none.
 * Over every row of every type's table, without running anything. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "nodes/registry.h"
#include "runtime/api/run.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"

/* What node `x` of each type is given besides the parameter in question. */
static const struct {
    const char *type, *given;
} uses[] = {
    {"color_match", "swap: crop, faces: crop2"},
    {"compare", "image: syn, reference: oth"},
    {"composite", "plate: syn, faces: crop, swap: crop"},
    {"contact_sheet", "images: [syn, oth], path: x.png"},
    {"dataset", "crops: [crop]"},
    {"exec", "inputs: [syn], command: [cat, '{in0}']"},
    {"exr_read", "path: a.#.bin"},
    {"exr_write", "image: syn, path: x.#.exr"},
    {"face_align", "image: syn, faces: syn.landmarks"},
    {"face_crop", "image: syn, faces: syn.landmarks"},
    {"face_detect", "image: syn"},
    {"face_mask", "image: crop"},
    {"face_override", "faces: syn.landmarks, path: a.1.bin"},
    {"face_track", "faces: syn.landmarks"},
    {"file_write", "file: model, path: x.bin"},
    {"image_read", "path: a.#.bin"},
    {"infer_onnx", "model: read, image: syn"},
    {"infer_swap", "model: model, faces: crop"},
    {"matte_edit", "matte: syn"},
    {"model_read", "path: a.1.bin"},
    {"report", "metrics: [model.metrics], path: x.html"},
    {"synth_plate", "frames: 1-3"},
    {"train_swap", "source: crop, destination: crop2"},
};

/* Where the generic other value is not a legal one, or needs another beside it. */
static const struct {
    const char *type, *param, *value, *beside;
} values[] = {
    {"contact_sheet", "format", "exr", "path: x.exr"},
    {"exec", "command", "[cat, '{in}']", NULL},
    {"exec", "env", "[A=1]", NULL},
    {"exec", "reads", "[a.1.bin]", NULL},
    {"infer_onnx", "channels", "[G, B, R]", NULL},
    {"infer_onnx", "channels_out", "[G, B, R]", NULL},
    {"infer_onnx", "mean", "['0.5']", NULL},
    {"infer_onnx", "deviation", "['0.5']", NULL},
    {"infer_swap", "as", "source", NULL},
    {"train_swap", "grow.start", "32", NULL},
    {"train_swap", "options", "t", NULL},
    {"train_swap", "reset", "[encoder]", NULL},
};

static const char feeders[] =
    "  syn: {type: synth_plate, frames: 1-3, width: 64, height: 64}\n"
    "  oth: {type: synth_plate, frames: 1-3, width: 64, height: 64, seed: 9}\n"
    "  crop: {type: face_crop, image: syn, faces: syn.landmarks, size: 64}\n"
    "  crop2: {type: face_crop, image: oth, faces: oth.landmarks, size: 64}\n"
    "  model: {type: train_swap, source: crop, destination: crop2, steps: 2, settle: {after: 2}}\n"
    "  read: {type: model_read, path: b.1.bin}\n";

/* The keys of a graph's tasks: "node@frame key" in the plan's order. */
enum { MOST = 128 };
struct keys {
    char label[MOST][32], key[MOST][40];
    size_t count;
};

static struct us_store *store;
static int changes, types_seen;

static const char *use_of(const struct us_node_type *type) {
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        if (strcmp(uses[i].type, type->name) == 0) {
            return uses[i].given;
        }
    }
    fail_msg("tests/exec/params_test.c has no use of %s", type->name);
    return NULL;
}

/* `a.b` and its value as it stands in YAML. */
static void print_setting(struct us_str *out, const char *name, const char *value) {
    const char *dot = strchr(name, '.');
    if (dot) {
        us_str_printf(out, "%.*s: {%s: %s}", (int)(dot - name), name, dot + 1, value);
    } else {
        us_str_printf(out, "%s: %s", name, value);
    }
}

/* What reads each output of x, and what reads that. */
static void print_below(struct us_str *out, const struct us_node_type *type) {
    for (int i = 0; i < us_port_count(type->outputs); i++) {
        const struct us_port *port = &type->outputs[i];
        if (port->data == US_IMAGE) {
            us_str_printf(out, "  b%d: {type: matte_edit, matte: x.%s, channel: R}\n", i,
                          port->name);
            us_str_printf(out, "  c%d: {type: exr_write, image: b%d, path: c%d.#.exr}\n", i, i, i);
        } else if (port->data == US_FACES) {
            us_str_printf(out, "  b%d: {type: face_track, faces: x.%s, window: 0}\n", i,
                          port->name);
        } else {
            us_str_printf(out, "  b%d: {type: file_write, file: x.%s, path: b%d.bin}\n", i,
                          port->name, i);
        }
    }
}

/* The graph with `settings` added to x; a key of what x is given that stands there too is left out.
 */
static void print_graph(struct us_str *out, const struct us_node_type *type, const char *settings) {
    us_str_printf(out, "understudy: 1\nnodes:\n%s  x: {type: %s", feeders, type->name);
    for (const char *given = use_of(type); *given;) {
        const char *end = strstr(given, ", ");
        while (end && (strchr("[{", end[2]) || !strchr(end, ':') ||
                       strcspn(end + 2, ":") > strcspn(end + 2, ",]"))) {
            end = strstr(end + 2, ", ");
        }
        const size_t size = end ? (size_t)(end - given) : strlen(given);
        char name[32];
        snprintf(name, sizeof name, "%.*s:", (int)strcspn(given, ":"), given);
        const char *again = settings ? strstr(settings, name) : NULL;
        if (!again || (again != settings && again[-1] != ' ')) {
            us_str_printf(out, ", %.*s", (int)size, given);
        }
        given += size + (end ? 2 : 0);
    }
    us_str_printf(out, "%s%s}\n", settings && *settings ? ", " : "", settings ? settings : "");
    print_below(out, type);
}

static void take_keys(struct us_run *run, struct keys *keys) {
    keys->count = 0;
    for (size_t i = 0; i < us_run_plan_count(run); i++) {
        const struct us_plan_entry entry = us_run_plan_entry(run, i);
        char *text;
        ASSERT_OK(us_run_explain(run, entry.node->name, entry.frame, &text));
        const char *key = strstr(text, "plan key ");
        assert_non_null(key);
        if (keys->count == MOST) {
            fail_msg("too many tasks: %s", entry.label);
        }
        snprintf(keys->label[keys->count], 32, "%s", entry.label);
        snprintf(keys->key[keys->count++], 40, "%.32s", key + 9);
        us_free(text);
    }
}

/* Plans the graph for all its nodes. */
static struct us_error *plan(const struct us_registry *registry, const char *text,
                             struct keys *keys) {
    char *path = us_path_join(us_test_folder(), "x.yaml");
    ASSERT_OK(us_write_file(path, text, strlen(text)));
    struct us_graph *graph = NULL;
    struct us_run *run = NULL;
    struct us_error *error = us_graph_load(registry, path, NULL, 0, &graph);
    us_free(path);
    const char *targets[64];
    for (size_t i = 0; !error && i < graph->node_count; i++) {
        targets[i] = graph->nodes[i].name;
    }
    if (!error) {
        const struct us_run_options options = {
            .threads = 1, .targets = targets, .target_count = graph->node_count};
        error = us_run_create(graph, store, &options, &run);
    }
    if (!error) {
        take_keys(run, keys);
    }
    us_run_destroy(run);
    us_graph_destroy(graph);
    return error;
}

static struct us_error *plan_with(const struct us_node_type *type, const char *settings,
                                  struct keys *keys) {
    struct us_str text = {0};
    print_graph(&text, type, settings);
    struct us_error *error = plan(&us_nodes, us_str_text(&text), keys);
    us_str_finish(&text);
    return error;
}

static const char *key_at(const struct keys *keys, const char *label) {
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->label[i], label) == 0) {
            return keys->key[i];
        }
    }
    return NULL;
}

/* x and what is below have names of their own: x, b0, c0 ... */
static bool at_or_below(const char *label) {
    return label[0] == 'x' || ((label[0] == 'b' || label[0] == 'c') && label[1] <= '9');
}

/* All of x's tasks and those below must differ when `wanted`, from frame `from` on; nothing else.
 */
static void compare(const struct us_node_type *type, const char *what, const struct keys *before,
                    const struct keys *after, bool wanted, int from) {
    assert_int_equal(before->count, after->count);
    for (size_t i = 0; i < before->count; i++) {
        const char *label = before->label[i], *now = key_at(after, label), *at = strchr(label, '@');
        const bool same = now && strcmp(before->key[i], now) == 0;
        const bool differs = wanted && at_or_below(label) && (!at || atoi(at + 1) >= from);
        if (same == differs) {
            fail_msg("%s: %s: the key of %s %s", type->name, what, label,
                     same ? "stays" : "changes");
        }
    }
    changes++;
}

static void print_number(struct us_str *out, const struct us_param *param, double value) {
    us_str_printf(out, param->type == US_PARAM_INT ? "%.0f" : "%.17g", value);
}

/* Another legal value of a bool, a number, a string or a list. */
static void print_other(struct us_str *out, const struct us_param *param) {
    const double now = isnan(param->number) ? param->min : param->number;
    switch (param->type) {
    case US_PARAM_BOOL:
        us_str_append(out, param->number != 0 ? "false" : "true");
        break;
    case US_PARAM_INT:
        print_number(out, param, now + 1 <= param->max ? now + 1 : now - 1);
        break;
    case US_PARAM_DOUBLE:
        print_number(out, param,
                     now < param->max ? now + fmin(1, param->max - now) / 2
                                      : now - (now - param->min) / 2);
        break;
    case US_PARAM_STRINGS:
        us_str_append(out, "[G]");
        break;
    default:
        us_str_append(out, "zzz");
    }
}

static void change(const struct us_node_type *type, const struct us_param *param, const char *value,
                   const char *beside, const struct keys *base) {
    struct us_str settings = {0};
    struct keys keys;
    print_setting(&settings, param->name, value);
    if (beside) {
        us_str_printf(&settings, ", %s", beside);
    }
    struct us_error *error = plan_with(type, us_str_text(&settings), &keys);
    if (error && us_error_is(error, US_MISSING) && strcmp(value, "bf16") == 0) {
        print_message("skipped: %s %s: this processor has no bfloat16\n", type->name, value);
        us_error_free(error);
    } else {
        ASSERT_OK(error);
        compare(type, us_str_text(&settings), base, &keys, param->role != US_UNKEYED, -1000);
    }
    us_str_finish(&settings);
}

static void change_choice(const struct us_node_type *type, const struct us_param *param,
                          const struct keys *base) {
    for (const char *const *choice = param->choices; *choice; choice++) {
        if (!param->text || strcmp(*choice, param->text) != 0) {
            change(type, param, *choice, NULL, base);
        }
    }
}

/* The default written out. */
static void write_default(const struct us_node_type *type, const struct us_param *param,
                          const struct keys *base) {
    struct us_str value = {0}, settings = {0};
    struct keys keys;
    const bool number = param->type == US_PARAM_INT || param->type == US_PARAM_DOUBLE;
    if (param->required || param->type == US_PARAM_FRAMES || (number && isnan(param->number)) ||
        (!number && param->type != US_PARAM_BOOL && !param->text)) {
        return;
    }
    if (number) {
        print_number(&value, param, param->number);
    } else if (param->type == US_PARAM_BOOL) {
        us_str_append(&value, param->number != 0 ? "true" : "false");
    } else {
        us_str_printf(&value, "\"%s\"", param->text);
    }
    print_setting(&settings, param->name, us_str_text(&value));
    ASSERT_OK(plan_with(type, us_str_text(&settings), &keys));
    compare(type, us_str_text(&settings), base, &keys, false, 0);
    us_str_finish(&value);
    us_str_finish(&settings);
}

/* Another value from frame 3 on. */
static void animate(const struct us_node_type *type, const struct us_param *param,
                    const struct keys *base) {
    struct us_str other = {0}, value = {0}, settings = {0};
    struct keys keys;
    if (param->type != US_PARAM_DOUBLE || !type->per_frame || isnan(param->number)) {
        return;
    }
    print_other(&other, param);
    us_str_printf(&value, "{1: %.17g, 3: %s, ease: hold}", param->number, us_str_text(&other));
    print_setting(&settings, param->name, us_str_text(&value));
    ASSERT_OK(plan_with(type, us_str_text(&settings), &keys));
    compare(type, us_str_text(&settings), base, &keys, true, 3);
    us_str_finish(&other);
    us_str_finish(&value);
    us_str_finish(&settings);
}

/* A path of a source: other bytes are another key, the same bytes elsewhere are not; of what is
 * written: never. */
static void change_path(const struct us_node_type *type, const struct us_param *param,
                        const struct keys *base) {
    static const char *const places[][3] = {{"a.#.bin", "b.#.bin", "same.#.bin"},
                                            {"a.1.bin", "b.1.bin", "same.1.bin"}};
    struct us_str settings = {0};
    struct keys keys;
    if (type->writes) {
        const char *given = strstr(use_of(type), "path: x.");
        assert_non_null(given);
        us_str_printf(&settings, "path: elsewhere/%.*s", (int)strcspn(given + 6, ","), given + 6);
        ASSERT_OK(plan_with(type, us_str_text(&settings), &keys));
        compare(type, us_str_text(&settings), base, &keys, false, 0);
    }
    for (int i = 1; i < 3 && !type->writes; i++) {
        us_str_clear(&settings);
        us_str_printf(&settings, "%s: %s", param->name,
                      places[strstr(use_of(type), "a.1.") != NULL][i]);
        ASSERT_OK(plan_with(type, us_str_text(&settings), &keys));
        compare(type, us_str_text(&settings), base, &keys, i == 1, 0);
    }
    us_str_finish(&settings);
}

/* Fewer frames: those that stay keep their keys. */
static void change_frames(const struct us_node_type *type, const struct keys *base) {
    struct keys keys;
    ASSERT_OK(plan_with(type, "frames: 1-2", &keys));
    for (size_t i = 0; i < keys.count; i++) {
        assert_non_null(key_at(base, keys.label[i]));
        assert_string_equal(key_at(base, keys.label[i]), keys.key[i]);
    }
    assert_null(key_at(&keys, "x@3"));
    changes++;
}

static void change_param(const struct us_node_type *type, const struct us_param *param,
                         const struct keys *base) {
    struct us_str other = {0};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (strcmp(values[i].type, type->name) == 0 && strcmp(values[i].param, param->name) == 0) {
            change(type, param, values[i].value, values[i].beside, base);
            return;
        }
    }
    if (param->type == US_PARAM_PATH) {
        change_path(type, param, base);
    } else if (param->type == US_PARAM_FRAMES) {
        change_frames(type, base);
    } else if (param->type == US_PARAM_CHOICE) {
        change_choice(type, param, base);
    } else {
        assert_int_not_equal(param->type, US_PARAM_PATHS); /* wants a row in `values` */
        print_other(&other, param);
        change(type, param, us_str_text(&other), NULL, base);
    }
    us_str_finish(&other);
}

/* A newer version of x's type alone. */
static void change_version(const struct us_node_type *type, const struct keys *base) {
    const struct us_node_type *types[64];
    struct us_node_type newer = *type;
    struct us_registry registry = us_nodes;
    struct us_str text = {0};
    struct keys keys;
    newer.version++;
    assert_true(us_nodes.count < 64);
    memcpy(types, us_nodes.types, us_nodes.count * sizeof *types);
    registry.types = types;
    for (size_t i = 0; i < us_nodes.count; i++) {
        types[i] = types[i] == type ? &newer : types[i];
    }
    print_graph(&text, type, NULL);
    ASSERT_OK(plan(&registry, us_str_text(&text), &keys));
    for (size_t i = 0; i < keys.count; i++) {
        if (keys.label[i][0] == 'x') {
            assert_string_not_equal(key_at(base, keys.label[i]), keys.key[i]);
        }
    }
    us_str_finish(&text);
    changes++;
}

static void test_every_parameter(void **state) {
    (void)state;
    for (size_t i = 0; i < us_nodes.count; i++) {
        const struct us_node_type *type = us_nodes.types[i];
        struct keys base;
        ASSERT_OK(plan_with(type, NULL, &base));
        change_version(type, &base);
        for (const struct us_param *param = type->params; param && param->name; param++) {
            change_param(type, param, &base);
            write_default(type, param, &base);
            animate(type, param, &base);
        }
        types_seen++;
    }
    print_message("%d node types, %d changes\n", types_seen, changes);
}

static void put(const char *name, const char *text) {
    char *path = us_path_join(us_test_folder(), name);
    ASSERT_OK(us_write_file(path, text, strlen(text)));
    us_free(path);
}

/* Contents do not matter, for nothing runs; weights are files like others. */
static int set_up(void **state) {
    (void)state;
    char name[32], text[32];
    for (int i = 1; i <= 3; i++) {
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "%s.%d.bin", k == 0 ? "a" : k == 1 ? "b" : "same", i);
            snprintf(text, sizeof text, "%s %d", k == 1 ? "other" : "some", i);
            put(name, text);
        }
    }
    put("blazeface_full_range.tflite", "full");
    put("blazeface_short_range.tflite", "short");
    put("facemesh_468.tflite", "mesh");
    us_set_models_folder(us_test_folder());
    char *cache = us_path_join(us_test_folder(), "cache");
    ASSERT_OK(us_cache_open(cache, &store));
    us_free(cache);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    us_cache_close(store);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_parameter)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
