#include "tests/support/check.h"

#include <jansson.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/graph/dump.h"
#include "runtime/graph/node_docs.h"
#include "runtime/graph/schema.h"
#include "tests/support/graph_text.h"
#include "tests/support/toy_nodes.h"

static json_t *at(json_t *value, const char *path) {
    char *copy = us_strdup(path), *rest = copy;
    for (char *word; value && (word = strtok_r(rest, "/", &rest)) != NULL;) {
        value = json_is_array(value) ? json_array_get(value, (size_t)(word[0] - '0'))
                                     : json_object_get(value, word);
    }
    us_free(copy);
    return value;
}

/* Every $ref leads somewhere, and there is no null that a wrong format string left. */
static void check_references(json_t *root, json_t *value) {
    assert_false(json_is_null(value));
    const char *key;
    json_t *item;
    size_t index;
    json_object_foreach(value, key, item) {
        if (strcmp(key, "$ref") == 0) {
            assert_non_null(at(root, json_string_value(item) + 1));
        }
        check_references(root, item);
    }
    json_array_foreach(value, index, item) {
        check_references(root, item);
    }
}

static void schema_follows_tables(void **state) {
    (void)state;
    char *text = us_schema_json(&us_toys);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    check_references(root, root);
    json_t *add = at(root, "$defs/node_toy_add");
    assert_true(json_is_false(at(add, "additionalProperties")));
    assert_non_null(at(add, "properties/values/anyOf/1/items"));
    assert_string_equal(json_string_value(at(add, "required/1")), "values");
    json_t *plus = at(add, "properties/plus");
    ASSERT_NEAR(json_number_value(at(plus, "anyOf/0/anyOf/0/maximum")), 512, 0);
    assert_non_null(at(plus, "anyOf/1/patternProperties"));
    assert_non_null(strstr(json_string_value(at(plus, "description")), "In px."));
    assert_string_equal(json_string_value(at(add, "properties/mode/anyOf/0/enum/1")), "subtract");
    json_t *until = at(root, "$defs/node_toy_sum/properties/until");
    assert_non_null(at(until, "properties/loss"));
    assert_true(json_is_false(at(until, "additionalProperties")));
    assert_int_equal(json_array_size(at(root, "$defs/node/allOf")), us_toys.count);
    json_decref(root);
    us_free(text);
}

static void assert_has(const char *text, const char *part) {
    if (!strstr(text, part)) {
        print_error("wanted '%s' in:\n%s\n", part, text);
        fail();
    }
}

static void docs_follow_tables(void **state) {
    (void)state;
    char *text = us_node_text(us_registry_find(&us_toys, "toy_add"));
    assert_has(text, "toy_add (util, runs for each frame): The sum of numbers.");
    assert_has(text, "list of metrics");
    assert_has(text, "plus             float, may be animated; default 0; 0 to 512 px");
    assert_has(text, "mode             choice; default add; add, subtract");
    assert_has(text, "label            string; default not set");
    assert_has(text, "  sum: {type: toy_add, values: [one, two]}");
    us_free(text);
    text = us_node_markdown(us_registry_find(&us_toys, "toy_sum"));
    assert_has(text, "| `value` | metrics, all frames | Numbers. |");
    assert_has(text, "| `until.loss` | float | not set | at least 0 | Changes nothing. |");
    us_free(text);
    text = us_nodes_text(&us_toys);
    assert_has(text, "Learning\n  toy_sum          The sum over all frames.\n");
    us_free(text);
    text = us_nodes_markdown(&us_toys);
    assert_has(text, "- [toy_sum](toy_sum.md): The sum over all frames.\n");
    us_free(text);
    assert_string_equal(us_nodes_nearest(&us_toys, "toysum"), "toy_sum");
    assert_null(us_nodes_nearest(&us_toys, "elephant"));
}

static void draws(void **state) {
    (void)state;
    struct us_graph *graph = us_test_graph("nodes:\n"
                                           "  a: {type: toy_number}\n"
                                           "  b: {type: toy_sum, value: a}\n");
    char *text = us_graph_dot(graph);
    assert_has(text, "\"a\" -> \"b\" [label=\"value\"];");
    assert_has(text,
               "\"b\" [label=\"b\\ntoy_sum\", fillcolor=\"#e3dcf0\", peripheries=2, penwidth=2]");
    us_free(text);
    us_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_follows_tables),
        cmocka_unit_test(docs_follow_tables),
        cmocka_unit_test(draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
