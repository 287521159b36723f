#include <stdio.h>
#include <string.h>

#include "nodes/registry.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "runtime/graph/graph.h"
#include "tests/support/check.h"

/* What every row of nodes.def must satisfy. */

static void check_ports(const struct us_node_type *type, const struct us_port *ports, bool output) {
    for (const struct us_port *port = ports; port && port->name; port++) {
        assert_true(port->doc && strlen(port->doc) > 8);
        assert_true(port->data != 0);
        assert_true(!output || (port->data & (port->data - 1)) == 0);
        for (const struct us_port *other = ports; other < port; other++) {
            assert_string_not_equal(other->name, port->name);
        }
    }
    assert_true(!output || us_port_count(ports) > 0);
    assert_true(type->writes ? us_port_count(type->outputs) == 1 : true);
}

static void check_number(const struct us_node_type *type, const struct us_param *param) {
    bool unset = param->number != param->number;
    if (!unset && !(param->number >= param->min && param->number <= param->max)) {
        print_error("%s.%s: default %g is not in %g to %g\n", type->name, param->name,
                    param->number, param->min, param->max);
        fail();
    }
}

static void check_param(const struct us_node_type *type, const struct us_param *param) {
    assert_true(param->doc && strlen(param->doc) > 4);
    assert_non_null(param->unit);
    assert_true(param->offset < type->params_size);
    assert_int_equal(us_port_find(type->inputs, param->name), -1);
    switch (param->type) {
    case US_PARAM_INT:
    case US_PARAM_DOUBLE:
        check_number(type, param);
        break;
    case US_PARAM_CHOICE: {
        bool found = !param->text;
        for (const char *const *choice = param->choices; *choice; choice++) {
            found |= param->text && strcmp(*choice, param->text) == 0;
        }
        assert_true(found);
        break;
    }
    default:
        break;
    }
}

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < us_nodes.count; i++) {
        const struct us_node_type *type = us_nodes.types[i];
        print_message("%s\n", type->name);
        assert_true(type->version >= 1);
        assert_true(type->summary && strlen(type->summary) > 10);
        assert_true(type->doc && strlen(type->doc) > 40);
        assert_true(type->example && strstr(type->example, type->name));
        assert_non_null(type->run);
        assert_true(!type->writes || type->destination);
        assert_true(!type->reloads || type->sources);
        check_ports(type, type->inputs, false);
        check_ports(type, type->outputs, true);
        for (const struct us_param *p = type->params; p && p->name; p++) {
            check_param(type, p);
        }
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(us_nodes.types[k]->name, type->name);
        }
    }
    assert_true(us_nodes.count >= 10);
}

/* An example is one node; the nodes it names stand elsewhere, so "there is no node" is as far as it
 * may fail. */
static void check_example(const struct us_node_type *type) {
    struct us_str text = {0};
    char path[300];
    us_str_append(&text, "understudy: 1\nnodes:\n  ");
    for (const char *at = type->example; *at; at++) {
        us_str_append_bytes(&text, at, 1);
        us_str_append(&text, *at == '\n' ? "  " : "");
    }
    us_str_append(&text, "\n");
    snprintf(path, sizeof path, "%s/%s.yaml", us_test_folder(), type->name);
    ASSERT_OK(us_write_file(path, text.data, text.length));
    struct us_graph *graph = NULL;
    struct us_error *error = us_graph_load(&us_nodes, path, NULL, 0, &graph);
    const struct us_error *inner = error;
    while (inner && inner->cause) {
        inner = inner->cause;
    }
    if (inner && !strstr(inner->text, "there is no node '") && !strstr(inner->text, "outputs")) {
        print_error("example of %s: %s\n%s", type->name, inner->text, us_str_text(&text));
        fail();
    }
    us_error_free(error);
    us_graph_destroy(graph);
    us_str_finish(&text);
}

static void test_examples(void **state) {
    (void)state;
    for (size_t i = 0; i < us_nodes.count; i++) {
        check_example(us_nodes.types[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_examples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
