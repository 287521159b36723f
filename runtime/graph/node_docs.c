#include "runtime/graph/node_docs.h"

#include <math.h>
#include <string.h>

#include "runtime/base/str.h"
#include "runtime/graph/loader.h"

static const char *const groups[][2] = {{"io", "Images in and out"},
                                        {"face", "Faces"},
                                        {"learn", "Learning"},
                                        {"comp", "Compositing"},
                                        {"util", "Utilities"}};
enum { GROUPS = sizeof groups / sizeof *groups };

const char *us_nodes_nearest(const struct us_registry *registry, const char *name) {
    struct us_name_list names = {0};
    for (size_t i = 0; i < registry->count; i++) {
        us_names_add(&names, registry->types[i]->name);
    }
    const char *nearest = us_str_nearest(name, names.items, names.count);
    us_names_finish(&names);
    return nearest;
}

/* Breaks text into lines of at most 78 characters behind an indent; blank lines stay. */
static void append_wrapped(struct us_str *out, int indent, const char *text) {
    int column = 0;
    while (*text) {
        size_t newlines = 0, word = 0;
        for (; *text == ' ' || *text == '\n'; text++) {
            newlines += *text == '\n';
        }
        word = strcspn(text, " \n");
        if (!word) {
            break;
        }
        if (newlines > 1 && column) {
            us_str_append(out, "\n\n");
            column = 0;
        } else if (column && column + 1 + (int)word > 78) {
            us_str_append(out, "\n");
            column = 0;
        }
        if (column == 0) {
            us_str_printf(out, "%*s", indent, "");
            column = indent;
        } else {
            us_str_append(out, " ");
            column++;
        }
        us_str_append_bytes(out, text, word);
        column += (int)word;
        text += word;
    }
    us_str_append(out, "\n");
}

static void append_data(struct us_str *out, unsigned data) {
    bool first = true;
    for (unsigned bit = US_IMAGE; bit <= US_FILE; bit <<= 1) {
        if (data & bit) {
            us_str_printf(out, "%s%s", first ? "" : " or ", us_data_name(bit));
            first = false;
        }
    }
}

/* "image", "list of image or dataset, optional, all frames" */
static void append_port_kind(struct us_str *out, const struct us_port *port, bool input) {
    us_str_append(out, port->list ? "list of " : "");
    append_data(out, port->data);
    if (input) {
        us_str_append(out, port->optional ? ", optional" : "");
        us_str_append(out, port->reach == US_WINDOW       ? ", a window of frames"
                           : port->reach == US_ALL_FRAMES ? ", all frames"
                                                          : "");
    }
}

static const char *type_text(const struct us_node_type *type, const struct us_param *param) {
    static const char *const texts[] = {
        [US_PARAM_BOOL] = "bool",          [US_PARAM_INT] = "int",
        [US_PARAM_DOUBLE] = "float",       [US_PARAM_STRING] = "string",
        [US_PARAM_PATH] = "path",          [US_PARAM_CHOICE] = "choice",
        [US_PARAM_FRAMES] = "frames",      [US_PARAM_STRINGS] = "list of strings",
        [US_PARAM_PATHS] = "list of paths"};
    return param->type == US_PARAM_DOUBLE && type->per_frame ? "float, may be animated"
                                                             : texts[param->type];
}

static void append_default(struct us_str *out, const struct us_param *param) {
    switch (param->type) {
    case US_PARAM_BOOL:
        us_str_append(out, param->number != 0 ? "true" : "false");
        break;
    case US_PARAM_INT:
    case US_PARAM_DOUBLE:
        if (isnan(param->number)) {
            us_str_append(out, "not set");
        } else {
            us_str_printf(out, "%.15g", param->number);
        }
        break;
    default:
        us_str_append(out, !param->text ? "not set" : param->text[0] ? param->text : "\"\"");
    }
}

/* "0 to 512 px", "box, gauss", the unit, or nothing. */
static void append_allowed(struct us_str *out, const struct us_param *param) {
    if (param->type == US_PARAM_CHOICE) {
        for (size_t i = 0; param->choices && param->choices[i]; i++) {
            us_str_printf(out, "%s%s", i ? ", " : "", param->choices[i]);
        }
    } else if (param->type == US_PARAM_INT || param->type == US_PARAM_DOUBLE) {
        struct us_arena arena = {0};
        const char *range = us_range_text(&arena, param->min, param->max, param->unit);
        us_str_append(out, range[0] ? range : param->unit ? param->unit : "");
        us_arena_finish(&arena);
    }
}

static void append_ports(struct us_str *out, const char *title, const struct us_port *ports,
                         bool input) {
    if (!us_port_count(ports)) {
        return;
    }
    us_str_printf(out, "\n%s\n", title);
    for (; ports->name; ports++) {
        us_str_printf(out, "  %-16s ", ports->name);
        append_port_kind(out, ports, input);
        us_str_append(out, "\n");
        append_wrapped(out, 6, ports->doc);
    }
}

static void append_params(struct us_str *out, const struct us_node_type *type) {
    const struct us_param *param = type->params;
    if (!param || !param->name) {
        return;
    }
    us_str_append(out, "\nparameters\n");
    for (; param->name; param++) {
        us_str_printf(out, "  %-16s %s; ", param->name, type_text(type, param));
        if (param->required) {
            us_str_append(out, "required");
        } else {
            us_str_append(out, "default ");
            append_default(out, param);
        }
        struct us_str allowed = {0};
        append_allowed(&allowed, param);
        us_str_printf(out, "%s%s\n", allowed.length ? "; " : "", us_str_text(&allowed));
        us_str_finish(&allowed);
        append_wrapped(out, 6, param->doc);
    }
}

static void append_example(struct us_str *out, const char *example, const char *indent) {
    while (*example) {
        size_t length = strcspn(example, "\n");
        us_str_append(out, indent);
        us_str_append_bytes(out, example, length);
        us_str_append(out, "\n");
        example += length;
        example += *example == '\n';
    }
}

char *us_node_text(const struct us_node_type *type) {
    struct us_str out = {0};
    us_str_printf(&out, "%s (%s, %s): %s\n\n", type->name, type->group,
                  type->per_frame ? "runs for each frame" : "runs once over all frames",
                  type->summary);
    append_wrapped(&out, 0, type->doc);
    append_ports(&out, "inputs", type->inputs, true);
    append_ports(&out, "outputs", type->outputs, false);
    append_params(&out, type);
    us_str_append(&out, "\nexample\n");
    append_example(&out, type->example, "  ");
    return us_str_take(&out);
}

char *us_nodes_text(const struct us_registry *registry) {
    struct us_str out = {0};
    for (size_t g = 0; g < GROUPS; g++) {
        bool titled = false;
        for (size_t i = 0; i < registry->count; i++) {
            const struct us_node_type *type = registry->types[i];
            if (strcmp(type->group, groups[g][0]) != 0) {
                continue;
            }
            if (!titled) {
                us_str_printf(&out, "%s%s\n", out.length ? "\n" : "", groups[g][1]);
                titled = true;
            }
            us_str_printf(&out, "  %-16s %s\n", type->name, type->summary);
        }
    }
    us_str_append(&out, "\nunderstudy nodes TYPE tells all about one.\n");
    return us_str_take(&out);
}

/* A table cell: a bar would end it. */
static void append_cell(struct us_str *out, const char *text) {
    for (; *text; text++) {
        us_str_append(out, *text == '|' ? "\\|" : *text == '\n' ? " " : "");
        if (*text != '|' && *text != '\n') {
            us_str_append_bytes(out, text, 1);
        }
    }
}

static void append_port_table(struct us_str *out, const char *title, const struct us_port *ports,
                              bool input) {
    if (!us_port_count(ports)) {
        return;
    }
    us_str_printf(out, "\n## %s\n\n| name | type | |\n|---|---|---|\n", title);
    for (; ports->name; ports++) {
        us_str_printf(out, "| `%s` | ", ports->name);
        append_port_kind(out, ports, input);
        us_str_append(out, " | ");
        append_cell(out, ports->doc);
        us_str_append(out, " |\n");
    }
}

static void append_param_table(struct us_str *out, const struct us_node_type *type) {
    const struct us_param *param = type->params;
    if (!param || !param->name) {
        return;
    }
    us_str_append(out, "\n## Parameters\n\n| name | type | default | allowed | |\n"
                       "|---|---|---|---|---|\n");
    for (; param->name; param++) {
        us_str_printf(out, "| `%s` | %s | ", param->name, type_text(type, param));
        struct us_str cell = {0};
        if (param->required) {
            us_str_append(&cell, "required");
        } else {
            append_default(&cell, param);
        }
        append_cell(out, us_str_text(&cell));
        us_str_clear(&cell);
        append_allowed(&cell, param);
        us_str_append(out, " | ");
        append_cell(out, us_str_text(&cell));
        us_str_finish(&cell);
        us_str_append(out, " | ");
        append_cell(out, param->doc);
        us_str_append(out, " |\n");
    }
}

char *us_node_markdown(const struct us_node_type *type) {
    struct us_str out = {0};
    us_str_printf(&out, "# %s\n\n%s\n\n*%s; %s; version %u.*\n\n%s\n", type->name, type->summary,
                  type->group,
                  type->per_frame ? "runs for each frame" : "runs once over all frames",
                  (unsigned)type->version, type->doc);
    append_port_table(&out, "Inputs", type->inputs, true);
    append_port_table(&out, "Outputs", type->outputs, false);
    append_param_table(&out, type);
    us_str_append(&out, "\n## Example\n\n```yaml\n");
    append_example(&out, type->example, "");
    us_str_append(&out, "```\n");
    return us_str_take(&out);
}

char *us_nodes_markdown(const struct us_registry *registry) {
    struct us_str out = {0};
    us_str_append(&out, "# Nodes\n\nMade from the tables of the node types.\n");
    for (size_t g = 0; g < GROUPS; g++) {
        us_str_printf(&out, "\n## %s\n\n", groups[g][1]);
        for (size_t i = 0; i < registry->count; i++) {
            const struct us_node_type *type = registry->types[i];
            if (strcmp(type->group, groups[g][0]) == 0) {
                us_str_printf(&out, "- [%s](%s.md): %s\n", type->name, type->name, type->summary);
            }
        }
    }
    return us_str_take(&out);
}
