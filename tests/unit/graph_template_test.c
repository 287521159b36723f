#include "tests/support/check.h"

#include <string.h>

#include "tests/support/graph_text.h"

static const char faces[] = "templates:\n"
                            "  faces:\n"
                            "    params:\n"
                            "      n: {type: int, default: 1}\n"
                            "      m: {type: int, default: $(n)}\n"
                            "    nodes:\n"
                            "      image: {type: toy_number, value: $(n)}\n"
                            "      crop: {type: toy_add, values: image, plus: $(m)}\n"
                            "  pair:\n"
                            "    params: {n: {type: int}}\n"
                            "    nodes:\n"
                            "      left: {use: faces, n: $(n)}\n"
                            "      right: {use: faces, n: 2}\n"
                            "    output: left.image\n";

static struct us_graph *load(const char *nodes) {
    struct us_str text = {0};
    us_str_printf(&text, "%s%s", faces, nodes);
    struct us_graph *graph = us_test_graph(us_str_text(&text));
    us_str_finish(&text);
    return graph;
}

/* The name of the node behind link `at` of a node's first input. */
static const char *source_of(const struct us_graph *graph, const char *node, size_t at) {
    const struct us_node *found = us_graph_find(graph, node);
    assert_non_null(found);
    assert_true(at < found->inputs[0].count);
    return graph->nodes[found->inputs[0].links[at].node].name;
}

static int64_t value_of(const struct us_graph *graph, const char *node) {
    const struct us_node *found = us_graph_find(graph, node);
    assert_non_null(found);
    return *(const int64_t *)found->params;
}

static void expands(void **state) {
    (void)state;
    struct us_graph *graph = load("nodes:\n"
                                  "  actor: {use: faces, n: 5}\n"
                                  "  plate: {use: faces}\n"
                                  "  both: {use: pair, n: 7}\n"
                                  "  sum: {type: toy_add, values: [actor, plate.image, both,\n"
                                  "        both.right, both.left.crop.out]}\n"
                                  "outputs: [both, sum]\n");
    assert_int_equal(graph->node_count, 9);
    assert_int_equal(value_of(graph, "actor.image"), 5);
    assert_int_equal(value_of(graph, "plate.image"), 1);
    assert_int_equal(value_of(graph, "both.left.image"), 7);
    assert_int_equal(value_of(graph, "both.right.image"), 2);
    ASSERT_NEAR(*(const double *)us_graph_find(graph, "both.left.crop")->params, 7, 0);
    assert_string_equal(source_of(graph, "actor.crop", 0), "actor.image");
    static const char *const wanted[] = {"actor.crop", "plate.image", "both.left.image",
                                         "both.right.crop", "both.left.crop"};
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(source_of(graph, "sum", i), wanted[i]);
    }
    assert_string_equal(graph->nodes[graph->outputs[0].node].name, "both.left.image");
    assert_int_equal(us_graph_find(graph, "actor.image")->pos.line, 8);
    us_graph_destroy(graph);
}

static void takes_inputs(void **state) {
    (void)state;
    struct us_graph *graph =
        us_test_graph("templates:\n"
                      "  inner:\n"
                      "    inputs: {what: , more: {optional: true, doc: More.}}\n"
                      "    nodes: {sum: {type: toy_add, values: [what, more]}}\n"
                      "  outer:\n"
                      "    inputs: {what: }\n"
                      "    nodes:\n"
                      "      own: {type: toy_number}\n"
                      "      in: {use: inner, what: [what, own]}\n"
                      "nodes:\n"
                      "  own: {type: toy_number, value: 3}\n"
                      "  one: {use: inner, what: own}\n"
                      "  two: {use: outer, what: [one, own]}\n");
    assert_string_equal(source_of(graph, "one.sum", 0), "own");
    assert_int_equal(us_graph_find(graph, "one.sum")->inputs[0].count, 1);
    static const char *const wanted[] = {"one.sum", "own", "two.own"};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(source_of(graph, "two.in.sum", i), wanted[i]);
    }
    us_graph_destroy(graph);
}

static void shadows(void **state) {
    (void)state;
    struct us_graph *graph =
        us_test_graph("params: {n: {type: int, default: 9}, k: {type: int, default: 8}}\n"
                      "templates:\n"
                      "  t:\n"
                      "    params: {n: {type: int, default: 1}}\n"
                      "    nodes:\n"
                      "      own: {type: toy_number, value: $(n)}\n"
                      "      graphs: {type: toy_number, value: $(k)}\n"
                      "nodes:\n"
                      "  a: {use: t}\n"
                      "  b: {use: t, n: $(n)}\n");
    assert_int_equal(value_of(graph, "a.own"), 1);
    assert_int_equal(value_of(graph, "b.own"), 9);
    assert_int_equal(value_of(graph, "a.graphs"), 8);
    us_graph_destroy(graph);
    graph = us_test_graph("params: {n: {type: int, default: 9}}\n"
                          "templates:\n"
                          "  t:\n"
                          "    params: {n: {type: int, default: $(n)}}\n"
                          "    nodes: {own: {type: toy_number, value: $(n)}}\n"
                          "nodes: {a: {use: t}, b: {use: t, n: 2}}\n");
    assert_int_equal(value_of(graph, "a.own"), 9);
    assert_int_equal(value_of(graph, "b.own"), 2);
    us_graph_destroy(graph);
}

static void bounds_templates_in_templates(void **state) {
    (void)state;
    struct us_str text = {0};
    us_str_append(&text, "templates:\n  t0: {nodes: {a: {type: toy_number}}}\n");
    for (int i = 1; i < 40; i++) {
        us_str_printf(&text, "  t%d: {nodes: {", i);
        for (int k = 0; k < 10; k++) {
            us_str_printf(&text, "n%d: {use: t%d}, ", k, i - 1);
        }
        us_str_append(&text, "}}\n");
    }
    us_str_append(&text, "nodes: {a: {use: t39}}\n");
    struct us_graph *graph;
    ASSERT_ERROR(us_test_load(us_str_text(&text), NULL, &graph), "more than 200000 nodes");
    us_str_clear(&text);
    us_str_append(&text, "templates:\n  t0: {nodes: {a: {type: toy_number}}}\n");
    for (int i = 1; i < 80; i++) {
        us_str_printf(&text, "  t%d: {nodes: {n: {use: t%d}}}\n", i, i - 1);
    }
    us_str_append(&text, "nodes: {a: {use: t79}}\n");
    ASSERT_ERROR(us_test_load(us_str_text(&text), NULL, &graph), "more than 64 deep");
    us_str_finish(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expands),
        cmocka_unit_test(takes_inputs),
        cmocka_unit_test(shadows),
        cmocka_unit_test(bounds_templates_in_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
