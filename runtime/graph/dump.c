#include "runtime/graph/dump.h"

#include <string.h>

#include "runtime/base/str.h"

static void append_quoted(struct us_str *out, const char *text) {
    us_str_append(out, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            us_str_append(out, "\\");
        }
        us_str_append_bytes(out, text, 1);
    }
    us_str_append(out, "\"");
}

static bool is_output(const struct us_graph *graph, size_t node) {
    for (size_t i = 0; i < graph->output_count; i++) {
        if (graph->outputs[i].node == node) {
            return true;
        }
    }
    return false;
}

/* A colour for each kind of work, so that a big graph can be read from afar. */
static const char *fill_of(const struct us_node_type *type) {
    static const char *const colours[][2] = {{"io", "#dde7f3"},
                                             {"face", "#f6e3d3"},
                                             {"learn", "#e3dcf0"},
                                             {"comp", "#dcefdf"},
                                             {"util", "#ececec"}};
    for (size_t i = 0; i < sizeof colours / sizeof *colours; i++) {
        if (strcmp(colours[i][0], type->group) == 0) {
            return colours[i][1];
        }
    }
    return "#ffffff";
}

static void append_node(struct us_str *out, const struct us_graph *graph, size_t index) {
    const struct us_node *node = &graph->nodes[index];
    us_str_append(out, "  ");
    append_quoted(out, node->name);
    us_str_printf(out, " [label=\"%s\\n%s\", fillcolor=\"%s\"%s%s];\n", node->name,
                  node->type->name, fill_of(node->type),
                  node->type->per_frame ? "" : ", peripheries=2",
                  is_output(graph, index) ? ", penwidth=2" : "");
}

static void append_edges(struct us_str *out, const struct us_graph *graph,
                         const struct us_node *node) {
    const struct us_port *ports = node->type->inputs;
    for (int i = 0; ports && ports[i].name; i++) {
        for (size_t k = 0; k < node->inputs[i].count; k++) {
            const struct us_link *link = &node->inputs[i].links[k];
            us_str_append(out, "  ");
            append_quoted(out, graph->nodes[link->node].name);
            us_str_append(out, " -> ");
            append_quoted(out, node->name);
            us_str_printf(out, " [label=\"%s\"];\n", ports[i].name);
        }
    }
}

char *us_graph_dot(const struct us_graph *graph) {
    struct us_str out = {0};
    us_str_append(&out, "digraph understudy {\n  rankdir=LR;\n"
                        "  node [shape=box, style=filled, fontname=\"sans-serif\"];\n"
                        "  edge [fontname=\"sans-serif\", fontsize=10];\n");
    for (size_t i = 0; i < graph->node_count; i++) {
        append_node(&out, graph, i);
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        append_edges(&out, graph, &graph->nodes[i]);
    }
    us_str_append(&out, "}\n");
    return us_str_take(&out);
}
