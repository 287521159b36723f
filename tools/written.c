#include "tools/written.h"

#include <stdio.h>
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

static void show(const struct us_node *node, struct us_frame frame, size_t count, bool json) {
    char *path = pattern_of(node, frame);
    if (!path) {
        return;
    }
    if (json) {
        json_t *line = us_json_begin("written");
        us_json_text(line, "node", node->name);
        us_json_text(line, "path", path);
        us_json_int(line, "files", (int64_t)count);
        us_json_end(line);
    } else {
        struct us_str text = {0};
        const char *near = from_here(path);
        us_plain_text(near, strlen(near), &text);
        printf("%s: %s", node->name, us_str_text(&text));
        if (node->type->per_frame) {
            printf(" (%zu frame%s)", count, count == 1 ? "" : "s");
        }
        putchar('\n');
        us_str_finish(&text);
    }
    us_free(path);
}

void us_written_show(const struct us_graph *graph, struct us_run *run, bool json) {
    size_t total = us_run_plan_count(run);
    size_t *counts = us_calloc(graph->node_count + 1, sizeof *counts);
    struct us_frame *first = us_calloc(graph->node_count + 1, sizeof *first);
    for (size_t i = 0; i < total; i++) {
        struct us_plan_entry entry = us_run_plan_entry(run, i);
        size_t at = (size_t)(entry.node - graph->nodes);
        if (entry.state != US_TASK_DONE && entry.state != US_TASK_CACHED) {
            continue;
        }
        if (counts[at]++ == 0) {
            first[at] = entry.frame;
        }
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct us_node *node = &graph->nodes[i];
        if (counts[i] && node->type->writes && node->type->destination) {
            show(node, first[i], counts[i], json);
        }
    }
    us_free(counts);
    us_free(first);
}
