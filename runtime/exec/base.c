/* Planning from what the last run of the same left when it ended well: the plan key of every task,
 * which files each reads, and what these were. As long as only contents of read files changed, the
 * graph's tasks are the same, and only the keys at and below those files are made anew; what has
 * its old key stands as it stood, for no record was taken away since (generation). */
#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

/* The value: this; a state and a content a path; a flag a path; a key a task (zero: not needed);
 * the refs; the paths, each with its NUL. */
struct head {
    char magic[8];
    struct us_digest generation, layout;
    uint64_t path_count, task_count, ref_count;
};
static const char magic[8] = "usplan02";
enum { MOST_TASKS = 250000 };

struct base {
    uint8_t *bytes;
    struct head head;
    const uint8_t *states, *contents, *looked, *keys, *refs; /* in bytes */
    struct us_digest *now; /* the states before planning; zero: cannot be relied on */
    bool *changed;         /* one a path */
};

static struct us_digest digest_at(const uint8_t *array, size_t index) {
    struct us_digest digest;
    memcpy(digest.bytes, array + index * sizeof digest, sizeof digest);
    return digest;
}

static struct source_ref ref_at(const struct base *base, size_t index) {
    struct source_ref ref;
    memcpy(&ref, base->refs + index * sizeof ref, sizeof ref);
    return ref;
}

/* How many tasks each node has, and how many of them are needed. */
static struct us_digest layout_of(const struct us_run *run) {
    enum { AT_ONCE = 256 };
    struct us_hasher hasher = {0};
    uint32_t numbers[AT_ONCE][2];
    for (size_t i = 0; i < run->graph->node_count;) {
        size_t count = 0;
        for (; count < AT_ONCE && i < run->graph->node_count; i++, count++) {
            numbers[count][0] = run->nodes[i].count;
            numbers[count][1] = run->nodes[i].needed;
        }
        us_hasher_bytes(&hasher, numbers, count * sizeof *numbers);
    }
    const struct us_digest layout = us_hasher_finish(&hasher);
    us_hasher_reset(&hasher);
    return layout;
}

static void name_fact(const struct us_digest *name, char fact[64]) {
    char hex[US_DIGEST_HEX];
    snprintf(fact, 64, "plan/%s", us_digest_hex(name, hex));
}

void base_finish(struct us_run *run) {
    if (run->base) {
        us_free(run->base->bytes);
        us_free(run->base->changed);
        us_free(run->base->now);
        us_free(run->base);
        run->base = NULL;
    }
}

/* Points into the value; the paths' text, or NULL when the sizes do not fit. */
static const char *lay_out(struct base *base, size_t size) {
    const struct head *head = &base->head;
    const uint64_t digest = sizeof(struct us_digest), most = (uint64_t)1 << 32;
    if (head->path_count > most || head->task_count > most || head->ref_count > most) {
        return NULL;
    }
    const uint64_t fixed = sizeof *head + head->path_count * (2 * digest + 1) +
                           head->task_count * digest + head->ref_count * sizeof(struct source_ref);
    if (fixed > size) {
        return NULL;
    }
    base->states = base->bytes + sizeof *head;
    base->contents = base->states + head->path_count * digest;
    base->looked = base->contents + head->path_count * digest;
    base->keys = base->looked + head->path_count;
    base->refs = base->keys + head->task_count * digest;
    return (const char *)base->bytes + fixed;
}

/* Sees which files changed. False: something did that more than a key depends on. */
static bool compare(struct us_run *run, struct base *base, const char *const *paths) {
    const size_t count = base->head.path_count;
    bool fine = true;
    base->changed = us_calloc(count + 1, sizeof *base->changed);
    base->now = us_standing_states(run->options.standing, count);
    if (!base->now) {
        base->now = us_calloc(count + 1, sizeof *base->now);
        run->store->ops->file_states(run->store, paths, count, base->now);
    }
    for (size_t i = 0; i < count && fine; i++) {
        const struct us_digest then = digest_at(base->states, i), none = {0};
        const struct us_digest content = digest_at(base->contents, i);
        base->changed[i] = !us_digest_equal(&base->now[i], &then) || us_digest_is_zero(&then);
        fine = !base->changed[i] || (!base->looked[i] && !us_digest_is_zero(&content));
        us_watch_note_content(paths[i], base->changed[i] ? &none : &content);
        if (base->looked[i]) {
            us_watch_note(paths[i]);
        }
    }
    return fine && run->watch.count == count;
}

void base_open(struct us_run *run) {
    if (!run->options.standing || run->graph->has_roots) {
        return;
    }
    char fact[64];
    size_t size = 0;
    name_fact(run->options.standing, fact);
    struct base *base = us_calloc(1, sizeof *base);
    run->base = base;
    base->bytes = run->store->ops->recall(run->store, fact, &size);
    bool fits = base->bytes && size >= sizeof base->head;
    if (fits) {
        memcpy(&base->head, base->bytes, sizeof base->head);
        fits = memcmp(base->head.magic, magic, sizeof magic) == 0 &&
               us_digest_equal(&base->head.generation, &run->generation);
    }
    const char *text = fits ? lay_out(base, size) : NULL;
    const char **paths = text
                             ? us_text_list(text, (size_t)((const char *)base->bytes + size - text),
                                            base->head.path_count)
                             : NULL;
    if (!paths || !compare(run, base, paths)) {
        base_finish(run);
        us_watch_finish(&run->watch);
    }
    us_free(paths);
}

/* Which tasks read a changed file; those of the others keep their refs. */
static bool *find_touched(struct us_run *run) {
    const struct base *base = run->base;
    bool *touched = us_calloc(run->task_count + 1, sizeof *touched);
    for (size_t i = 0; i < base->head.ref_count; i++) {
        const struct source_ref ref = ref_at(base, i);
        if (ref.task < run->task_count && ref.item < base->head.path_count) {
            touched[ref.task] |= base->changed[ref.item];
        }
    }
    for (size_t i = 0; i < base->head.ref_count; i++) {
        const struct source_ref ref = ref_at(base, i);
        if (ref.task < run->task_count && !touched[ref.task]) {
            us_grow(&run->refs, &run->ref_capacity, run->ref_count, sizeof *run->refs);
            run->refs[run->ref_count++] = ref;
        }
    }
    return touched;
}

static void has_moved(struct us_run *run, struct task *task, void *context) {
    (void)run;
    *(bool *)context |= task->moved;
}

static bool reads_moved(struct us_run *run, uint32_t index, const bool *moved) {
    const struct us_node *node = &run->graph->nodes[index];
    for (int port = 0; port < us_port_count(node->type->inputs); port++) {
        for (size_t k = 0; k < node->inputs[port].count; k++) {
            if (moved[node->inputs[port].links[k].node]) {
                return true;
            }
        }
    }
    return false;
}

static struct us_error *key_again(struct us_run *run, struct task *task, struct us_str *fields) {
    const struct us_digest then = task->plan_key;
    make_prefix(run, task->node);
    struct node_prefix *prefix = run->nodes[task->node].prefix;
    if (prefix) {
        prefix->asked = prefix->known = true; /* of the record under the old key */
    }
    us_str_clear(fields);
    US_TRY(plan_fields(run, task, fields));
    task->plan_key = key_of("understudy plan 1", fields);
    task->moved = !us_digest_equal(&task->plan_key, &then);
    return NULL;
}

static struct us_error *key_node(struct us_run *run, uint32_t index, const bool *touched,
                                 bool *moved, struct us_str *fields) {
    const struct node_tasks *tasks = &run->nodes[index];
    const bool below = reads_moved(run, index, moved);
    for (uint32_t k = 0; k < tasks->count; k++) {
        struct task *task = &run->tasks[tasks->first + k];
        if (!task->needed) {
            continue;
        }
        bool again = task->reread = touched[tasks->first + k];
        if (below && !again) {
            each_input(run, task, has_moved, &again);
        }
        task->plan_key = digest_at(run->base->keys, tasks->first + k);
        US_TRY(again ? key_again(run, task, fields) : NULL);
        task->stood = !task->moved;
        task->asked &= task->moved;
        moved[index] |= task->moved;
    }
    return NULL;
}

struct us_error *base_keys(struct us_run *run, bool *done) {
    const struct us_digest layout = layout_of(run);
    *done = run->base && run->base->head.task_count == run->task_count &&
            us_digest_equal(&layout, &run->base->head.layout);
    if (!*done) {
        base_finish(run);
        return NULL;
    }
    bool *touched = find_touched(run);
    bool *moved = us_calloc(run->graph->node_count + 1, sizeof *moved); /* nodes */
    struct us_str fields = {0};
    struct us_error *error = NULL;
    for (uint32_t i = 0; i < run->graph->node_count && !error; i++) {
        error = key_node(run, i, touched, moved, &fields);
    }
    us_str_finish(&fields);
    us_free(touched);
    us_free(moved);
    return error;
}

bool base_key(const struct us_run *run, const struct task *task, struct us_digest *key) {
    if (run->base) {
        *key = digest_at(run->base->keys, (size_t)(task - run->tasks));
    }
    return run->base != NULL;
}

bool base_knows(const struct us_run *run, size_t item, struct us_digest *state) {
    if (!run->base || item >= run->base->head.path_count || run->base->changed[item]) {
        return false;
    }
    const struct us_digest content = digest_at(run->base->contents, item);
    *state = run->base->now[item];
    return us_digest_equal(&content, &run->watch.items[item].digest);
}

void base_write(struct us_run *run, const struct us_digest *name, const struct us_digest *states) {
    const struct us_watch *watch = &run->watch;
    struct head head = {.generation = run->generation,
                        .layout = layout_of(run),
                        .path_count = watch->count,
                        .task_count = run->task_count,
                        .ref_count = run->ref_count};
    if (run->task_count > MOST_TASKS) {
        return;
    }
    struct us_str out = {0};
    memcpy(head.magic, magic, sizeof magic);
    us_str_reserve(&out, sizeof head + watch->count * (2 * sizeof *states + 64) +
                             run->task_count * sizeof(struct us_digest) +
                             run->ref_count * sizeof *run->refs);
    us_str_append_bytes(&out, &head, sizeof head);
    us_str_append_bytes(&out, states, watch->count * sizeof *states);
    for (size_t i = 0; i < watch->count; i++) {
        us_str_append_bytes(&out, &watch->items[i].digest, sizeof watch->items[i].digest);
    }
    for (size_t i = 0; i < watch->count; i++) {
        us_str_append_bytes(&out, &watch->items[i].looked, 1);
    }
    for (uint32_t i = 0; i < run->task_count; i++) {
        us_str_append_bytes(&out, &run->tasks[i].plan_key, sizeof run->tasks[i].plan_key);
    }
    us_str_append_bytes(&out, run->refs, run->ref_count * sizeof *run->refs);
    for (size_t i = 0; i < watch->count; i++) {
        us_str_append_bytes(&out, watch->items[i].path, strlen(watch->items[i].path) + 1);
    }
    char fact[64];
    name_fact(name, fact);
    run->store->ops->remember(run->store, fact, out.data, out.length);
    us_str_finish(&out);
}
