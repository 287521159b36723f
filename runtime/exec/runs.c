#include "runtime/api/runs.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"

char *us_graph_identity(const char *path) {
    char *full = realpath(path, NULL);
    char *identity = us_strdup(full ? full : path);
    free(full);
    return identity;
}

static char *log_name(const char *identity) {
    struct us_str name = {0};
    us_str_printf(&name, "runs %s", identity);
    return us_str_take(&name);
}

void us_runs_add(struct us_store *store, const char *identity, const char *text) {
    if (strlen(text) > US_RUN_TEXT || strchr(text, '\n')) {
        US_BUG("the story of a run has %zu bytes or more than one line", strlen(text));
    }
    char *name = log_name(identity);
    store->ops->log_add(store, name, text);
    us_free(name);
}

void us_runs_read(struct us_store *store, const char *identity, struct us_runs *runs) {
    char *name = log_name(identity);
    *runs = (struct us_runs){.first = 1};
    runs->bytes = store->ops->log_read(store, name, &runs->first);
    us_free(name);
    size_t capacity = 0;
    for (char *line = runs->bytes; line && *line;) {
        const size_t length = strcspn(line, "\n");
        const bool more = line[length] == '\n';
        us_grow(&runs->texts, &capacity, runs->count, sizeof *runs->texts);
        runs->texts[runs->count++] = line;
        line[length] = '\0';
        line += length + more;
    }
    const size_t old = runs->count > US_LOG_KEPT ? runs->count - US_LOG_KEPT : 0;
    if (old) {
        memmove(runs->texts, runs->texts + old, (runs->count - old) * sizeof *runs->texts);
        runs->count -= old;
        runs->first += (int64_t)old;
    }
}

void us_runs_finish(struct us_runs *runs) {
    us_free(runs->texts);
    us_free(runs->bytes);
    *runs = (struct us_runs){0};
}
