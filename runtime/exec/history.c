#include <stddef.h>
#include <string.h>
#include <time.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

/* What is remembered of a task. Chunks of them, by frame number, are facts of the index. */
struct entry {
    struct us_digest plan_key;
    int64_t when; /* 0: none */
    double seconds;
};

enum { CHUNK = 256 };

struct history_chunk {
    struct history_chunk *next;
    int32_t take, first; /* the frame number of entries[0], a multiple of CHUNK */
    bool changed;
    struct entry entries[CHUNK];
};

static const char version[8] = "ushist2\n";

/* Named by graph file and node, so that two graphs do not take each other's history for theirs. */
static void chunk_name(const struct us_run *run, uint32_t node, const struct history_chunk *chunk,
                       struct us_str *name) {
    us_str_printf(name, "last/%s %s %d:%d", run->identity, run->graph->nodes[node].name,
                  chunk->take, chunk->first);
}

/* A once-node's chunk has one entry. */
static size_t chunk_size(const struct us_run *run, uint32_t node) {
    return (run->graph->nodes[node].type->per_frame ? CHUNK : 1) * sizeof(struct entry);
}

static void read_chunk(struct us_run *run, uint32_t node, struct history_chunk *chunk) {
    struct us_str name = {0};
    chunk_name(run, node, chunk, &name);
    size_t size = 0;
    const size_t wanted = chunk_size(run, node);
    uint8_t *bytes = run->store->ops->recall(run->store, us_str_text(&name), &size);
    if (bytes && size == sizeof version + wanted && memcmp(bytes, version, sizeof version) == 0) {
        memcpy(chunk->entries, bytes + sizeof version, wanted);
    }
    us_free(bytes);
    us_str_finish(&name);
}

/* With history_lock held. */
static struct entry *entry_of(struct us_run *run, const struct task *task,
                              struct history_chunk **chunk) {
    struct node_tasks *tasks = &run->nodes[task->node];
    const int32_t number = task->frame.number;
    const int32_t first = (number >= 0 ? number : number - CHUNK + 1) / CHUNK * CHUNK;
    struct history_chunk **at = &tasks->history;
    while (*at && ((*at)->take != task->frame.take || (*at)->first != first)) {
        at = &(*at)->next;
    }
    struct history_chunk *found = *at;
    if (!found) {
        const bool one = !task_node(run, task)->type->per_frame;
        found = us_calloc(1, one ? offsetof(struct history_chunk, entries) + sizeof(struct entry)
                                 : sizeof *found);
        found->take = task->frame.take;
        found->first = first;
        read_chunk(run, task->node, found);
    } else {
        *at = found->next;
    }
    found->next = tasks->history; /* the last one used comes first */
    tasks->history = found;
    *chunk = found;
    return &found->entries[number - first];
}

struct history history_recall(struct us_run *run, const struct task *task) {
    struct history_chunk *chunk;
    pthread_mutex_lock(&run->history_lock);
    const struct entry *entry = entry_of(run, task, &chunk);
    const struct history history = {entry->plan_key, entry->when, entry->seconds};
    pthread_mutex_unlock(&run->history_lock);
    return history;
}

/* With history_lock held. */
static void write_chunks(struct us_run *run) {
    struct us_str name = {0}, bytes = {0};
    for (uint32_t i = 0; i < run->graph->node_count; i++) {
        for (struct history_chunk *chunk = run->nodes[i].history; chunk; chunk = chunk->next) {
            if (!chunk->changed) {
                continue;
            }
            us_str_clear(&name);
            us_str_clear(&bytes);
            chunk_name(run, i, chunk, &name);
            us_str_append_bytes(&bytes, version, sizeof version);
            us_str_append_bytes(&bytes, chunk->entries, chunk_size(run, i));
            run->store->ops->remember(run->store, us_str_text(&name), bytes.data, bytes.length);
            chunk->changed = false;
        }
    }
    us_str_finish(&name);
    us_str_finish(&bytes);
}

void history_write(struct us_run *run) {
    pthread_mutex_lock(&run->history_lock);
    write_chunks(run);
    pthread_mutex_unlock(&run->history_lock);
}

void history_remember(struct us_run *run, const struct task *task, double seconds) {
    enum { INTERVAL = 5 }; /* seconds; what is lost when a run is killed */
    struct history_chunk *chunk;
    pthread_mutex_lock(&run->history_lock);
    struct entry *entry = entry_of(run, task, &chunk);
    if (seconds > 0 || !entry->when || !us_digest_equal(&entry->plan_key, &task->plan_key)) {
        const double known = seconds > 0 ? seconds : entry->seconds;
        *entry = (struct entry){task->plan_key, (int64_t)time(NULL), known};
        chunk->changed = true;
    }
    const double now = now_seconds();
    if (now - run->history_written > INTERVAL) {
        if (run->history_written > 0) {
            write_chunks(run);
        }
        run->history_written = now;
    }
    pthread_mutex_unlock(&run->history_lock);
}

void history_finish(struct us_run *run) {
    for (uint32_t i = 0; run->nodes && i < run->graph->node_count; i++) {
        while (run->nodes[i].history) {
            struct history_chunk *next = run->nodes[i].history->next;
            us_free(run->nodes[i].history);
            run->nodes[i].history = next;
        }
    }
}

static bool same(const char *a, size_t a_size, const char *b, size_t b_size) {
    return a_size == b_size && memcmp(a, b, a_size) == 0;
}

/* The old value of a field (the `nth` of that name), or false. */
static bool old_field(const struct us_str *fields, const struct field *wanted, size_t nth,
                      struct field *found) {
    size_t at = 0;
    while (next_field(fields->data, fields->length, &at, found)) {
        if (same(found->name, found->name_size, wanted->name, wanted->name_size) && nth-- == 0) {
            return true;
        }
    }
    return false;
}

/* What changed above: a task that runs, else one that stands under another key than last time. */
static const struct task *changed_above(struct us_run *run, const struct input_ref *refs,
                                        size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (run->tasks[refs[i].task].run) {
            return &run->tasks[refs[i].task];
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct task *above = &run->tasks[refs[i].task];
        const struct history history = history_recall(run, above);
        if (history.when && !us_digest_equal(&history.plan_key, &above->plan_key)) {
            return above;
        }
    }
    return NULL;
}

static const char *input_why(struct us_run *run, const struct task *task, const char *port,
                             size_t port_size) {
    char *name = us_strndup(port, port_size);
    int index = us_port_find(task_node(run, task)->type->inputs, name);
    us_free(name);
    struct us_arena *arena = &run->arena;
    size_t count = 0;
    struct input_ref *refs = index >= 0 ? task_inputs(run, task, index, arena, &count) : NULL;
    const struct task *above = changed_above(run, refs, count);
    if (above) {
        return us_arena_printf(arena, "input '%.*s' changed: %s", (int)port_size, port,
                               task_label(run, above, arena));
    }
    return us_arena_printf(arena, "input '%.*s' is connected differently or covers other frames",
                           (int)port_size, port);
}

static const char *source_path(struct us_run *run, const struct task *task, size_t nth) {
    const struct us_node *node = task_node(run, task);
    struct us_sources sources = {.arena = &run->arena};
    void *params = us_arena_alloc(&run->arena, node->type->params_size + 1);
    us_node_params_at(node, task->frame, params);
    struct us_error *error = node->type->sources(params, task->frame, &sources);
    us_error_free(error);
    return nth < sources.count ? sources.items[nth].path : "a source file";
}

static const char *describe(struct us_run *run, const struct task *task, const struct field *now,
                            const struct field *old, size_t source) {
    struct us_arena *arena = &run->arena;
    int n = (int)now->name_size;
    if (us_str_starts(now->name, "param.")) {
        return us_arena_printf(arena, "%.*s %.*s → %.*s", n - 6, now->name + 6,
                               old ? (int)old->value_size : 5, old ? old->value : "unset",
                               (int)now->value_size, now->value);
    }
    if (us_str_starts(now->name, "source.")) {
        const char *path = source_path(run, task, source);
        return old ? us_arena_printf(arena, "%s changed on disk (digest %.8s → %.8s)", path,
                                     old->value, now->value)
                   : us_arena_printf(arena, "%s is read now", path);
    }
    if (us_str_starts(now->name, "input.")) {
        return input_why(run, task, now->name + 6, now->name_size - 6);
    }
    return us_arena_printf(arena, "%.*s %.*s → %.*s", n, now->name, old ? (int)old->value_size : 4,
                           old ? old->value : "none", (int)now->value_size, now->value);
}

const char *first_difference(struct us_run *run, const struct task *task, const struct us_str *past,
                             const struct us_str *fields) {
    struct field now, old, before[32];
    size_t at = 0, seen = 0, source = 0;
    while (next_field(fields->data, fields->length, &at, &now)) {
        size_t nth = 0;
        for (size_t i = 0; i < seen && i < 32; i++) {
            nth += same(before[i].name, before[i].name_size, now.name, now.name_size);
        }
        bool there = old_field(past, &now, nth, &old);
        if (!there || !same(old.value, old.value_size, now.value, now.value_size)) {
            return describe(run, task, &now, there ? &old : NULL, source);
        }
        source += us_str_starts(now.name, "source.");
        before[seen % 32] = now;
        seen++;
    }
    at = 0;
    while (next_field(past->data, past->length, &at, &old)) {
        size_t found_at = 0;
        bool found = false;
        while (!found && next_field(fields->data, fields->length, &found_at, &now)) {
            found = same(old.name, old.name_size, now.name, now.name_size);
        }
        if (!found) {
            return us_arena_printf(&run->arena, "%.*s is no longer given (was %.*s)",
                                   (int)old.name_size, old.name, (int)old.value_size, old.value);
        }
    }
    return NULL;
}

static void has_moved(struct us_run *run, struct task *task, void *context) {
    (void)run;
    *(bool *)context |= task->moved;
}

/* Without a look at the record: what was remembered is what the run before left, and no file that
 * the task reads changed, so that the first input that did is the first difference. */
static const char *why_moved(struct us_run *run, const struct task *task,
                             const struct history *history) {
    struct us_digest key;
    if (task->reread || !base_key(run, task, &key) || !us_digest_equal(&key, &history->plan_key)) {
        return NULL;
    }
    const struct us_port *ports = task_node(run, task)->type->inputs;
    for (int port = 0; port < us_port_count(ports); port++) {
        bool moved = false;
        each_port_input(run, task, port, has_moved, &moved);
        if (moved) {
            return input_why(run, task, ports[port].name, strlen(ports[port].name));
        }
    }
    return NULL;
}

const char *why_miss(struct us_run *run, const struct task *task) {
    const struct history history = history_recall(run, task);
    if (!history.when) {
        return "no result yet";
    }
    if (us_digest_equal(&history.plan_key, &task->plan_key)) {
        return "its result is no longer in the cache";
    }
    const char *moved = why_moved(run, task, &history);
    if (moved) {
        return moved;
    }
    struct us_str past = {0}, fields = {0}, reason = {0};
    const char *why = "it is not as it was when it last ran";
    if (record_fields(run, &history.plan_key, &past, &reason)) {
        struct us_error *error = plan_fields(run, task, &fields);
        const char *difference = error ? NULL : first_difference(run, task, &past, &fields);
        why = difference ? difference : why;
        us_error_free(error);
    }
    us_str_finish(&past);
    us_str_finish(&fields);
    us_str_finish(&reason);
    return why;
}
