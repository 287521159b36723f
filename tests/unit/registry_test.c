/* What every node type owes to its users, checked over every row of nodes/nodes.def. */
#include "tests/support/check.h"

#include <ctype.h>
#include <string.h>

#include "nodes/registry.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "runtime/graph/graph.h"

static int problems;

#define COMPLAIN(...) (print_error(__VA_ARGS__), problems++)

static bool is_name(const char *text) {
    bool good = islower((unsigned char)text[0]) != 0;
    for (; *text; text++) {
        good = good && (islower((unsigned char)*text) || isdigit((unsigned char)*text) ||
                        *text == '_' || *text == '.');
    }
    return good;
}

static bool is_told(const char *doc) {
    return doc && strlen(doc) > 5;
}

static void check_ports(const struct us_node_type *type, const struct us_port *ports, bool input) {
    for (; ports && ports->name; ports++) {
        if (!is_name(ports->name) || strchr(ports->name, '.')) {
            COMPLAIN("%s: port '%s' is no name\n", type->name, ports->name);
        }
        if (!is_told(ports->doc)) {
            COMPLAIN("%s: port '%s' has no doc\n", type->name, ports->name);
        }
        unsigned all = US_IMAGE | US_FACES | US_DATASET | US_MODEL | US_METRICS | US_FILE;
        bool one = (ports->data & (ports->data - 1)) == 0;
        if (!ports->data || (ports->data & ~all) || (!input && !one)) {
            COMPLAIN("%s: port '%s' has data 0x%x\n", type->name, ports->name, ports->data);
        }
    }
}

static void check_choice(const struct us_node_type *type, const struct us_param *param) {
    bool found = param->text == NULL;
    for (const char *const *choice = param->choices; choice && *choice; choice++) {
        found = found || strcmp(*choice, param->text) == 0;
    }
    if (!param->choices || !found) {
        COMPLAIN("%s: default of '%s' is none of its choices\n", type->name, param->name);
    }
}

static void check_param(const struct us_node_type *type, const struct us_param *param) {
    bool number = param->type == US_PARAM_INT || param->type == US_PARAM_DOUBLE;
    if (!is_name(param->name) || us_port_find(type->inputs, param->name) >= 0 ||
        strcmp(param->name, "type") == 0 || strcmp(param->name, "use") == 0 ||
        strcmp(param->name, "cache") == 0) {
        COMPLAIN("%s: '%s' is no name for a parameter\n", type->name, param->name);
    }
    if (!is_told(param->doc)) {
        COMPLAIN("%s: '%s' has no doc\n", type->name, param->name);
    }
    if (number && !(param->min < param->max)) {
        COMPLAIN("%s: '%s' has no range\n", type->name, param->name);
    }
    if (number && !param->required && !isnan(param->number) &&
        !(param->number >= param->min && param->number <= param->max)) {
        COMPLAIN("%s: default of '%s' is out of its range\n", type->name, param->name);
    }
    if (param->type == US_PARAM_CHOICE) {
        check_choice(type, param);
    }
    if (param->offset >= type->params_size) {
        COMPLAIN("%s: '%s' lies outside the params\n", type->name, param->name);
    }
    for (const struct us_param *other = type->params; other != param; other++) {
        if (other->offset == param->offset || strcmp(other->name, param->name) == 0) {
            COMPLAIN("%s: '%s' and '%s' are one\n", type->name, other->name, param->name);
        }
    }
}

/* Loads the example; nodes that it only mentions may be missing. */
static void check_example(const struct us_node_type *type) {
    struct us_str text = {0};
    us_str_append(&text, "understudy: 1\nnodes:\n");
    for (const char *line = type->example; *line;) {
        size_t length = strcspn(line, "\n");
        us_str_append(&text, "  ");
        us_str_append_bytes(&text, line, length);
        us_str_append(&text, "\n");
        line += length + (line[length] == '\n');
    }
    char *path = us_path_join(us_test_folder(), "example.yaml");
    ASSERT_OK(us_write_file(path, us_str_text(&text), text.length));
    struct us_graph *graph;
    struct us_error *error = us_graph_load(&us_nodes, path, NULL, 0, &graph);
    if (error && !us_str_starts(error->text, "there is no node '")) {
        COMPLAIN("%s: example:%d: %s\n%s", type->name, error->pos.line - 2, error->text,
                 us_str_text(&text));
    }
    struct us_str use = {0};
    us_str_printf(&use, "type: %s", type->name);
    if (!strstr(type->example, us_str_text(&use))) {
        COMPLAIN("%s: the example does not use it\n", type->name);
    }
    us_str_finish(&use);
    us_error_free(error);
    us_graph_destroy(graph);
    us_free(path);
    us_str_finish(&text);
}

static void check_type(const struct us_node_type *type) {
    static const char *const groups[] = {"io", "face", "learn", "comp", "util"};
    bool grouped = false;
    for (size_t i = 0; i < 5; i++) {
        grouped = grouped || strcmp(groups[i], type->group) == 0;
    }
    if (!grouped || !is_name(type->name) || !type->version || !type->run) {
        COMPLAIN("%s: group, name, version or run\n", type->name);
    }
    if (!is_told(type->summary) || strlen(type->summary) > 90 || !us_str_ends(type->summary, ".") ||
        !is_told(type->doc)) {
        COMPLAIN("%s: wants a summary, one short sentence, and a doc\n", type->name);
    }
    if (!us_port_count(type->outputs)) {
        COMPLAIN("%s: gives nothing\n", type->name);
    }
    if (type->writes && (!type->destination || us_port_count(type->outputs) != 1 ||
                         type->outputs[0].data != US_FILE)) {
        COMPLAIN("%s: writes, but not one file to a destination\n", type->name);
    }
    check_ports(type, type->inputs, true);
    check_ports(type, type->outputs, false);
    for (const struct us_param *param = type->params; param && param->name; param++) {
        check_param(type, param);
    }
    if (!type->example) {
        COMPLAIN("%s: has no example\n", type->name);
    } else {
        check_example(type);
    }
}

static void every_row_is_complete(void **state) {
    (void)state;
    for (size_t i = 0; i < us_nodes.count; i++) {
        check_type(us_nodes.types[i]);
        if (i && strcmp(us_nodes.types[i - 1]->name, us_nodes.types[i]->name) >= 0) {
            COMPLAIN("%s: rows are sorted by name\n", us_nodes.types[i]->name);
        }
    }
    assert_true(us_nodes.count > 0);
    assert_int_equal(problems, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_row_is_complete)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
