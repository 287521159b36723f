#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

enum { MOST_CLAUSES = 6 };

/* Clauses so far. */
struct clauses {
    struct us_run *run;
    const struct task *task;
    struct us_str text;
    size_t count;
};

static bool same(const char *a, size_t a_size, const char *b, size_t b_size) {
    return a_size == b_size && memcmp(a, b, a_size) == 0;
}

static bool is_named(const struct field *field, const char *prefix) {
    const size_t length = strlen(prefix);
    return field->name_size >= length && memcmp(field->name, prefix, length) == 0;
}

/* The field of that name, the `nth` of them, or false. */
static bool find_field(const struct us_str *fields, const struct field *wanted, size_t nth,
                       struct field *found) {
    size_t at = 0;
    while (next_field(fields->data, fields->length, &at, found)) {
        if (same(found->name, found->name_size, wanted->name, wanted->name_size) && nth-- == 0) {
            return true;
        }
    }
    return false;
}

/* How many of the same name stand before the field at `end`. */
static size_t place_of(const struct us_str *fields, const struct field *field, size_t end) {
    struct field before;
    size_t at = 0, nth = 0;
    while (next_field(fields->data, fields->length, &at, &before) && at < end) {
        nth += same(before.name, before.name_size, field->name, field->name_size);
    }
    return nth;
}

/* The old field beside the one that ends at `end`. Both lists have one order, so that it mostly is
 * the next one, at *next. */
static bool find_old(const struct us_str *past, size_t *next, const struct us_str *fields,
                     size_t end, const struct field *now, struct field *old) {
    size_t at = *next;
    if (next_field(past->data, past->length, &at, old) &&
        same(old->name, old->name_size, now->name, now->name_size)) {
        *next = at;
        return true;
    }
    if (!find_field(past, now, place_of(fields, now, end), old)) {
        return false;
    }
    *next = (size_t)(old->value - past->data) + old->value_size;
    return true;
}

/* What changed above: a task that runs, else one that stands under another key than last time, else
 * one that was made after `when`. */
static const struct task *changed_above(struct us_run *run, const struct input_ref *refs,
                                        size_t count, int64_t when) {
    const struct task *later = NULL;
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
        if (!later && when && history.when > when) {
            later = above;
        }
    }
    return later;
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

/* True: there is room for one more, after what joins it to the one before. */
static bool begin_clause(struct clauses *clauses) {
    const size_t before = clauses->count++;
    if (before < MOST_CLAUSES) {
        us_str_append(&clauses->text, before ? ", " : "");
    }
    return before < MOST_CLAUSES;
}

/* `index` of the port; negative: the node has none of that name any more. */
static void add_input(struct clauses *clauses, int index, const char *port, int size) {
    struct us_run *run = clauses->run;
    struct us_arena *arena = &run->arena;
    size_t count = 0;
    struct input_ref *refs =
        index >= 0 ? task_inputs(run, clauses->task, index, arena, &count) : NULL;
    const int64_t when = history_recall(run, clauses->task).when;
    const struct task *above = changed_above(run, refs, count, when);
    if (!above && clauses->count) {
        return;
    }
    if (begin_clause(clauses)) {
        us_str_printf(&clauses->text, "input '%.*s' ", size, port);
        us_str_append(&clauses->text,
                      above ? "changed: " : "is connected differently or covers other frames");
        us_str_append(&clauses->text, above ? task_label(run, above, arena) : "");
    }
}

static void add_input_field(struct clauses *clauses, const struct field *now) {
    const size_t size = now->name_size - strlen("input.");
    const char *port = now->name + strlen("input.");
    char *name = us_strndup(port, size);
    add_input(clauses, us_port_find(task_node(clauses->run, clauses->task)->type->inputs, name),
              port, (int)size);
    us_free(name);
}

/* A path is not in a key: it may be the same file that changed, or another one that is read now. */
static bool changed_since(const char *path, int64_t when) {
    struct stat status;
    return stat(path, &status) != 0 || status.st_ctim.tv_sec >= when;
}

static void add_source(struct clauses *clauses, const struct field *now, const struct field *old,
                       size_t nth) {
    if (begin_clause(clauses)) {
        const char *path = source_path(clauses->run, clauses->task, nth);
        us_str_append(&clauses->text, path);
        if (old) {
            const int64_t when = history_recall(clauses->run, clauses->task).when;
            us_str_printf(&clauses->text, " %s (digest %.8s → %.8s)",
                          changed_since(path, when) ? "changed on disk"
                                                    : "is not what was read last time",
                          old->value, now->value);
        } else {
            us_str_append(&clauses->text, " is read now");
        }
    }
}

/* "matte_edit version 1 → 2". */
static void add_type(struct clauses *clauses, const struct field *now, const struct field *old) {
    size_t common = 0, word = 0;
    for (; common < now->value_size && common < old->value_size &&
           now->value[common] == old->value[common];
         common++) {
        word = now->value[common] == ' ' ? common + 1 : word;
    }
    if (begin_clause(clauses)) {
        us_str_printf(&clauses->text, "%.*s → %.*s", (int)old->value_size, old->value,
                      (int)(now->value_size - word), now->value + word);
    }
}

static bool is_list(const struct clauses *clauses, const char *name, size_t size) {
    const struct us_param *param = task_node(clauses->run, clauses->task)->type->params;
    for (; param && param->name; param++) {
        if (same(param->name, strlen(param->name), name, size)) {
            return param->type == US_PARAM_STRINGS;
        }
    }
    return false;
}

/* Lists have the length of each text before it in the key, "[2:-c, 4:true]"; people read them
 * without. */
static void append_list(struct us_str *out, const char *value, size_t size) {
    const char *at = value, *end = value + size;
    us_str_append(out, "[");
    for (at += size > 0; at < end && *at >= '0' && *at <= '9';) {
        char *colon;
        const size_t length = strtoul(at, &colon, 10);
        if (*colon != ':' || length >= (size_t)(end - colon)) {
            break;
        }
        us_str_append_bytes(out, colon + 1, length);
        at = colon + 1 + length;
        if (end - at > 2) {
            us_str_append(out, ", ");
            at += 2;
        }
    }
    us_str_append(out, "]");
}

static void append_value(struct us_str *out, const struct field *field, bool list) {
    if (list && field->value_size && field->value[0] == '[') {
        append_list(out, field->value, field->value_size);
    } else {
        us_str_append_bytes(out, field->value, field->value_size);
    }
}

/* `now` or `old` may be NULL, not both: unset. */
static void add_value(struct clauses *clauses, const struct field *now, const struct field *old) {
    static const struct field unset = {.value = "unset", .value_size = 5};
    const struct field *named = now ? now : old;
    const size_t skip = is_named(named, "param.") ? strlen("param.") : 0;
    now = now ? now : &unset;
    old = old ? old : &unset;
    if (begin_clause(clauses)) {
        const char *name = named->name + skip;
        const size_t size = named->name_size - skip;
        const bool list = skip && is_list(clauses, name, size);
        us_str_printf(&clauses->text, "%.*s ", (int)size, name);
        append_value(&clauses->text, old, list);
        us_str_append(&clauses->text, " → ");
        append_value(&clauses->text, now, list);
    }
}

/* Gives how many fields there were before, too. */
static size_t add_changed(struct clauses *clauses, const struct us_str *past,
                          const struct us_str *fields) {
    struct field now, old;
    size_t at = 0, next = 0, source = 0, kept = 0;
    while (next_field(fields->data, fields->length, &at, &now)) {
        const size_t nth_source = source;
        source += is_named(&now, "source.");
        const bool there = find_old(past, &next, fields, at, &now, &old);
        kept += there;
        if (there && same(old.value, old.value_size, now.value, now.value_size)) {
            continue;
        }
        if (is_named(&now, "source.")) {
            add_source(clauses, &now, there ? &old : NULL, nth_source);
        } else if (is_named(&now, "input.")) {
            add_input_field(clauses, &now);
        } else if (there && same(now.name, now.name_size, "type", 4)) {
            add_type(clauses, &now, &old);
        } else {
            add_value(clauses, &now, there ? &old : NULL);
        }
    }
    return kept;
}

static size_t count_fields(const struct us_str *fields) {
    struct field field;
    size_t at = 0, count = 0;
    while (next_field(fields->data, fields->length, &at, &field)) {
        count++;
    }
    return count;
}

static void add_gone(struct clauses *clauses, const struct us_str *past,
                     const struct us_str *fields) {
    struct field old, now;
    size_t at = 0;
    while (next_field(past->data, past->length, &at, &old)) {
        if (find_field(fields, &old, place_of(past, &old, at), &now)) {
            continue;
        }
        if (is_named(&old, "param.")) {
            add_value(clauses, NULL, &old);
        } else if (begin_clause(clauses)) {
            us_str_printf(&clauses->text, "%.*s is no longer given (was %.*s)", (int)old.name_size,
                          old.name, (int)old.value_size, old.value);
        }
    }
}

static const char *told(struct clauses *clauses) {
    if (clauses->count > MOST_CLAUSES) {
        us_str_printf(&clauses->text, " and %zu more", clauses->count - MOST_CLAUSES);
    }
    const char *text =
        clauses->count ? us_arena_strdup(&clauses->run->arena, us_str_text(&clauses->text)) : NULL;
    us_str_finish(&clauses->text);
    return text;
}

const char *differences(struct us_run *run, const struct task *task, const struct us_str *past,
                        const struct us_str *fields) {
    struct clauses clauses = {.run = run, .task = task};
    if (add_changed(&clauses, past, fields) < count_fields(past)) {
        add_gone(&clauses, past, fields);
    }
    return told(&clauses);
}

static void has_moved(struct us_run *run, struct task *task, void *context) {
    (void)run;
    *(bool *)context |= task->moved;
}

const char *moved_inputs(struct us_run *run, const struct task *task) {
    struct clauses clauses = {.run = run, .task = task};
    const struct us_port *ports = task_node(run, task)->type->inputs;
    for (int port = 0; port < us_port_count(ports); port++) {
        bool moved = false;
        each_port_input(run, task, port, has_moved, &moved);
        if (moved) {
            add_input(&clauses, port, ports[port].name, (int)strlen(ports[port].name));
        }
    }
    return told(&clauses);
}
