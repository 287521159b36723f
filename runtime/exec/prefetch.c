/* The source files of a plan, looked at together before their tasks' keys are made one by one. */
#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

struct paths {
    const char **items;
    size_t count, capacity;
    struct us_arena arena;
};

static void collect(struct us_run *run, const struct task *task, struct paths *paths) {
    const struct us_node *node = task_node(run, task);
    struct us_sources sources = {.arena = &paths->arena};
    const void *params = node->params;
    if (node->animation_count) {
        void *now = us_arena_alloc(&paths->arena, node->type->params_size + 1);
        us_node_params_at(node, task->frame, now);
        params = now;
    }
    us_error_free(node->type->sources(params, task->frame, &sources));
    for (size_t i = 0; i < sources.count; i++) {
        us_grow(&paths->items, &paths->capacity, paths->count, sizeof *paths->items);
        paths->items[paths->count++] = sources.items[i].path;
    }
}

/* Errors are told by who makes the keys, in order. */
static void note_all(struct us_run *run, const struct paths *paths) {
    struct us_digest *digests = us_calloc(paths->count, sizeof *digests);
    struct us_error **errors = us_calloc(paths->count, sizeof *errors);
    run->store->ops->file_digests(run->store, paths->items, paths->count, digests, errors);
    for (size_t i = 0; i < paths->count; i++) {
        if (errors[i]) {
            us_error_free(errors[i]);
        } else {
            us_watch_note_content(paths->items[i], &digests[i]);
        }
    }
    us_free(digests);
    us_free(errors);
}

void read_sources_ahead(struct us_run *run) {
    enum { ENOUGH = 32 };
    struct paths paths = {0};
    for (uint32_t i = 0; i < run->graph->node_count; i++) {
        const struct node_tasks *tasks = &run->nodes[i];
        for (uint32_t k = 0; k < tasks->count && run->graph->nodes[i].type->sources; k++) {
            const struct task *task = &run->tasks[tasks->first + k];
            if (task->needed) {
                collect(run, task, &paths);
            }
        }
    }
    if (paths.count >= ENOUGH) {
        note_all(run, &paths);
    }
    us_free(paths.items);
    us_arena_finish(&paths.arena);
}
