#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/care.h"
#include "cache/hold.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"

/* A pin is text: the first line, its title, the time, a line for each digest, and last the checksum
 * of all that. */
static const char first_line[] = "understudy pin 1\n";
enum { NAME_LENGTH = 100, LAST_LINE = 4 + US_DIGEST_HEX };

static struct us_error *pin_path(struct cache *cache, const char *name, char path[CACHE_PATH]) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(name);
    if (length == 0 || length > NAME_LENGTH || name[0] == '.' || strspn(name, allowed) != length) {
        return us_fail(US_USAGE, "a pin cannot be called '%s', allowed are letters, digits, . _ -",
                       name);
    }
    us_cache_room_path(cache, "pins", name, path);
    return NULL;
}

static void add_digests(struct us_str *text, const char *word, const struct us_digest *digests,
                        size_t count) {
    for (size_t i = 0; i < count; i++) {
        char hex[US_DIGEST_HEX];
        us_str_printf(text, "%s %s\n", word, us_digest_hex(&digests[i], hex));
    }
}

static void write_text(const struct us_pin_list *list, struct us_str *text) {
    us_str_append(text, first_line);
    us_str_append(text, "title ");
    for (const char *at = list->title ? list->title : ""; *at; at++) {
        us_str_append_bytes(text, *at == '\n' ? " " : at, 1);
    }
    us_str_printf(text, "\ntime %" PRId64 "\n", (int64_t)time(NULL));
    add_digests(text, "object", list->objects, list->object_count);
    add_digests(text, "record", list->keys, list->key_count);
    struct us_digest sum = us_digest_of(text->data, text->length);
    add_digests(text, "sum", &sum, 1);
}

/* Holding comes first: a gc that has read the pins before sees the stamps. */
struct us_error *us_cache_pin(struct us_store *store, const char *name,
                              const struct us_pin_list *list, size_t *missing) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH], fresh[CACHE_PATH];
    *missing = 0;
    US_TRY(pin_path(cache, name, path));
    for (size_t i = 0; i < list->object_count; i++) {
        *missing += !us_cache_has_object(store, &list->objects[i]);
    }
    struct us_str text = {0};
    write_text(list, &text);
    us_cache_temporary(cache, fresh);
    bool won;
    struct us_error *error =
        us_cache_publish(cache, fresh, &(struct us_part){text.data, text.length}, 1, false, &won);
    us_str_finish(&text);
    if (!error && rename(fresh, path) != 0) {
        error = us_cache_errno(cache, errno, "cannot write", path);
        unlink(fresh);
    }
    return us_error_wrap(error, "cannot pin '%s'", name);
}

struct us_error *us_cache_unpin(struct us_store *store, const char *name) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH];
    US_TRY(pin_path(cache, name, path));
    if (unlink(path) == 0) {
        return NULL;
    }
    if (errno == ENOENT) {
        return us_error_hint(us_fail(US_MISSING, "there is no pin '%s'", name),
                             "understudy cache pins lists them");
    }
    return us_cache_errno(cache, errno, "cannot remove", path);
}

static bool add_digest(const char *hex, struct us_digest **digests, size_t *count,
                       size_t *capacity) {
    us_grow(digests, capacity, *count, sizeof **digests);
    return us_digest_parse(hex, &(*digests)[(*count)++]);
}

/* False: it is not a pin, or damaged. */
static bool parse(char *text, size_t size, struct us_pin *pin) {
    size_t start = sizeof first_line - 1, objects = 0, keys = 0;
    struct us_digest wanted, sum;
    if (size < start + LAST_LINE || memcmp(text, first_line, start) != 0 ||
        memcmp(text + size - LAST_LINE, "sum ", 4) != 0 ||
        !us_digest_parse(text + size - LAST_LINE + 4, &wanted)) {
        return false;
    }
    sum = us_digest_of(text, size - LAST_LINE);
    if (!us_digest_equal(&sum, &wanted)) {
        return false;
    }
    text[size - LAST_LINE] = '\0';
    bool fine = true;
    char *rest = NULL;
    for (char *line = strtok_r(text + start, "\n", &rest); line && fine;
         line = strtok_r(NULL, "\n", &rest)) {
        if (us_str_starts(line, "title ") && !pin->title) {
            pin->title = us_strdup(line + 6);
        } else if (us_str_starts(line, "time ")) {
            pin->when = strtoll(line + 5, NULL, 10);
        } else if (us_str_starts(line, "object ")) {
            fine = add_digest(line + 7, &pin->objects, &pin->object_count, &objects);
        } else {
            fine = us_str_starts(line, "record ") &&
                   add_digest(line + 7, &pin->keys, &pin->key_count, &keys);
        }
    }
    return fine;
}

static void finish_pin(struct us_pin *pin) {
    us_free(pin->name);
    us_free(pin->title);
    us_free(pin->objects);
    us_free(pin->keys);
}

static struct us_error *read_pin(struct cache *cache, const char *name, struct us_pin *pin) {
    char path[CACHE_PATH];
    uint8_t *bytes;
    size_t size;
    struct stat info;
    const char *trouble;
    us_cache_room_path(cache, "pins", name, path);
    US_TRY(us_cache_read(cache, path, &bytes, &size, &info, &trouble));
    if (!bytes) {
        return NULL; /* unpinned just now */
    }
    bool fine = !trouble && parse((char *)bytes, size, pin);
    us_free(bytes);
    if (!fine) {
        finish_pin(pin);
        return us_error_hint(us_fail(US_CORRUPT, "the pin '%s' is damaged", path),
                             "pin again with --name %s, or understudy cache unpin %s", name, name);
    }
    pin->name = us_strdup(name);
    return NULL;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct us_pin *)a)->name, ((const struct us_pin *)b)->name);
}

static void weigh(struct cache *cache, struct us_pin *pin) {
    for (size_t i = 0; i < pin->object_count; i++) {
        char path[CACHE_PATH];
        struct stat info;
        us_cache_fan_path(cache, "objects", &pin->objects[i], path);
        if (stat(path, &info) == 0) {
            pin->bytes += (uint64_t)info.st_size;
        } else {
            uint8_t *bytes = NULL;
            size_t size = 0;
            us_error_free(us_cache_read_object(cache, &pin->objects[i], &bytes, &size));
            pin->bytes += size;
            pin->missing += bytes == NULL;
            us_free(bytes);
        }
    }
}

struct us_error *us_cache_pins(struct us_store *store, struct us_pin **pins, size_t *count) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH];
    size_t capacity = 0;
    *pins = NULL;
    *count = 0;
    us_cache_room_path(cache, "pins", "", path);
    DIR *folder = opendir(path);
    if (!folder) {
        return errno == ENOENT ? NULL : us_cache_errno(cache, errno, "cannot read folder", path);
    }
    struct us_error *error = NULL;
    for (struct dirent *entry; !error && (entry = readdir(folder));) {
        struct us_pin pin = {0};
        if (entry->d_name[0] == '.') {
            continue;
        }
        error = read_pin(cache, entry->d_name, &pin);
        if (!error && pin.name) {
            weigh(cache, &pin);
            us_grow(pins, &capacity, *count, sizeof **pins);
            (*pins)[(*count)++] = pin;
        }
    }
    closedir(folder);
    if (error) {
        us_pins_finish(*pins, *count);
        *pins = NULL;
        *count = 0;
    } else if (*count) {
        qsort(*pins, *count, sizeof **pins, by_name);
    }
    return error;
}

void us_pins_finish(struct us_pin *pins, size_t count) {
    for (size_t i = 0; i < count; i++) {
        finish_pin(&pins[i]);
    }
    us_free(pins);
}
