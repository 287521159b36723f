#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "runtime/graph/loader.h"

struct us_error *us_graph_folder(struct us_arena *arena, const char *path, const char **cwd,
                                 const char **folder) {
    char *current = getcwd(NULL, 0);
    if (!current) {
        return us_error_from_errno(errno, "cannot tell the current folder");
    }
    char *named = us_path_folder(path), *real = realpath(named, NULL);
    *cwd = us_arena_strdup(arena, current);
    *folder = real ? us_arena_strdup(arena, real) : us_path_full(arena, current, named);
    us_free(real);
    us_free(named);
    us_free(current);
    return NULL;
}

static struct us_error *open_top_scope(struct us_loader *loader) {
    struct us_document *d = &loader->document;
    if (!d->nodes || !d->nodes->count) {
        struct us_error *error = us_fail(US_GRAPH, "the graph has no nodes");
        return us_error_at(us_error_hint(error, "add nodes:"),
                           (struct us_pos){.file = loader->graph->path, .line = 1, .column = 1});
    }
    struct us_scope *top = us_arena_alloc(loader->arena, sizeof *top);
    top->prefix = "";
    top->params = d->params;
    top->nodes = d->nodes;
    loader->top = top;
    loader->graph->show = d->show ? d->show->text : "";
    US_TRY(us_scope_declare(loader, top));
    US_TRY(us_scope_resolve(loader, top));
    US_TRY(us_roots_prepare(loader));
    US_TRY(us_templates_check(loader));
    return us_scope_expand(loader, top);
}

static struct us_error *fill_and_link(struct us_loader *loader) {
    for (size_t i = 0; i < loader->draft_count; i++) {
        struct us_draft *draft = &loader->drafts[i];
        struct us_error *error = us_draft_fill(loader, draft);
        if (!error) {
            error = us_draft_link(loader, draft);
        }
        US_TRY(us_scope_explain(draft->scope, error));
    }
    return NULL;
}

static struct us_error *link_outputs(struct us_loader *loader, const struct us_yaml *outputs) {
    struct us_graph *graph = loader->graph;
    bool is_list = outputs->kind == US_YAML_LIST;
    size_t count = is_list ? outputs->count : 1;
    graph->outputs = us_arena_alloc(loader->arena, count * sizeof *graph->outputs);
    for (size_t i = 0; i < count; i++) {
        const struct us_yaml *value = is_list ? outputs->items[i] : outputs;
        US_TRY(us_link_resolve(loader, loader->top, value, 0, &graph->outputs[i]));
    }
    graph->output_count = count;
    if (!count) {
        return us_error_at(us_fail(US_GRAPH, "outputs names no node"), outputs->pos);
    }
    return NULL;
}

static void mark_read(const struct us_node *node, bool *read) {
    for (int i = 0; i < us_port_count(node->type->inputs); i++) {
        for (size_t k = 0; k < node->inputs[i].count; k++) {
            read[node->inputs[i].links[k].node] = true;
        }
    }
}

/* Without `outputs:` the outputs are the nodes that nothing reads. */
static void find_outputs(struct us_loader *loader) {
    struct us_graph *graph = loader->graph;
    size_t count = loader->draft_count;
    bool *read = us_calloc(count, sizeof *read);
    for (size_t i = 0; i < count; i++) {
        mark_read(&loader->drafts[i].node, read);
    }
    graph->outputs = us_arena_alloc(loader->arena, count * sizeof *graph->outputs);
    for (size_t i = 0; i < count; i++) {
        const struct us_node *node = &loader->drafts[i].node;
        if (!read[i] && us_port_count(node->type->outputs)) {
            graph->outputs[graph->output_count++] =
                (struct us_link){.node = (uint32_t)i, .pos = node->pos};
        }
    }
    us_free(read);
}

static struct us_error *load(struct us_loader *loader, const char *path) {
    US_TRY(us_document_read(loader, path));
    US_TRY(open_top_scope(loader));
    US_TRY(fill_and_link(loader));
    if (loader->document.outputs) {
        US_TRY(link_outputs(loader, loader->document.outputs));
    } else {
        find_outputs(loader);
    }
    return us_graph_order(loader);
}

struct us_error *us_graph_load(const struct us_registry *registry, const char *path,
                               const struct us_setting *settings, size_t setting_count,
                               struct us_graph **graph) {
    struct us_graph *made = us_calloc(1, sizeof *made);
    struct us_loader loader = {.graph = made,
                               .arena = &made->arena,
                               .registry = registry,
                               .settings = settings,
                               .setting_count = setting_count};
    made->registry = registry;
    made->path = us_arena_strdup(&made->arena, path);
    struct us_error *error = us_graph_folder(&made->arena, path, &loader.cwd, &made->folder);
    if (!error) {
        error = load(&loader, path);
    }
    us_free(loader.drafts);
    if (error) {
        us_graph_destroy(made);
        made = NULL;
    }
    *graph = made;
    return error;
}

void us_graph_destroy(struct us_graph *graph) {
    if (graph) {
        us_arena_finish(&graph->arena);
        us_free(graph);
    }
}

struct us_node *us_graph_find(const struct us_graph *graph, const char *name) {
    for (size_t i = 0; i < graph->node_count; i++) {
        if (strcmp(graph->nodes[i].name, name) == 0) {
            return &graph->nodes[i];
        }
    }
    return NULL;
}

bool us_node_is_of(const struct us_node *node, const char *name) {
    const size_t length = strlen(name);
    return strncmp(node->name, name, length) == 0 && strchr(".", node->name[length]);
}

const char *us_graph_nearest(const struct us_graph *graph, const char *name) {
    struct us_name_list names = {0};
    for (size_t i = 0; i < graph->node_count; i++) {
        us_names_add(&names, graph->nodes[i].name);
    }
    const char *nearest = us_str_nearest(name, names.items, names.count);
    us_names_finish(&names);
    return nearest;
}

struct us_pos us_node_param_pos(const struct us_node *node, const char *name) {
    const struct us_param *params = node->type->params;
    for (size_t i = 0; params && params[i].name; i++) {
        if (strcmp(params[i].name, name) == 0 && node->param_pos[i].line) {
            return node->param_pos[i];
        }
    }
    return node->pos;
}
