#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/exec/run_internal.h"

/* A path that a task reads or writes. */
struct claim {
    char *path;
    uint32_t task;
};

struct claims {
    struct claim *items;
    size_t count, capacity;
    char *folder, *real; /* of the last path */
};

/* Two paths may lead to one folder through links and "..": what is compared has neither. */
static void claims_add(struct claims *claims, const char *path, uint32_t task) {
    const size_t length = (size_t)(us_path_name(path) - path);
    if (!claims->folder || strncmp(claims->folder, path, length) != 0 || claims->folder[length]) {
        us_free(claims->folder);
        us_free(claims->real);
        claims->folder = us_strndup(path, length);
        claims->real = us_path_real(claims->folder);
    }
    us_grow(&claims->items, &claims->capacity, claims->count, sizeof *claims->items);
    claims->items[claims->count++] = (struct claim){
        us_path_join(claims->real ? claims->real : claims->folder, path + length), task};
}

static void claims_finish(struct claims *claims) {
    for (size_t i = 0; i < claims->count; i++) {
        us_free(claims->items[i].path);
    }
    us_free(claims->items);
    us_free(claims->folder);
    us_free(claims->real);
}

static int compare_claims(const void *a, const void *b) {
    const struct claim *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    return order ? order : (x->task > y->task) - (x->task < y->task);
}

static int compare_paths(const void *a, const void *b) {
    const struct claim *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static struct us_error *same_destination(struct us_run *run, const struct claim *a,
                                         const struct claim *b) {
    const struct task *first = &run->tasks[a->task], *second = &run->tasks[b->task];
    struct us_arena arena = {0};
    struct us_error *error =
        us_fail(US_GRAPH, "%s and %s both write '%s'", task_label(run, first, &arena),
                task_label(run, second, &arena), a->path);
    us_arena_finish(&arena);
    const char *hint = first->node != second->node ? "give one of them another path"
                       : first->frame.take != second->frame.take
                           ? "put the take's number, $T, into the path: name_$T.####.exr"
                           : "put the frame number into the path: name.####.exr";
    error = us_error_hint(error, "%s", hint);
    return us_error_at(error, us_node_param_pos(task_node(run, second), "path"));
}

static struct us_error *over_source(struct us_run *run, const struct claim *written,
                                    const struct claim *read) {
    const struct task *writer = &run->tasks[written->task];
    struct us_arena arena = {0};
    struct us_error *error = us_fail(US_GRAPH, "%s would write over '%s', which %s reads",
                                     task_label(run, writer, &arena), written->path,
                                     task_label(run, &run->tasks[read->task], &arena));
    us_arena_finish(&arena);
    error = us_error_hint(error, "write to another path");
    return us_error_at(error, us_node_param_pos(task_node(run, writer), "path"));
}

static struct us_error *collect_sources(struct us_run *run, const struct task *task,
                                        struct claims *claims) {
    const struct us_node *node = task_node(run, task);
    struct us_arena arena = {0};
    struct us_sources sources = {.arena = &arena};
    void *params = us_arena_alloc(&arena, node->type->params_size + 1);
    us_node_params_at(node, task->frame, params);
    struct us_error *error = node->type->sources(params, task->frame, &sources);
    for (size_t i = 0; i < sources.count; i++) {
        claims_add(claims, sources.items[i].path, (uint32_t)(task - run->tasks));
    }
    us_arena_finish(&arena);
    return error;
}

static struct us_error *collect(struct us_run *run, struct claims *written, struct claims *read) {
    for (size_t i = 0; i < run->plan_count; i++) {
        const struct task *task = &run->tasks[run->plan[i]];
        if (task_node(run, task)->type->writes) {
            char *path = task_destination(run, task);
            claims_add(written, path, run->plan[i]);
            us_free(path);
        }
    }
    for (size_t i = 0; written->count && i < run->plan_count; i++) {
        const struct task *task = &run->tasks[run->plan[i]];
        if (task_node(run, task)->type->sources) {
            US_TRY(collect_sources(run, task, read));
        }
    }
    return NULL;
}

static struct us_error *compare_all(struct us_run *run, struct claims *written,
                                    struct claims *read) {
    if (!written->count) {
        return NULL;
    }
    qsort(written->items, written->count, sizeof *written->items, compare_claims);
    if (read->count) {
        qsort(read->items, read->count, sizeof *read->items, compare_claims);
    }
    for (size_t i = 0; i < written->count; i++) {
        const struct claim *claim = &written->items[i];
        if (i && strcmp(claim[-1].path, claim->path) == 0) {
            return same_destination(run, &claim[-1], claim);
        }
        const struct claim *source =
            read->count ? bsearch(claim, read->items, read->count, sizeof *claim, compare_paths)
                        : NULL;
        if (source) {
            return over_source(run, claim, source);
        }
    }
    return NULL;
}

struct us_error *check_destinations(struct us_run *run) {
    struct claims written = {0}, read = {0};
    struct us_error *error = collect(run, &written, &read);
    if (!error) {
        error = compare_all(run, &written, &read);
    }
    claims_finish(&written);
    claims_finish(&read);
    return error;
}
