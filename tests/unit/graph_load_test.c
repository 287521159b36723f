#include "tests/support/check.h"

#include <string.h>

#include "tests/support/graph_text.h"

static void orders_and_links(void **state) {
    (void)state;
    struct us_graph *graph = us_test_graph("show: nightfall\n"
                                           "nodes:\n"
                                           "  total: {type: toy_add, values: [b, a.out, b]}\n"
                                           "  a: {type: toy_number, value: 7, cache: keep}\n"
                                           "  b: {type: toy_add, values: a, cache: drop}\n"
                                           "outputs: [total]\n");
    assert_int_equal(graph->node_count, 3);
    assert_string_equal(graph->show, "nightfall");
    static const char *const names[] = {"a", "b", "total"};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(graph->nodes[i].name, names[i]);
    }
    assert_int_equal(graph->nodes[0].store, US_STORE_KEEP);
    assert_int_equal(graph->nodes[1].store, US_STORE_DROP);
    assert_int_equal(graph->nodes[0].pos.line, 5);
    assert_int_equal(graph->nodes[0].pos.column, 3);
    const struct us_node_input *input = &graph->nodes[2].inputs[0];
    assert_int_equal(input->count, 3);
    assert_int_equal(input->links[0].node, 1);
    assert_int_equal(input->links[1].node, 0);
    assert_int_equal(input->links[1].pos.column, 38);
    assert_int_equal(input->links[1].pos.length, 5);
    assert_int_equal(graph->output_count, 1);
    assert_int_equal(graph->outputs[0].node, 2);
    assert_ptr_equal(us_graph_find(graph, "b"), &graph->nodes[1]);
    assert_null(us_graph_find(graph, "c"));
    assert_string_equal(us_graph_nearest(graph, "totl"), "total");
    us_graph_destroy(graph);
}

static void picks_the_port_that_fits(void **state) {
    (void)state;
    struct us_graph *graph =
        us_test_graph("nodes:\n"
                      "  src: {type: toy_image}\n"
                      "  fixed: {type: toy_grade, image: src, faces: src}\n"
                      "  named: {type: toy_grade, image: src.image, faces: src.faces}\n");
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(graph->nodes[i].inputs[0].links[0].port, 0);
        assert_int_equal(graph->nodes[i].inputs[1].links[0].port, 1);
    }
    assert_int_equal(graph->output_count, 2);
    us_graph_destroy(graph);
}

static void includes(void **state) {
    (void)state;
    us_test_write("lib/deep.yaml", "nodes:\n  a: {type: toy_number, value: 1, frames: 5}\n"
                                   "  b: {type: toy_number, value: 2}\n"
                                   "params: {n: {type: int, default: 1, max: 9}}\n");
    us_test_write("lib/show.yaml", "include: deep.yaml\nshow: lib\n"
                                   "nodes:\n  b: {value: 3}\n");
    struct us_graph *graph = us_test_graph("include: [lib/show.yaml, lib/deep.yaml]\n"
                                           "show: mine\n"
                                           "params: {n: {default: 4}}\n"
                                           "nodes:\n"
                                           "  a: {type: toy_number, value: $(n)}\n"
                                           "  c: {type: toy_add, values: [a, b]}\n"
                                           "outputs: c\n");
    assert_string_equal(graph->show, "mine");
    assert_int_equal(graph->file_count, 3);
    assert_int_equal(graph->node_count, 3);
    /* a states its type and so replaces; b does not and so changes one key */
    assert_int_equal(*(int64_t *)us_graph_find(graph, "a")->params, 4);
    assert_int_equal(us_graph_find(graph, "a")->param_pos[1].line, 0);
    assert_int_equal(*(int64_t *)us_graph_find(graph, "b")->params, 3);
    us_graph_destroy(graph);
}

static void long_chains_need_no_stack(void **state) {
    (void)state;
    enum { NODES = 30000 };
    struct us_str text = {0};
    us_str_append(&text, "nodes:\n");
    for (int i = NODES; i > 0; i--) {
        us_str_printf(&text, "  n%d: {type: toy_add, values: n%d}\n", i, i - 1);
    }
    us_str_append(&text, "  n0: {type: toy_number}\n");
    struct us_graph *graph = us_test_graph(us_str_text(&text));
    assert_int_equal(graph->node_count, NODES + 1);
    for (size_t i = 1; i <= NODES; i++) {
        assert_int_equal(graph->nodes[i].inputs[0].links[0].node, i - 1);
    }
    us_graph_destroy(graph);
    us_str_finish(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_and_links),
        cmocka_unit_test(picks_the_port_that_fits),
        cmocka_unit_test(includes),
        cmocka_unit_test(long_chains_need_no_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
