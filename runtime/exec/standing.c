#include "runtime/api/standing.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"
#include "runtime/graph/compiled_form.h"

/* The value: this, then the note, then the paths, each with its NUL. */
struct head {
    char magic[8];
    struct us_digest generation; /* of the store's records */
    struct us_digest states;     /* of all paths, in order */
    uint64_t path_count, note_size;
};
static const char magic[8] = "usstand2";

bool us_standing_name(const struct us_registry *registry, const char *path,
                      const struct us_setting *settings, size_t setting_count,
                      const struct us_run_options *options, struct us_digest *name) {
    struct us_digest build;
    char folder[4096];
    if (!us_compiled_fingerprint(registry, &build) || !getcwd(folder, sizeof folder)) {
        return false;
    }
    const char *search = getenv("PATH"), *models = us_models_folder();
    struct us_hasher hasher = {0};
    us_hasher_digest(&hasher, &build);
    us_hasher_string(&hasher, folder);
    us_hasher_string(&hasher, path);
    us_hasher_string(&hasher, search ? search : "");
    us_hasher_string(&hasher, models ? models : "");
    us_hasher_int(&hasher, (int64_t)setting_count);
    for (size_t i = 0; i < setting_count; i++) {
        us_hasher_string(&hasher, settings[i].name);
        us_hasher_string(&hasher, settings[i].value);
    }
    us_hasher_int(&hasher, (int64_t)options->target_count);
    for (size_t i = 0; i < options->target_count; i++) {
        us_hasher_string(&hasher, options->targets[i]);
    }
    struct us_str frames = {0};
    if (options->frames) {
        us_frames_print(options->frames, &frames);
    }
    us_hasher_string(&hasher, us_str_text(&frames));
    us_str_finish(&frames);
    *name = us_hasher_finish(&hasher);
    us_hasher_reset(&hasher);
    return true;
}

static void fact_name(const struct us_digest *name, char fact[64]) {
    char hex[US_DIGEST_HEX];
    memcpy(fact, "standing/", 10);
    memcpy(fact + 9, us_digest_hex(name, hex), US_DIGEST_HEX);
}

/* What a look that said "something changed" found is of use to the plan that follows. */
static _Thread_local struct {
    struct us_digest name, *states;
    size_t count;
} last;

static void keep_states(const struct us_digest *name, struct us_digest *states, size_t count) {
    us_free(last.states);
    last.name = *name;
    last.states = states;
    last.count = count;
}

struct us_digest *us_standing_states(const struct us_digest *name, size_t count) {
    if (!last.states || last.count != count || !us_digest_equal(&last.name, name)) {
        return NULL;
    }
    struct us_digest *states = last.states;
    last.states = NULL;
    return states;
}

static struct us_digest *states_of(struct us_store *store, const char *const *paths, size_t count) {
    struct us_digest *states = us_calloc(count + 1, sizeof *states);
    store->ops->file_states(store, paths, count, states);
    return states;
}

static bool all_known(const struct us_digest *states, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (us_digest_is_zero(&states[i])) {
            return false;
        }
    }
    return true;
}

const char **us_text_list(const char *text, size_t size, size_t count) {
    if (count > size) {
        return NULL;
    }
    const char **paths = us_calloc(count + 1, sizeof *paths);
    for (size_t i = 0; i < count; i++) {
        const char *end = memchr(text, '\0', size);
        if (!end) {
            us_free(paths);
            return NULL;
        }
        paths[i] = text;
        size -= (size_t)(end + 1 - text);
        text = end + 1;
    }
    return paths;
}

bool us_standing_recall(struct us_store *store, const struct us_digest *name, struct us_str *note) {
    char fact[64];
    size_t size = 0;
    fact_name(name, fact);
    uint8_t *bytes = store->ops->recall(store, fact, &size);
    struct head head = {0};
    bool stands = bytes && size >= sizeof head;
    if (stands) {
        memcpy(&head, bytes, sizeof head);
        const struct us_digest generation = store->ops->generation(store);
        stands = memcmp(head.magic, magic, sizeof magic) == 0 &&
                 us_digest_equal(&generation, &head.generation) &&
                 head.note_size <= size - sizeof head;
    }
    const char **paths = NULL;
    if (stands) {
        const char *text = (const char *)bytes + sizeof head + head.note_size;
        paths = us_text_list(text, size - sizeof head - head.note_size, head.path_count);
    }
    struct us_digest *states = paths ? states_of(store, paths, head.path_count) : NULL;
    if (states) {
        const struct us_digest all = us_digest_of(states, head.path_count * sizeof *states);
        stands = all_known(states, head.path_count) && us_digest_equal(&all, &head.states);
    } else {
        stands = false;
    }
    keep_states(name, stands ? NULL : states, head.path_count);
    us_free(stands ? states : NULL);
    if (stands) {
        us_str_append_bytes(note, bytes + sizeof head, head.note_size);
    }
    us_free(paths);
    us_free(bytes);
    return stands;
}

/* What was written in this run is watched from now on. */
static bool all_stand(struct us_run *run) {
    run->watch.fixed = false;
    struct us_watch *before = us_watch_set(&run->watch);
    bool fine = !run->graph->has_roots && !run->summary.failed && !run->summary.cancelled &&
                !run->summary.skipped && !run->summary.status;
    for (size_t i = 0; i < run->plan_count && fine; i++) {
        const struct task *task = &run->tasks[run->plan[i]];
        fine = task->state == US_TASK_CACHED || task->state == US_TASK_DONE;
        if (fine && task_node(run, task)->type->writes && task->digests) {
            char *path = task_destination(run, task);
            us_watch_note_content(path, &task->digests[0]);
            us_watch_note(path);
            us_free(path);
        }
    }
    for (size_t i = 0; i < run->graph->file_count; i++) {
        us_watch_note_content(run->graph->files[i].path, &run->graph->files[i].digest);
        us_watch_note(run->graph->files[i].path);
    }
    us_watch_set(before);
    return fine;
}

/* True: each of these has the content noted of it. */
static bool contents_stand(struct us_run *run, const size_t *items, size_t count) {
    const char **paths = us_calloc(count + 1, sizeof *paths);
    struct us_digest *digests = us_calloc(count + 1, sizeof *digests);
    struct us_error **errors = us_calloc(count + 1, sizeof *errors);
    bool fine = true;
    for (size_t i = 0; i < count; i++) {
        paths[i] = run->watch.items[items[i]].path;
    }
    run->store->ops->file_digests(run->store, paths, count, digests, errors);
    for (size_t i = 0; i < count; i++) {
        fine =
            fine && !errors[i] && us_digest_equal(&digests[i], &run->watch.items[items[i]].digest);
        us_error_free(errors[i]);
    }
    us_free(paths);
    us_free(digests);
    us_free(errors);
    return fine;
}

/* The states of what is watched in which it was what planning saw; NULL: that cannot be said of
 * all. Of what was looked at without a content (folders, names not found) it is the state before
 * the look. Of a content, states come first: what changes after them is seen next time, what
 * changed before, here. */
static struct us_digest *states_that_stand(struct us_run *run, const char *const *paths) {
    struct us_store *store = run->store;
    const size_t count = run->watch.count;
    struct us_digest *states = us_calloc(count + 1, sizeof *states);
    size_t *fresh = us_calloc(count + 1, sizeof *fresh), fresh_count = 0;
    if (!run->base) {
        store->ops->file_states(store, paths, count, states);
    }
    bool fine = true;
    for (size_t i = 0; i < count && fine; i++) {
        const struct us_watched *item = &run->watch.items[i];
        if (base_knows(run, i, &states[i])) {
            continue;
        }
        if (us_digest_is_zero(&item->digest)) {
            states[i] = item->state;
        } else {
            fresh[fresh_count++] = i;
            if (run->base) {
                store->ops->file_states(store, &paths[i], 1, &states[i]);
            }
        }
        fine = !us_digest_is_zero(&states[i]);
    }
    fine = fine && contents_stand(run, fresh, fresh_count);
    us_free(fresh);
    us_free(fine ? NULL : states);
    return fine ? states : NULL;
}

static void write_fact(struct us_run *run, const struct us_digest *name, const struct head *head,
                       const void *note, const char *const *paths) {
    struct us_str out = {0};
    char fact[64];
    fact_name(name, fact);
    us_str_reserve(&out, sizeof *head + head->note_size + head->path_count * 64);
    us_str_append_bytes(&out, head, sizeof *head);
    us_str_append_bytes(&out, note, head->note_size);
    for (size_t i = 0; i < head->path_count; i++) {
        us_str_append_bytes(&out, paths[i], strlen(paths[i]) + 1);
    }
    run->store->ops->remember(run->store, fact, out.data, out.length);
    us_str_finish(&out);
}

void us_standing_remember(struct us_run *run, const struct us_digest *name, const void *note,
                          size_t size) {
    struct us_store *store = run->store;
    const struct us_watch *watch = &run->watch;
    struct head head = {.note_size = size, .generation = store->ops->generation(store)};
    if (!all_stand(run) || !us_digest_equal(&head.generation, &run->generation)) {
        return;
    }
    const char **paths = us_calloc(watch->count + 1, sizeof *paths);
    for (size_t i = 0; i < watch->count; i++) {
        paths[i] = watch->items[i].path;
    }
    struct us_digest *states = states_that_stand(run, paths);
    if (states) {
        memcpy(head.magic, magic, sizeof magic);
        head.path_count = watch->count;
        head.states = us_digest_of(states, watch->count * sizeof *states);
        write_fact(run, name, &head, note, paths);
        base_write(run, name, states);
    }
    us_free(states);
    us_free(paths);
}
