/* What a piece of work found in the file system, so that later it can be told whether anything it
 * relied on is different. Whatever looks at files while planning notes the path: files that were
 * read, folders that were listed, names that were looked for and not found. */
#ifndef US_RUNTIME_BASE_WATCH_H
#define US_RUNTIME_BASE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/hash.h"

struct us_watched {
    char *path;
    bool looked; /* more than its content was relied on: that it is there, what lies in it */
    struct us_digest state;  /* of the path when it was first noted without a content; else zero */
    struct us_digest digest; /* of the content, as far as it was relied on; else zero */
};

struct us_answer {
    char *question, *answer;
};

/* Each path once, in the order they came. Zeroed is empty. */
struct us_watch {
    /* Optional: what a path is now, without reading it (store.h, file_states). */
    void (*state_of)(void *context, const char *path, struct us_digest *state);
    void *context;
    struct us_answer *answers;
    size_t answer_count, answer_capacity;
    struct us_watched *items;
    size_t count, capacity;
    uint32_t *slots; /* open addressing: 1 + an index */
    size_t slot_count;
    bool fixed; /* only asked from now on, by any number of threads: notes are not taken */
};

/* From now on notes of this thread go to `watch`; NULL: nowhere. Returns what it was. */
struct us_watch *us_watch_set(struct us_watch *watch);
/* Before the look: what changes after the note is then seen to have changed. Costs next to nothing
 * when nobody watches. */
void us_watch_note(const char *path);
void us_watch_note_content(const char *path, const struct us_digest *digest);
/* The index of a path that was noted, else SIZE_MAX. */
size_t us_watch_find(const struct us_watch *watch, const char *path);
/* The content noted before, when there is one: what is planned at one time is planned with one
 * content of each file. */
bool us_watch_content(const char *path, struct us_digest *digest);
/* The answer to a question that was put to the file system before, or NULL; a few of them. */
const char *us_watch_answer(const char *question);
void us_watch_keep_answer(const char *question, const char *answer);
/* Empties it; state_of stays. */
void us_watch_finish(struct us_watch *watch);

#endif
