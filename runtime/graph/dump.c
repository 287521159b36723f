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

static void append_plain(struct us_str *out, const struct us_node *node) {
    us_str_printf(out, "label=\"%s\\n%s\", fillcolor=\"%s\"", node->name, node->type->name,
                  fill_of(node->type));
}

static void append_marked(struct us_str *out, const struct us_node *node,
                          const struct us_dot_mark *mark) {
    us_str_append(out, "label=<<table border=\"0\" cellborder=\"0\" cellspacing=\"0\" "
                       "cellpadding=\"2\"><tr><td><b>");
    us_str_append_markup(out, node->name);
    us_str_printf(out, "</b></td></tr><tr><td><font point-size=\"10\" color=\"#606060\">%s",
                  node->type->name);
    if (mark->note) {
        us_str_append(out, "</font></td></tr><tr><td><font point-size=\"11\">");
        us_str_append_markup(out, mark->note);
    }
    us_str_append(out, "</font></td></tr></table>");
    us_str_printf(out, ">, fillcolor=\"%s\", color=\"%s\", style=\"filled,rounded%s\"", mark->fill,
                  mark->line, mark->dashed ? ",dashed" : "");
    if (mark->tooltip) {
        us_str_append(out, ", tooltip=");
        append_quoted(out, mark->tooltip);
    }
}

static void append_node(struct us_str *out, const struct us_graph *graph, size_t index,
                        const struct us_dot_mark *marks) {
    const struct us_node *node = &graph->nodes[index];
    us_str_append(out, "  ");
    append_quoted(out, node->name);
    us_str_append(out, " [");
    if (marks) {
        append_marked(out, node, &marks[index]);
    } else {
        append_plain(out, node);
    }
    us_str_printf(out, "%s%s];\n", node->type->per_frame ? "" : ", peripheries=2",
                  is_output(graph, index) ? ", penwidth=2" : "");
}

static void append_legend(struct us_str *out, const struct us_dot_legend *legend) {
    us_str_append(
        out,
        "  labelloc=b;\n  fontname=\"sans-serif\";\n  fontsize=12;\n  label=<<table border=\"0\" "
        "cellborder=\"0\" cellspacing=\"6\"><tr>");
    us_str_printf(out, "<td colspan=\"%zu\">", 2 * legend->count);
    us_str_append_markup(out, legend->title);
    us_str_append(out, "</td></tr><tr>");
    for (size_t i = 0; i < legend->count; i++) {
        us_str_printf(out, "<td border=\"1\" width=\"20\" bgcolor=\"%s\" color=\"%s\"> </td><td>",
                      legend->marks[i].fill, legend->marks[i].line);
        us_str_append_markup(out, legend->marks[i].note);
        us_str_append(out, "</td>");
    }
    us_str_printf(out, "</tr><tr><td colspan=\"%zu\">", 2 * legend->count);
    us_str_append(out, "<font color=\"#606060\">double frame: runs once, not frame by frame; heavy "
                       "frame: an output of the graph</font></td></tr></table>>;\n");
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

char *us_graph_dot_marked(const struct us_graph *graph, const struct us_dot_mark *marks,
                          const struct us_dot_legend *legend) {
    struct us_str out = {0};
    us_str_append(&out, "digraph understudy {\n  rankdir=LR;\n"
                        "  node [shape=box, style=filled, fontname=\"sans-serif\"];\n"
                        "  edge [fontname=\"sans-serif\", fontsize=10];\n");
    if (legend) {
        append_legend(&out, legend);
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        append_node(&out, graph, i, marks);
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        append_edges(&out, graph, &graph->nodes[i]);
    }
    us_str_append(&out, "}\n");
    return us_str_take(&out);
}

char *us_graph_dot(const struct us_graph *graph) {
    return us_graph_dot_marked(graph, NULL, NULL);
}
