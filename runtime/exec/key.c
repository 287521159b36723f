#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/watch.h"
#include "runtime/exec/run_internal.h"

/* The field `prefix``name` with a text as its value. */
static void add_bytes(struct us_str *fields, const char *prefix, const char *name,
                      const char *value, size_t size) {
    const size_t heads[2] = {strlen(prefix), strlen(name)};
    const uint32_t lengths[2] = {(uint32_t)(heads[0] + heads[1]), (uint32_t)size};
    us_str_append_bytes(fields, &lengths[0], 4);
    us_str_append_bytes(fields, prefix, heads[0]);
    us_str_append_bytes(fields, name, heads[1]);
    us_str_append_bytes(fields, &lengths[1], 4);
    us_str_append_bytes(fields, value, size);
}

static void add_text(struct us_str *fields, const char *prefix, const char *name,
                     const char *value) {
    add_bytes(fields, prefix, name, value, strlen(value));
}

static bool next_bytes(const char *fields, size_t size, size_t *at, const char **bytes,
                       size_t *length) {
    uint32_t stated;
    if (size - *at < sizeof stated) {
        return false;
    }
    memcpy(&stated, fields + *at, sizeof stated);
    if (size - *at - sizeof stated < stated) {
        return false;
    }
    *bytes = fields + *at + sizeof stated;
    *length = stated;
    *at += sizeof stated + stated;
    return true;
}

bool next_field(const char *fields, size_t size, size_t *at, struct field *field) {
    return next_bytes(fields, size, at, &field->name, &field->name_size) &&
           next_bytes(fields, size, at, &field->value, &field->value_size);
}

/* The shortest decimal text that reads back as the same double; -0 is 0, every NaN is "unset". */
static void print_double(struct us_str *out, double value) {
    char text[40] = "unset";
    for (int digits = 15; value == value && digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value + 0.0);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    us_str_append(out, text);
}

/* As printf's, which takes several times as long. */
static void print_int(struct us_str *out, int64_t value) {
    char text[24], *at = text + sizeof text;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (value < 0) {
        *--at = '-';
    }
    us_str_append_bytes(out, at, (size_t)(text + sizeof text - at));
}

static void print_strings(struct us_str *out, const struct us_strings *strings) {
    us_str_append_bytes(out, "[", 1);
    for (size_t i = 0; i < strings->count; i++) {
        const size_t length = strlen(strings->items[i]);
        us_str_append_bytes(out, ", ", i ? 2 : 0);
        print_int(out, (int64_t)length);
        us_str_append_bytes(out, ":", 1);
        us_str_append_bytes(out, strings->items[i], length);
    }
    us_str_append_bytes(out, "]", 1);
}

static bool print_param(struct us_str *out, const struct us_param *param, const void *params) {
    const void *at = (const char *)params + param->offset;
    switch (param->type) {
    case US_PARAM_BOOL:
        us_str_append(out, *(const bool *)at ? "true" : "false");
        return !param->neutral || *(const bool *)at != (param->number != 0);
    case US_PARAM_INT:
        print_int(out, *(const int64_t *)at);
        return !param->neutral || (double)*(const int64_t *)at != param->number;
    case US_PARAM_DOUBLE:
        print_double(out, *(const double *)at);
        return !param->neutral || *(const double *)at != param->number;
    case US_PARAM_STRING:
    case US_PARAM_CHOICE: {
        const char *text = *(const char *const *)at;
        us_str_append(out, text ? text : "unset");
        return !param->neutral || (text && (!param->text || strcmp(text, param->text) != 0));
    }
    case US_PARAM_STRINGS:
        print_strings(out, at);
        return !param->neutral || ((const struct us_strings *)at)->count != 0;
    default:
        return false;
    }
}

static void add_params(struct us_str *fields, const struct us_node *node, const void *params,
                       bool for_workspace) {
    struct us_str value = {0};
    for (const struct us_param *param = node->type->params; param && param->name; param++) {
        us_str_clear(&value);
        bool out = param->role == US_UNKEYED || (param->role == US_EXTENDING && for_workspace);
        if (!out && print_param(&value, param, params)) {
            add_text(fields, "param.", param->name, us_str_text(&value));
        }
    }
    us_str_finish(&value);
}

/* Which task reads what. */
static void note_ref(struct us_run *run, const struct task *task, const char *path) {
    const size_t item = run->noting ? us_watch_find(&run->watch, path) : SIZE_MAX;
    if (item == SIZE_MAX || item > UINT32_MAX) {
        return;
    }
    us_grow(&run->refs, &run->ref_capacity, run->ref_count, sizeof *run->refs);
    run->refs[run->ref_count++] =
        (struct source_ref){(uint32_t)(task - run->tasks), (uint32_t)item};
}

static struct us_error *add_sources(struct us_run *run, const struct task *task, const void *params,
                                    struct us_str *fields) {
    const struct us_node *node = task_node(run, task);
    if (!node->type->sources) {
        return NULL;
    }
    struct us_arena arena = {0};
    struct us_sources sources = {.arena = &arena};
    struct us_error *error = node->type->sources(params, task->frame, &sources);
    for (size_t i = 0; !error && i < sources.count; i++) {
        struct us_digest digest;
        char hex[US_DIGEST_HEX];
        const char *path = sources.items[i].path;
        if (!us_watch_content(path, &digest)) {
            error = run->store->ops->file_digest(run->store, path, &digest);
        }
        if (us_error_is(error, US_MISSING) && sources.items[i].hint) {
            error = us_error_hint(error, "%s", sources.items[i].hint);
        }
        if (!error) {
            us_watch_note_content(path, &digest);
            note_ref(run, task, path);
            add_text(fields, "source.", sources.items[i].role, us_digest_hex(&digest, hex));
        }
    }
    us_arena_finish(&arena);
    return error ? task_error(run, task, error) : NULL;
}

static void identity_of(const struct us_run *run, const struct input_ref *ref, bool plan,
                        struct us_hasher *hasher) {
    const struct task *above = &run->tasks[ref->task];
    if (plan) {
        us_hasher_digest(hasher, &above->plan_key);
        us_hasher_int(hasher, ref->port);
    } else {
        us_hasher_digest(hasher, &above->digests[ref->port]);
    }
}

/* Its entry and its frame, relative to the task's. What a once-node made is every frame's: it lies
 * at no distance. */
static void add_place(const struct us_run *run, const struct task *task,
                      const struct input_ref *ref, struct us_hasher *hasher) {
    const struct task *above = &run->tasks[ref->task];
    const bool framed = task_node(run, above)->type->per_frame;
    us_hasher_int(hasher, ref->entry);
    us_hasher_int(hasher, framed ? (int64_t)above->frame.take - task->frame.take : 0);
    us_hasher_int(hasher, framed ? (int64_t)above->frame.number - task->frame.number : 0);
}

static void add_names(const struct us_run *run, const struct input_ref *ref,
                      struct us_hasher *hasher) {
    const struct us_node *above = task_node(run, &run->tasks[ref->task]);
    us_hasher_string(hasher, above->name);
    if (ref->port) {
        us_hasher_string(hasher, above->type->outputs[ref->port].name);
    }
}

/* One value: its identity. Several: a hash over entries, frames (relative to the task's) and
 * identities, so that neither order nor grouping can be mistaken. */
static void add_input(const struct us_run *run, const struct task *task, int port, bool plan,
                      struct us_str *fields) {
    const struct us_node *node = task_node(run, task);
    const struct us_port *table = &node->type->inputs[port];
    const struct us_node_input *input = &node->inputs[port];
    const bool many = table->reach != US_THIS_FRAME || table->list || !node->type->per_frame;
    struct us_hasher hasher = {0};
    size_t count = 0;
    for (size_t i = 0; i < input->count; i++) {
        uint32_t first;
        const uint32_t span = task_span(run, input->links[i].node, task, port, &first);
        for (uint32_t k = 0; k < span; k++) {
            const struct input_ref ref = {first + k, input->links[i].port, (uint32_t)i};
            if (many) {
                add_place(run, task, &ref, &hasher);
            }
            if (node->type->keyed_by_names) {
                add_names(run, &ref, &hasher);
            }
            identity_of(run, &ref, plan, &hasher);
        }
        count += span;
    }
    const struct us_digest digest = us_hasher_finish(&hasher);
    us_hasher_reset(&hasher);
    char hex[US_DIGEST_HEX];
    add_text(fields, "input.", table->name, count ? us_digest_hex(&digest, hex) : "none");
}

static void add_type(struct us_str *fields, const struct us_node_type *type) {
    struct us_str text = {0};
    us_str_append(&text, type->name);
    us_str_append(&text, " version ");
    print_int(&text, type->version);
    add_text(fields, "", "type", us_str_text(&text));
    us_str_finish(&text);
}

void make_prefix(struct us_run *run, uint32_t index) {
    const struct us_node *node = &run->graph->nodes[index];
    struct node_tasks *tasks = &run->nodes[index];
    if (node->animation_count == 0 && !tasks->prefix) {
        struct node_prefix *prefix = us_arena_alloc(&run->arena, sizeof *prefix);
        add_type(&prefix->fields, node->type);
        add_params(&prefix->fields, node, node->params, false);
        prefix->digest = us_digest_of(prefix->fields.data, prefix->fields.length);
        tasks->prefix = prefix;
    }
}

void make_prefixes(struct us_run *run) {
    for (uint32_t i = 0; i < run->graph->node_count; i++) {
        make_prefix(run, i);
    }
}

static struct us_error *make_fields(struct us_run *run, const struct task *task, bool plan,
                                    bool for_workspace, struct us_str *fields) {
    const struct us_node *node = task_node(run, task);
    const struct node_prefix *prefix = run->nodes[task->node].prefix;
    const bool known = prefix && !for_workspace;
    struct us_arena arena = {0};
    const void *params = node->params;
    if (node->animation_count) {
        void *now = us_arena_alloc(&arena, node->type->params_size + 1);
        us_node_params_at(node, task->frame, now);
        params = now;
    }
    if (known) {
        us_str_append_bytes(fields, prefix->fields.data, prefix->fields.length);
    } else {
        add_type(fields, node->type);
        add_params(fields, node, params, for_workspace);
    }
    bool by_frame = node->type->keyed_by_frame || (node->type->frames && !node->type->sources);
    if (node->type->per_frame && by_frame) {
        char text[32];
        const int length =
            snprintf(text, sizeof text, "%d:%d", task->frame.take, task->frame.number);
        add_bytes(fields, "", "frame", text, (size_t)length);
    }
    struct us_error *error = add_sources(run, task, params, fields);
    for (int port = 0; !error && port < us_port_count(node->type->inputs); port++) {
        add_input(run, task, port, plan, fields);
    }
    us_arena_finish(&arena);
    return error;
}

struct us_error *plan_fields(struct us_run *run, const struct task *task, struct us_str *fields) {
    return make_fields(run, task, true, false, fields);
}

struct us_error *action_fields(struct us_run *run, const struct task *task, bool for_workspace,
                               struct us_str *fields) {
    return make_fields(run, task, false, for_workspace, fields);
}

struct us_digest key_of(const char *domain, const struct us_str *fields) {
    struct us_hasher hasher = {0};
    us_hasher_string(&hasher, domain);
    us_hasher_blob(&hasher, fields->data, fields->length);
    const struct us_digest key = us_hasher_finish(&hasher);
    us_hasher_reset(&hasher);
    return key;
}
