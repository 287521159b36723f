#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

/* Named by graph file and task, so that two graphs do not take each other's history for theirs. */
static char *history_name(struct us_run *run, const struct task *task) {
    struct us_arena arena = {0};
    struct us_str text = {0};
    us_str_printf(&text, "%s %s", run->identity, task_label(run, task, &arena));
    struct us_digest digest = us_digest_of(text.data, text.length);
    us_str_clear(&text);
    char hex[US_DIGEST_HEX];
    us_str_printf(&text, "last/%s", us_digest_hex(&digest, hex));
    us_arena_finish(&arena);
    return us_str_take(&text);
}

struct head {
    double seconds;
    int64_t when;
    struct us_digest plan_key;
    uint64_t why_size;
};

void history_recall(struct us_run *run, const struct task *task, struct history *history) {
    *history = (struct history){0};
    char *name = history_name(run, task);
    size_t size = 0;
    uint8_t *bytes = run->store->ops->recall(run->store, name, &size);
    us_free(name);
    struct head head;
    if (!bytes || size < sizeof head) {
        us_free(bytes);
        return;
    }
    memcpy(&head, bytes, sizeof head);
    if (head.why_size > size - sizeof head) {
        us_free(bytes);
        return;
    }
    history->bytes = bytes;
    history->seconds = head.seconds;
    history->when = head.when;
    history->plan_key = head.plan_key;
    history->why = (const char *)bytes + sizeof head;
    history->why_size = head.why_size;
    history->fields = history->why + head.why_size;
    history->fields_size = size - sizeof head - head.why_size;
}

void history_finish(struct history *history) {
    us_free(history->bytes);
    history->bytes = NULL;
}

void history_remember(struct us_run *run, const struct task *task, const struct us_str *fields,
                      double seconds) {
    const char *why = task->why ? task->why : "";
    struct head head = {seconds, (int64_t)time(NULL), task->plan_key, strlen(why)};
    struct us_str out = {0};
    us_str_append_bytes(&out, &head, sizeof head);
    us_str_append(&out, why);
    us_str_append_bytes(&out, fields->data, fields->length);
    char *name = history_name(run, task);
    run->store->ops->remember(run->store, name, out.data, out.length);
    us_free(name);
    us_str_finish(&out);
}

void history_touch(struct us_run *run, const struct task *task) {
    struct history history;
    history_recall(run, task, &history);
    if (!history.bytes || !us_digest_equal(&history.plan_key, &task->plan_key)) {
        struct us_str fields = {0};
        struct us_error *error = plan_fields(run, task, &fields);
        if (!error) {
            history_remember(run, task, &fields, history.bytes ? history.seconds : 0);
        }
        us_error_free(error);
        us_str_finish(&fields);
    }
    history_finish(&history);
}

static bool same(const char *a, size_t a_size, const char *b, size_t b_size) {
    return a_size == b_size && memcmp(a, b, a_size) == 0;
}

/* The old value of a field (the `nth` of that name), or false. */
static bool old_field(const struct history *history, const struct field *wanted, size_t nth,
                      struct field *found) {
    size_t at = 0;
    while (next_field(history->fields, history->fields_size, &at, found)) {
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
        if (run->tasks[refs[i].task].why) {
            return &run->tasks[refs[i].task];
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct task *above = &run->tasks[refs[i].task];
        struct history history;
        struct us_str fields = {0};
        history_recall(run, above, &history);
        struct us_error *error = plan_fields(run, above, &fields);
        bool differs = !error && history.bytes &&
                       !same(history.fields, history.fields_size, fields.data, fields.length);
        us_error_free(error);
        history_finish(&history);
        us_str_finish(&fields);
        if (differs) {
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

const char *first_difference(struct us_run *run, const struct task *task,
                             const struct history *history, const struct us_str *fields) {
    struct field now, old, before[32];
    size_t at = 0, seen = 0, source = 0;
    while (next_field(fields->data, fields->length, &at, &now)) {
        size_t nth = 0;
        for (size_t i = 0; i < seen && i < 32; i++) {
            nth += same(before[i].name, before[i].name_size, now.name, now.name_size);
        }
        bool there = old_field(history, &now, nth, &old);
        if (!there || !same(old.value, old.value_size, now.value, now.value_size)) {
            return describe(run, task, &now, there ? &old : NULL, source);
        }
        source += us_str_starts(now.name, "source.");
        before[seen % 32] = now;
        seen++;
    }
    at = 0;
    while (next_field(history->fields, history->fields_size, &at, &old)) {
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

const char *why_miss(struct us_run *run, const struct task *task) {
    struct history history;
    struct us_str fields = {0};
    history_recall(run, task, &history);
    struct us_error *error = plan_fields(run, task, &fields);
    const char *why = "no result yet";
    if (!error && history.bytes) {
        why = first_difference(run, task, &history, &fields);
        why = why ? why : "its result is no longer in the cache";
    }
    us_error_free(error);
    history_finish(&history);
    us_str_finish(&fields);
    return why;
}
