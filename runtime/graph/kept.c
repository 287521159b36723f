#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/mem.h"
#include "runtime/graph/compiled.h"
#include "runtime/graph/loader.h"

/* How many sets of settings are remembered for a graph, and the most bytes that one may take. */
enum { VARIANTS = 16, MOST_BYTES = 64 << 20 };

/* One load: what it is remembered under, and what must be equal beside the files. */
struct kept {
    char name[64];
    struct us_digest settings;
    const char *folder; /* that the graph's paths start from */
};

static struct us_digest digest_of_settings(const struct us_setting *settings, size_t count) {
    struct us_hasher *hasher = us_hasher_create();
    us_hasher_int(hasher, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        us_hasher_string(hasher, settings[i].name);
        us_hasher_string(hasher, settings[i].value);
    }
    struct us_digest digest = us_hasher_finish(hasher);
    us_hasher_destroy(hasher);
    return digest;
}

/* The name holds a slot of the settings, not all of them: what is remembered stays bounded. */
static void name_it(struct kept *kept, const char *cwd, const char *path) {
    struct us_hasher *hasher = us_hasher_create();
    us_hasher_string(hasher, cwd);
    us_hasher_string(hasher, path);
    us_hasher_int(hasher, kept->settings.bytes[0] % VARIANTS);
    struct us_digest digest = us_hasher_finish(hasher);
    char hex[US_DIGEST_HEX];
    snprintf(kept->name, sizeof kept->name, "graph/%s", us_digest_hex(&digest, hex));
    us_hasher_destroy(hasher);
}

/* A pipe can be read only once: it must be left for the parser. */
static bool is_regular(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static bool still_real(const char *path, const char *wanted) {
    char *real = realpath(path, NULL);
    bool same = real && strcmp(real, wanted) == 0;
    us_free(real);
    return same;
}

static bool file_stands(struct us_store *store, const struct us_graph_file *file) {
    struct us_digest digest;
    if (!is_regular(file->path)) {
        return false;
    }
    struct us_error *error = store->ops->file_digest(store, file->path, &digest);
    const bool stands = !error && us_digest_equal(&digest, &file->digest);
    us_error_free(error);
    return stands && still_real(file->path, file->real);
}

/* What is kept: the digest of the settings, then the compiled form. */
static struct us_graph *recall(const struct us_registry *registry, struct us_store *store,
                               const struct kept *kept) {
    size_t size;
    uint8_t *bytes = store->ops->recall(store, kept->name, &size);
    struct us_graph *graph = NULL;
    const size_t head = sizeof kept->settings.bytes;
    if (bytes && size > head && memcmp(bytes, kept->settings.bytes, head) == 0) {
        graph = us_graph_thaw(registry, bytes + head, size - head);
    }
    us_free(bytes);
    bool good = graph && strcmp(graph->folder, kept->folder) == 0 && !graph->has_roots;
    for (size_t i = 0; good && i < graph->file_count; i++) {
        good = file_stands(store, &graph->files[i]);
    }
    if (!good) {
        us_graph_destroy(graph);
        return NULL;
    }
    return graph;
}

static void remember(struct us_store *store, const struct kept *kept,
                     const struct us_graph *graph) {
    for (size_t i = 0; i < graph->file_count; i++) {
        if (!is_regular(graph->files[i].path)) {
            return;
        }
    }
    struct us_str bytes = {0};
    us_str_append_bytes(&bytes, kept->settings.bytes, sizeof kept->settings.bytes);
    if (!graph->has_roots && us_graph_freeze(graph, &bytes) && bytes.length <= MOST_BYTES) {
        store->ops->remember(store, kept->name, bytes.data, bytes.length);
    }
    us_str_finish(&bytes);
}

struct us_error *us_graph_load_kept(const struct us_registry *registry, const char *path,
                                    const struct us_setting *settings, size_t setting_count,
                                    struct us_store *store, struct us_graph **graph) {
    if (!store || !is_regular(path)) {
        return us_graph_load(registry, path, settings, setting_count, graph);
    }
    struct us_arena arena = {0};
    struct kept kept = {.settings = digest_of_settings(settings, setting_count)};
    const char *cwd;
    struct us_error *error = us_graph_folder(&arena, path, &cwd, &kept.folder);
    *graph = NULL;
    if (!error) {
        name_it(&kept, cwd, path);
        *graph = recall(registry, store, &kept);
    }
    if (!error && !*graph) {
        error = us_graph_load(registry, path, settings, setting_count, graph);
        if (!error) {
            remember(store, &kept, *graph);
        }
    }
    us_arena_finish(&arena);
    return error;
}
