#include "tests/support/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "tests/support/graph_text.h"

/* Reads parameter `name` of a node by its table. */
static const void *field(const struct us_graph *graph, const char *node, const char *name) {
    const struct us_node *found = us_graph_find(graph, node);
    assert_non_null(found);
    const struct us_param *param = found->type->params;
    while (strcmp(param->name, name) != 0) {
        param++;
    }
    return (const char *)found->params + param->offset;
}

static int64_t int_of(const struct us_graph *graph, const char *node, const char *name) {
    return *(const int64_t *)field(graph, node, name);
}

static double double_of(const struct us_graph *graph, const char *node, const char *name) {
    return *(const double *)field(graph, node, name);
}

static const char *text_of(const struct us_graph *graph, const char *node, const char *name) {
    return *(const char *const *)field(graph, node, name);
}

static void fills_every_type(void **state) {
    (void)state;
    struct us_graph *graph =
        us_test_graph("nodes:\n"
                      "  a: {type: toy_number, value: -3, frames: [1, 5-6]}\n"
                      "  b: {type: toy_add, values: a, plus: 1.5e1, mode: subtract, twice: true,\n"
                      "      label: 42}\n"
                      "  c: {type: toy_sum, value: b, steps: 7, until: {loss: .5, seconds: 3},\n"
                      "      notes: one, files: [x/y, /z, ../w, ./v]}\n"
                      "  d: {type: toy_add, values: a}\n");
    assert_int_equal(int_of(graph, "a", "value"), -3);
    const struct us_frames *frames = field(graph, "a", "frames");
    assert_int_equal(frames->count, 3);
    assert_int_equal(frames->items[2].number, 6);
    ASSERT_NEAR(double_of(graph, "b", "plus"), 15, 0);
    assert_string_equal(text_of(graph, "b", "mode"), "subtract");
    assert_string_equal(text_of(graph, "b", "label"), "42");
    assert_true(*(const bool *)field(graph, "b", "twice"));
    ASSERT_NEAR(double_of(graph, "c", "until.loss"), 0.5, 0);
    ASSERT_NEAR(double_of(graph, "c", "until.seconds"), 3, 0);
    const struct us_strings *notes = field(graph, "c", "notes"),
                            *files = field(graph, "c", "files");
    assert_int_equal(notes->count, 1);
    assert_string_equal(notes->items[0], "one");
    assert_int_equal(files->count, 4);
    char wanted[256];
    snprintf(wanted, sizeof wanted, "%s/x/y", graph->folder);
    assert_string_equal(files->items[0], wanted);
    assert_string_equal(files->items[1], "/z");
    snprintf(wanted, sizeof wanted, "%s/v", graph->folder);
    assert_string_equal(files->items[3], wanted);
    assert_string_equal(files->items[2], "/tmp/w");
    assert_string_equal(text_of(graph, "d", "mode"), "add");
    assert_null(text_of(graph, "d", "label"));
    us_graph_destroy(graph);
}

static void remembers_places(void **state) {
    (void)state;
    struct us_graph *graph = us_test_graph("nodes:\n"
                                           "  a:\n"
                                           "    type: toy_number\n"
                                           "    value:  123\n");
    struct us_node *node = us_graph_find(graph, "a");
    struct us_pos pos = us_node_param_pos(node, "value");
    assert_int_equal(pos.line, 5);
    assert_int_equal(pos.column, 13);
    assert_int_equal(pos.length, 3);
    pos = us_node_param_pos(node, "frames");
    assert_int_equal(pos.line, 3);
    assert_int_equal(pos.column, 3);
    assert_int_equal(us_node_param_pos(node, "nothing").line, 3);
    us_graph_destroy(graph);
}

static void puts_parameters_in(void **state) {
    (void)state;
    static const char text[] =
        "params:\n"
        "  n: {type: int, default: 4, min: 0, max: 100, doc: A number.}\n"
        "  big: {type: float, default: 2.5}\n"
        "  on: {type: bool, default: false}\n"
        "  who: {type: string, default: \"x$(n)\"}\n"
        "  where: {type: path, default: in/$(who).txt}\n"
        "  range: {type: frames, default: 1-2}\n"
        "  mode: {type: choice, choices: [add, subtract], default: add}\n"
        "nodes:\n"
        "  a: {type: toy_number, value: $(n), frames: $(range)}\n"
        "  b: {type: toy_add, values: a, plus: $(big), mode: $(mode), twice: $(on),\n"
        "      label: \"$(who)-$(where)-$$(n)-$F4-$(n)\"}\n"
        "  c: {type: toy_number, value: $(n)1, frames: $(n)-$(n)9}\n"
        "  w: {type: toy_write, value: b, path: $(where)}\n";
    struct us_graph *graph = us_test_graph(text);
    assert_int_equal(int_of(graph, "a", "value"), 4);
    assert_int_equal(int_of(graph, "c", "value"), 41);
    assert_int_equal(((const struct us_frames *)field(graph, "c", "frames"))->count, 46);
    assert_int_equal(((const struct us_frames *)field(graph, "a", "frames"))->count, 2);
    ASSERT_NEAR(double_of(graph, "b", "plus"), 2.5, 0);
    char path[256], label[600];
    snprintf(path, sizeof path, "%s/in/x4.txt", graph->folder);
    assert_string_equal(text_of(graph, "w", "path"), path);
    snprintf(label, sizeof label, "x4-%s-$(n)-$F4-4", path);
    assert_string_equal(text_of(graph, "b", "label"), label);
    us_graph_destroy(graph);

    ASSERT_OK(
        us_test_load(text, "n=9 on=true mode=subtract where=out.txt n=10 who= range=7", &graph));
    assert_int_equal(int_of(graph, "a", "value"), 10);
    assert_true(*(const bool *)field(graph, "b", "twice"));
    assert_string_equal(text_of(graph, "b", "mode"), "subtract");
    char *cwd = getcwd(NULL, 0);
    snprintf(path, sizeof path, "%s/out.txt", cwd); /* -p paths start from where we are */
    us_free(cwd);
    assert_string_equal(text_of(graph, "w", "path"), path);
    us_graph_destroy(graph);
}

static double plus_at(const struct us_graph *graph, const char *node, int32_t frame) {
    struct {
        double plus;
        const char *mode;
        bool twice;
        const char *label;
    } params;
    const struct us_node *found = us_graph_find(graph, node);
    assert_int_equal(found->type->params_size, sizeof params);
    us_node_params_at(found, (struct us_frame){.number = frame}, &params);
    assert_string_equal(params.mode, "add");
    return params.plus;
}

static void animates(void **state) {
    (void)state;
    struct us_graph *graph =
        us_test_graph("params: {top: {type: float, default: 8}}\n"
                      "nodes:\n"
                      "  a: {type: toy_number}\n"
                      "  l: {type: toy_add, values: a, plus: {1040: $(top), 1000: 4}}\n"
                      "  h: {type: toy_add, values: a, plus: {-5: 1, 10: 2, ease: hold}}\n"
                      "  s: {type: toy_add, values: a, plus: 3}\n"
                      "  w: {type: toy_add, values: a, plus: {-2147483648: 0, 2147483647: 1}}\n");
    static const struct {
        const char *node;
        int32_t frame;
        double value;
    } cases[] = {{"l", 0, 4},         {"l", 1000, 4},     {"l", 1020, 6}, {"l", 1039, 7.9},
                 {"l", 1040, 8},      {"l", 9999, 8},     {"h", -6, 1},   {"h", -5, 1},
                 {"h", 9, 1},         {"h", 10, 2},       {"h", 11, 2},   {"s", 5, 3},
                 {"w", INT32_MIN, 0}, {"w", INT32_MAX, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ASSERT_NEAR(plus_at(graph, cases[i].node, cases[i].frame), cases[i].value, 1e-12);
    }
    assert_int_equal(us_graph_find(graph, "l")->animation_count, 1);
    ASSERT_NEAR(double_of(graph, "l", "plus"), 4, 0);
    us_graph_destroy(graph);
}

static void bounds_what_parameters_make(void **state) {
    (void)state;
    struct us_str text = {0};
    us_str_append(&text, "params:\n  p0: {type: string, default: xxxxxxxxxx}\n");
    for (int i = 1; i < 30; i++) {
        us_str_printf(&text, "  p%d: {type: string, default: \"", i);
        for (int k = 0; k < 10; k++) {
            us_str_printf(&text, "$(p%d)", i - 1);
        }
        us_str_append(&text, "\"}\n");
    }
    us_str_append(&text, "nodes: {a: {type: toy_number}}\n");
    struct us_graph *graph;
    ASSERT_ERROR(us_test_load(us_str_text(&text), NULL, &graph), "make too long a text");
    us_str_clear(&text);
    us_str_append(&text, "params:\n");
    for (int i = 0; i < 100000; i++) {
        us_str_printf(&text, "  p%d: {type: string, default: $(p%d)}\n", i, i + 1);
    }
    us_str_append(&text, "  p100000: {type: string, default: x}\nnodes: {a: {type: toy_number}}\n");
    ASSERT_ERROR(us_test_load(us_str_text(&text), NULL, &graph), "more than 100 deep");
    us_str_finish(&text);
    assert_null(graph);
}

static void roots_bind(void **state) {
    (void)state;
    static const char text[] = "roots: [in, \"%s\"]\n"
                               "nodes:\n"
                               "  a: {type: toy_read, path: %s}\n";
    static const struct {
        const char *path;
        bool allowed;
    } cases[] = {{"in/a.####.txt", true},          {"in/../in/a.####.txt", true},
                 {"in/x/../../b.####.txt", false}, {"inside/a.####.txt", false},
                 {"/opt/../etc/x", false},         {"in", true},
                 {"link/a.####.txt", false},       {"in/link/a.####.txt", false},
                 {"in/back/a.####.txt", true},     {"in/broken", false}};
    char path[300];
    us_test_write("in/here.txt", "");
    snprintf(path, sizeof path, "%s/link", us_test_folder());
    assert_int_equal(symlink("/etc", path), 0);
    snprintf(path, sizeof path, "%s/in/link", us_test_folder());
    assert_int_equal(symlink("/etc", path), 0);
    snprintf(path, sizeof path, "%s/in/back", us_test_folder());
    assert_int_equal(symlink(".", path), 0);
    snprintf(path, sizeof path, "%s/in/broken", us_test_folder());
    assert_int_equal(symlink("/nothing/there", path), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct us_str full = {0};
        us_str_printf(&full, text, "/opt/shows", cases[i].path);
        struct us_graph *graph;
        struct us_error *error = us_test_load(us_str_text(&full), NULL, &graph);
        us_str_finish(&full);
        if (cases[i].allowed) {
            ASSERT_OK(error);
        } else {
            assert_true(us_error_is(error, US_REFUSED));
            ASSERT_ERROR(error, "outside the declared roots");
        }
        us_graph_destroy(graph);
    }
}

static void included_roots_bind_too(void **state) {
    (void)state;
    us_test_write("strict.yaml", "roots: [safe]\n");
    struct us_graph *graph;
    ASSERT_ERROR(us_test_load("include: strict.yaml\nroots: [/]\n"
                              "nodes: {a: {type: toy_read, path: in/x}}\n",
                              NULL, &graph),
                 "outside the declared roots");
    us_test_write("loose.yaml", "roots: [/]\n");
    ASSERT_ERROR(us_test_load("include: loose.yaml\nroots: [safe]\n"
                              "nodes: {a: {type: toy_read, path: in/x}}\n",
                              NULL, &graph),
                 "outside the declared roots");
}

static void limits_are_inclusive(void **state) {
    (void)state;
    static const char text[] = "params: {n: {type: int, default: 4, min: 2, max: 100}}\n"
                               "nodes: {a: {type: toy_number, value: $(n)}}\n";
    struct us_graph *graph;
    ASSERT_OK(us_test_load(text, "n=2", &graph));
    us_graph_destroy(graph);
    ASSERT_OK(us_test_load(text, "n=100", &graph));
    us_graph_destroy(graph);
    ASSERT_ERROR(us_test_load(text, "n=1", &graph), "is 1 (-p n=1), allowed 2 to 100");
    ASSERT_ERROR(us_test_load(text, "n=101", &graph), "is 101 (-p n=101), allowed 2 to 100");
    static const char node[] = "params: {n: {type: int}}\n"
                               "nodes: {a: {type: toy_number, value: $(n)}}\n";
    ASSERT_OK(us_test_load(node, "n=-1000", &graph));
    us_graph_destroy(graph);
    ASSERT_OK(us_test_load(node, "n=1000", &graph));
    us_graph_destroy(graph);
    ASSERT_ERROR(us_test_load(node, "n=1001", &graph), "allowed -1000 to 1000");
    ASSERT_ERROR(us_test_load(node, "n=-1001", &graph), "allowed -1000 to 1000");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_every_type),
        cmocka_unit_test(remembers_places),
        cmocka_unit_test(puts_parameters_in),
        cmocka_unit_test(animates),
        cmocka_unit_test(roots_bind),
        cmocka_unit_test(included_roots_bind_too),
        cmocka_unit_test(bounds_what_parameters_make),
        cmocka_unit_test(limits_are_inclusive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
