#include "runtime/base/watch.h"

#include <string.h>

#include "runtime/base/mem.h"

static _Thread_local struct us_watch *current;

struct us_watch *us_watch_set(struct us_watch *watch) {
    struct us_watch *before = current;
    current = watch;
    return before;
}

static uint32_t *slot_of(const struct us_watch *watch, const char *path, size_t length) {
    const struct us_digest digest = us_digest_of(path, length);
    size_t at;
    memcpy(&at, digest.bytes, sizeof at);
    for (;; at++) {
        uint32_t *slot = &watch->slots[at & (watch->slot_count - 1)];
        if (!*slot || strcmp(watch->items[*slot - 1].path, path) == 0) {
            return slot;
        }
    }
}

static void grow(struct us_watch *watch) {
    us_free(watch->slots);
    watch->slot_count = watch->slot_count ? 2 * watch->slot_count : 64;
    watch->slots = us_calloc(watch->slot_count, sizeof *watch->slots);
    for (size_t i = 0; i < watch->count; i++) {
        const char *path = watch->items[i].path;
        *slot_of(watch, path, strlen(path)) = (uint32_t)i + 1;
    }
}

static struct us_watched *find(struct us_watch *watch, const char *path) {
    if (2 * (watch->count + 1) > watch->slot_count) {
        grow(watch);
    }
    uint32_t *slot = slot_of(watch, path, strlen(path));
    if (!*slot) {
        us_grow(&watch->items, &watch->capacity, watch->count, sizeof *watch->items);
        watch->items[watch->count++] = (struct us_watched){.path = us_strdup(path)};
        *slot = (uint32_t)watch->count;
    }
    return &watch->items[*slot - 1];
}

void us_watch_note(const char *path) {
    if (!current || current->fixed) {
        return;
    }
    struct us_watched *item = find(current, path);
    if (!item->looked && current->state_of && us_digest_is_zero(&item->digest)) {
        current->state_of(current->context, path, &item->state);
    }
    item->looked = true;
}

size_t us_watch_find(const struct us_watch *watch, const char *path) {
    const uint32_t slot = watch->slot_count ? *slot_of(watch, path, strlen(path)) : 0;
    return slot ? slot - 1 : SIZE_MAX;
}

void us_watch_note_content(const char *path, const struct us_digest *digest) {
    if (current && !current->fixed) {
        find(current, path)->digest = *digest;
    }
}

bool us_watch_content(const char *path, struct us_digest *digest) {
    if (!current || !current->slot_count) {
        return false;
    }
    const uint32_t slot = *slot_of(current, path, strlen(path));
    if (!slot || us_digest_is_zero(&current->items[slot - 1].digest)) {
        return false;
    }
    *digest = current->items[slot - 1].digest;
    return true;
}

const char *us_watch_answer(const char *question) {
    for (size_t i = 0; current && i < current->answer_count; i++) {
        if (strcmp(current->answers[i].question, question) == 0) {
            return current->answers[i].answer;
        }
    }
    return NULL;
}

void us_watch_keep_answer(const char *question, const char *answer) {
    enum { MOST = 64 };
    if (!current || current->fixed || current->answer_count == MOST) {
        return;
    }
    us_grow(&current->answers, &current->answer_capacity, current->answer_count,
            sizeof *current->answers);
    current->answers[current->answer_count++] =
        (struct us_answer){us_strdup(question), us_strdup(answer)};
}

void us_watch_finish(struct us_watch *watch) {
    for (size_t i = 0; i < watch->answer_count; i++) {
        us_free(watch->answers[i].question);
        us_free(watch->answers[i].answer);
    }
    us_free(watch->answers);
    for (size_t i = 0; i < watch->count; i++) {
        us_free(watch->items[i].path);
    }
    us_free(watch->items);
    us_free(watch->slots);
    *watch = (struct us_watch){.state_of = watch->state_of, .context = watch->context};
}
