#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "runtime/graph/loader.h"

/* Takes the last name off a path; "/" stays. */
static void cut_last(char *path) {
    char *slash = strrchr(path, '/');
    if (slash) {
        slash[slash == path ? 1 : 0] = '\0';
    }
}

const char *us_path_full(struct us_arena *arena, const char *folder, const char *path) {
    if (path[0] == '/' || path[0] == '\0') {
        return us_arena_strdup(arena, path);
    }
    char *base = us_strdup(folder);
    for (;;) {
        size_t length = strcspn(path, "/");
        bool up = length == 2 && path[0] == '.' && path[1] == '.';
        if (!up && !(length == 1 && path[0] == '.')) {
            break;
        }
        if (up) {
            cut_last(base);
        }
        path += length;
        path += strspn(path, "/");
    }
    const char *full = us_arena_printf(arena, "%s%s%s", base,
                                       us_str_ends(base, "/") || path[0] == '\0' ? "" : "/", path);
    us_free(base);
    return full;
}

struct us_error *us_roots_prepare(struct us_loader *loader) {
    const struct us_document *d = &loader->document;
    loader->root_folders = us_arena_alloc(loader->arena, d->root_count * sizeof(const char **));
    for (size_t i = 0; i < d->root_count; i++) {
        const struct us_yaml *list = d->roots[i];
        const char **folders = us_arena_alloc(loader->arena, (list->count + 1) * sizeof *folders);
        for (size_t k = 0; k < list->count; k++) {
            struct us_scalar scalar;
            US_TRY(us_scalar_read(loader, loader->top, list->items[k], "a root", &scalar));
            char *real =
                us_path_real(us_path_full(loader->arena, loader->graph->folder, scalar.text));
            folders[k] = us_arena_strdup(loader->arena, real ? real : scalar.text);
            us_free(real);
        }
        loader->root_folders[i] = folders;
    }
    return NULL;
}

static bool within(const char *folder, const char *path) {
    size_t length = strlen(folder);
    while (length && folder[length - 1] == '/') {
        length--;
    }
    return strncmp(folder, path, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

const struct us_yaml *us_roots_refuse(const struct us_loader *loader, const char *path) {
    if (!loader->document.root_count) {
        return NULL;
    }
    char *real = us_path_real(path);
    const struct us_yaml *refused = NULL;
    for (size_t i = 0; i < loader->document.root_count && !refused; i++) {
        bool allowed = false;
        for (const char **folder = loader->root_folders[i]; real && *folder && !allowed; folder++) {
            allowed = within(*folder, real);
        }
        refused = allowed ? NULL : loader->document.roots[i];
    }
    us_free(real);
    return refused;
}
