#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "runtime/graph/loader.h"

static const char *const top_keys[] = {"understudy", "show",  "include", "params",
                                       "templates",  "nodes", "outputs", "roots"};
enum { TOP_KEYS = sizeof top_keys / sizeof *top_keys };

/* A file being read, and who includes it. */
struct reading {
    const struct reading *by;
    const char *path; /* as messages name it */
    const char *real; /* NULL-terminated real path, to tell files apart */
    const struct us_yaml *root;
};

static const char *real_path(struct us_arena *arena, const char *path) {
    char *real = realpath(path, NULL);
    const char *copy = us_arena_strdup(arena, real ? real : path);
    us_free(real);
    return copy;
}

static struct us_error *wrong_kind(const char *key, const struct us_yaml *value,
                                   const char *wanted) {
    return us_error_at(
        us_fail(US_GRAPH, "'%s' is %s, wanted %s", key, us_yaml_kind_name(value), wanted),
        value->pos);
}

static struct us_error *check_version(const struct us_yaml *root, bool required) {
    const struct us_yaml *version = us_yaml_find(root, "understudy");
    if (!version) {
        struct us_error *error =
            required ? us_fail(US_GRAPH, "the file does not say that it is a graph") : NULL;
        return us_error_at(us_error_hint(error, "begin it with understudy: 1"), root->pos);
    }
    if (version->kind != US_YAML_SCALAR || strcmp(version->text, "1") != 0) {
        return us_error_at(us_fail(US_GRAPH, "format version is '%.20s', this program reads 1",
                                   version->text ? version->text : ""),
                           version->pos);
    }
    return NULL;
}

static struct us_error *check_top(struct us_loader *loader, const struct us_yaml *root) {
    if (root->kind != US_YAML_MAP) {
        return us_error_at(
            us_fail(US_GRAPH, "a graph is a mapping, this is %s", us_yaml_kind_name(root)),
            root->pos);
    }
    for (size_t i = 0; i < root->count; i++) {
        const struct us_yaml *key = root->keys[i];
        bool known = false;
        for (size_t k = 0; k < TOP_KEYS; k++) {
            known = known || strcmp(key->text, top_keys[k]) == 0;
        }
        if (!known) {
            return us_unknown_key(loader, "a graph", key, top_keys, TOP_KEYS);
        }
    }
    return NULL;
}

/* The mapping under a top-level key, NULL when there is none or it is empty. */
static struct us_error *section(const struct us_yaml *root, const char *key,
                                const struct us_yaml **map) {
    const struct us_yaml *value = us_yaml_find(root, key);
    *map = NULL;
    if (!value || us_yaml_is_null(value)) {
        return NULL;
    }
    if (value->kind != US_YAML_MAP) {
        return wrong_kind(key, value, "a mapping");
    }
    *map = value;
    return NULL;
}

static bool states_type(const struct us_yaml *entry) {
    return us_yaml_find(entry, "type") || us_yaml_find(entry, "use");
}

static struct us_yaml *lay_over(struct us_arena *arena, const struct us_yaml *base,
                                const struct us_yaml *over, bool deep);

/* What is here wins: an entry that states its type replaces, another one changes the keys it names.
 */
static struct us_yaml *merge_entry(struct us_arena *arena, struct us_yaml *base,
                                   struct us_yaml *over, bool deep) {
    if (!deep || base->kind != US_YAML_MAP || over->kind != US_YAML_MAP || states_type(over)) {
        return over;
    }
    return lay_over(arena, base, over, false);
}

static struct us_yaml *lay_over(struct us_arena *arena, const struct us_yaml *base,
                                const struct us_yaml *over, bool deep) {
    struct us_yaml *made = us_arena_alloc(arena, sizeof *made);
    *made = *over;
    made->keys = us_arena_alloc(arena, (base->count + over->count) * sizeof *made->keys);
    made->items = us_arena_alloc(arena, (base->count + over->count) * sizeof *made->items);
    made->count = 0;
    for (size_t i = 0; i < base->count; i++) {
        ptrdiff_t at = us_yaml_index(over, base->keys[i]->text);
        made->keys[made->count] = at < 0 ? base->keys[i] : over->keys[at];
        made->items[made->count++] =
            at < 0 ? base->items[i] : merge_entry(arena, base->items[i], over->items[at], deep);
    }
    for (size_t i = 0; i < over->count; i++) {
        if (us_yaml_index(base, over->keys[i]->text) < 0) {
            made->keys[made->count] = over->keys[i];
            made->items[made->count++] = over->items[i];
        }
    }
    us_yaml_index_keys(arena, made);
    return made;
}

static const struct us_yaml *merge(struct us_arena *arena, const struct us_yaml *base,
                                   const struct us_yaml *over, bool deep) {
    return base && over ? lay_over(arena, base, over, deep) : base ? base : over;
}

static struct us_error *merge_section(struct us_loader *loader, const struct us_yaml *root,
                                      const char *key, bool deep, const struct us_yaml **into) {
    const struct us_yaml *map;
    US_TRY(section(root, key, &map));
    *into = merge(loader->arena, *into, map, deep);
    return NULL;
}

static void add_roots(struct us_loader *loader, const struct us_yaml *roots) {
    struct us_document *d = &loader->document;
    const struct us_yaml **grown =
        us_arena_alloc(loader->arena, (d->root_count + 1) * sizeof *grown);
    if (d->root_count) {
        memcpy(grown, d->roots, d->root_count * sizeof *grown);
    }
    grown[d->root_count++] = roots;
    d->roots = grown;
    loader->graph->has_roots = true;
}

static struct us_error *merge_file(struct us_loader *loader, const struct us_yaml *root) {
    struct us_document *d = &loader->document;
    US_TRY(merge_section(loader, root, "params", true, &d->params));
    US_TRY(merge_section(loader, root, "templates", false, &d->templates));
    US_TRY(merge_section(loader, root, "nodes", true, &d->nodes));
    const struct us_yaml *show = us_yaml_find(root, "show");
    const struct us_yaml *outputs = us_yaml_find(root, "outputs");
    const struct us_yaml *roots = us_yaml_find(root, "roots");
    if (show && show->kind != US_YAML_SCALAR) {
        return wrong_kind("show", show, "a name");
    }
    if (roots && roots->kind != US_YAML_LIST) {
        return wrong_kind("roots", roots, "a list of folders");
    }
    if (roots) {
        add_roots(loader, roots);
    }
    d->show = show ? show : d->show;
    d->outputs = outputs ? outputs : d->outputs;
    return NULL;
}

static struct us_error *read_file(struct us_loader *loader, const struct reading *reading);

static struct us_error *cycle_error(const struct reading *reading, const char *real,
                                    const char *path, struct us_pos pos) {
    struct us_str chain = {0};
    us_str_append(&chain, path);
    for (const struct reading *r = reading; r; r = r->by) {
        struct us_str longer = {0};
        us_str_printf(&longer, "%s -> %s", r->path, us_str_text(&chain));
        us_str_finish(&chain);
        chain = longer;
        if (strcmp(r->real, real) == 0) {
            break;
        }
    }
    struct us_error *error =
        us_fail(US_GRAPH, "'%s' includes itself (%s)", path, us_str_text(&chain));
    us_str_finish(&chain);
    return us_error_at(error, pos);
}

static int depth_of(const struct reading *reading) {
    int depth = 0;
    for (; reading; reading = reading->by) {
        depth++;
    }
    return depth;
}

static struct us_graph_file *add_file(struct us_loader *loader, const char *path,
                                      const char *real) {
    struct us_graph *graph = loader->graph;
    if (!graph->files) {
        graph->files = us_arena_alloc(loader->arena, US_MOST_FILES * sizeof *graph->files);
    }
    struct us_graph_file *file = &graph->files[graph->file_count++];
    *file = (struct us_graph_file){.path = path, .real = real};
    return file;
}

/* The file of that real path when it was read, under that very path if possible. */
static const struct us_graph_file *was_read(const struct us_loader *loader, const char *path,
                                            const char *real) {
    const struct us_graph_file *found = NULL;
    for (size_t i = 0; i < loader->graph->file_count; i++) {
        const struct us_graph_file *file = &loader->graph->files[i];
        if (strcmp(file->real, real) == 0 && (!found || strcmp(file->path, path) == 0)) {
            found = file;
        }
    }
    return found;
}

static struct us_error *include_one(struct us_loader *loader, const struct reading *by,
                                    const struct us_yaml *name) {
    if (name->kind != US_YAML_SCALAR || us_yaml_is_null(name)) {
        return wrong_kind("include", name, "a file name");
    }
    char *folder = us_path_folder(by->path), *joined = us_path_join(folder, name->text);
    struct reading reading = {.by = by, .path = us_arena_strdup(loader->arena, joined)};
    us_free(folder);
    us_free(joined);
    reading.real = real_path(loader->arena, reading.path);
    for (const struct reading *r = by; r; r = r->by) {
        if (strcmp(r->real, reading.real) == 0) {
            return cycle_error(by, reading.real, reading.path, name->pos);
        }
    }
    const struct us_graph_file *read = was_read(loader, reading.path, reading.real);
    if (read && strcmp(read->path, reading.path) == 0) {
        return NULL;
    }
    if (depth_of(by) >= 64 || loader->graph->file_count >= US_MOST_FILES) {
        return us_error_at(us_fail(US_GRAPH, "too many files include each other"), name->pos);
    }
    if (read) { /* another way to it: noted, for it may lead elsewhere one day */
        add_file(loader, reading.path, reading.real)->digest = read->digest;
        return NULL;
    }
    struct us_error *error = read_file(loader, &reading);
    return error && !error->pos.line ? us_error_at(error, name->pos) : error;
}

static struct us_error *read_includes(struct us_loader *loader, const struct reading *reading) {
    const struct us_yaml *include = us_yaml_find(reading->root, "include");
    if (!include) {
        return NULL;
    }
    if (include->kind == US_YAML_SCALAR) {
        return include_one(loader, reading, include);
    }
    if (include->kind != US_YAML_LIST) {
        return wrong_kind("include", include, "a list of files");
    }
    for (size_t i = 0; i < include->count; i++) {
        US_TRY(include_one(loader, reading, include->items[i]));
    }
    return NULL;
}

static struct us_error *read_file(struct us_loader *loader, const struct reading *reading) {
    struct us_yaml *root = NULL;
    struct us_graph_file *file = add_file(loader, reading->path, reading->real);
    struct us_error *error = us_yaml_read(loader->arena, reading->path, &file->digest, &root);
    if (error && !error->pos.line) {
        error->code = US_GRAPH;
    }
    US_TRY(error);
    US_TRY(check_top(loader, root));
    US_TRY(check_version(root, reading->by == NULL));
    struct reading full = *reading;
    full.root = root;
    US_TRY(read_includes(loader, &full));
    return merge_file(loader, root);
}

struct us_error *us_document_read(struct us_loader *loader, const char *path) {
    struct reading reading = {.path = us_arena_strdup(loader->arena, path)};
    reading.real = real_path(loader->arena, path);
    return read_file(loader, &reading);
}
