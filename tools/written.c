#include "tools/written.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "tools/json_line.h"
#include "tools/show_error.h"

/* The pattern a node was given, else its one destination; us_malloc'ed. */
static char *pattern_of(const struct us_node *node, struct us_frame frame) {
    const struct us_param *params = node->type->params;
    for (size_t i = 0; node->type->per_frame && params && params[i].name; i++) {
        if (params[i].type == US_PARAM_PATH && strcmp(params[i].name, "path") == 0) {
            const char *text = *(const char **)((char *)node->params + params[i].offset);
            if (text) {
                return us_strdup(text);
            }
        }
    }
    return node->type->destination(node->params, frame);
}

static const char *from_here(const char *path) {
    char folder[4096];
    if (!getcwd(folder, sizeof folder)) {
        return path;
    }
    size_t length = strlen(folder);
    bool inside = strncmp(path, folder, length) == 0 && path[length] == '/';
    return inside ? path + length + 1 : path;
}

static void show(const char *node, const char *path, size_t count, bool per_frame, bool json) {
    if (json) {
        json_t *line = us_json_begin("written");
        us_json_text(line, "node", node);
        us_json_text(line, "path", path);
        us_json_int(line, "files", (int64_t)count);
        us_json_end(line);
        return;
    }
    struct us_str text = {0};
    const char *near = from_here(path);
    us_plain_text(near, strlen(near), &text);
    printf("%s: %s", node, us_str_text(&text));
    if (per_frame) {
        printf(" (%zu frame%s)", count, count == 1 ? "" : "s");
    }
    putchar('\n');
    us_str_finish(&text);
}

void us_written_show(const char *list, bool json) {
    char *copy = us_strdup(list), *rest = copy;
    for (char *line; (line = strsep(&rest, "\n")) && line[0];) {
        const char *node = strsep(&line, "\t"), *count = strsep(&line, "\t");
        const char *per_frame = strsep(&line, "\t");
        if (line) {
            show(node, line, strtoul(count, NULL, 10), per_frame[0] == '1', json);
        }
    }
    us_free(copy);
}

void us_written_list(const struct us_graph *graph, struct us_run *run, struct us_str *out) {
    size_t total = us_run_plan_count(run);
    size_t *counts = us_calloc(graph->node_count + 1, sizeof *counts);
    struct us_frame *first = us_calloc(graph->node_count + 1, sizeof *first);
    for (size_t i = 0; i < total; i++) {
        struct us_plan_entry entry = us_run_plan_brief(run, i);
        size_t at = (size_t)(entry.node - graph->nodes);
        const struct us_node_type *type = entry.node->type;
        if (!type->writes || !type->destination ||
            (entry.state != US_TASK_DONE && entry.state != US_TASK_CACHED)) {
            continue;
        }
        if (counts[at]++ == 0) {
            first[at] = entry.frame;
        }
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct us_node *node = &graph->nodes[i];
        char *path = counts[i] ? pattern_of(node, first[i]) : NULL;
        if (path && !strpbrk(path, "\n")) {
            us_str_printf(out, "%s\t%zu\t%d\t%s\n", node->name, counts[i], node->type->per_frame,
                          path);
        }
        us_free(path);
    }
    us_free(counts);
    us_free(first);
}
