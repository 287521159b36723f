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
    const int64_t number = task->frame.number;
    const int32_t first = (int32_t)((number >= 0 ? number : number - CHUNK + 1) / CHUNK * CHUNK);
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

/* Without a look at the record: what was remembered is what the run before left, and no file that
 * the task reads changed, so that the inputs that did are all that differs. */
static const char *why_moved(struct us_run *run, const struct task *task,
                             const struct history *history) {
    struct us_digest key;
    if (task->reread || !base_key(run, task, &key) || !us_digest_equal(&key, &history->plan_key)) {
        return NULL;
    }
    return moved_inputs(run, task);
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
        const char *difference = error ? NULL : differences(run, task, &past, &fields);
        why = difference ? difference : why;
        us_error_free(error);
    }
    us_str_finish(&past);
    us_str_finish(&fields);
    us_str_finish(&reason);
    return why;
}
