#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/frames.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/watch.h"

enum { MOST_TAKES = 100000 };

/* Where a frame number stands in a pattern; length 0 when nowhere. */
struct slot {
    size_t start, length;
    int width; /* digits, zero-padded */
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_word(char c) {
    return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The slot that starts at text[0]: ####, %04d, %d, $F4 or $F. */
static struct slot slot_at(const char *text) {
    struct slot slot = {.width = 1};
    if (text[0] == '#') {
        slot.length = strspn(text, "#");
        slot.width = slot.length < 32 ? (int)slot.length : 32;
    } else if (text[0] == '%' && text[1] == 'd') {
        slot.length = 2;
    } else if (text[0] == '%' && text[1] == '0' && is_digit(text[2]) && text[3] == 'd') {
        slot.length = 4;
        slot.width = text[2] - '0';
    } else if (text[0] == '$' && text[1] == 'F') {
        bool padded = is_digit(text[2]);
        slot.length = padded ? 3 : 2;
        slot.width = padded ? text[2] - '0' : 1;
        if (is_word(text[slot.length])) {
            slot.length = 0;
        }
    }
    return slot;
}

/* Only the file name is looked at, so that a folder may be called "#3"; the last slot counts. */
static struct slot find_slot(const char *pattern) {
    struct slot found = {0};
    size_t i = (size_t)(us_path_name(pattern) - pattern);
    while (pattern[i]) {
        struct slot slot = slot_at(pattern + i);
        if (slot.length) {
            found = slot;
            found.start = i;
        }
        i += slot.length ? slot.length : 1;
    }
    return found;
}

bool us_pattern_has_frame(const char *pattern) {
    return find_slot(pattern).length > 0;
}

bool us_pattern_has_takes(const char *pattern) {
    return strpbrk(pattern, "*?[") != NULL;
}

char *us_pattern_path(const char *pattern, int32_t number) {
    struct slot slot = find_slot(pattern);
    if (!slot.length) {
        return us_strdup(pattern);
    }
    struct us_str path = {0};
    us_str_append_bytes(&path, pattern, slot.start);
    us_str_printf(&path, "%0*" PRId32, slot.width, number);
    us_str_append(&path, pattern + slot.start + slot.length);
    return us_str_take(&path);
}

/* True when text[0..length) is just what us_pattern_path would write for some number. */
static bool parse_number(const char *text, size_t length, int width, int32_t *number) {
    char copy[40], again[40];
    if (length == 0 || length >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (strspn(copy + (copy[0] == '-'), "0123456789") != length - (copy[0] == '-')) {
        return false;
    }
    errno = 0;
    long value = strtol(copy, NULL, 10);
    if (errno || value > INT32_MAX || value < -INT32_MAX) {
        return false;
    }
    *number = (int32_t)value;
    snprintf(again, sizeof again, "%0*" PRId32, width, *number);
    return strcmp(copy, again) == 0;
}

struct names {
    char **items;
    size_t count, capacity;
};

static void names_add(struct names *names, char *name) {
    us_grow(&names->items, &names->capacity, names->count, sizeof *names->items);
    names->items[names->count++] = name;
}

static void names_finish(struct names *names) {
    for (size_t i = 0; i < names->count; i++) {
        us_free(names->items[i]);
    }
    us_free(names->items);
    *names = (struct names){0};
}

static struct us_error *list_folder(const char *folder, struct names *names) {
    us_watch_note(folder[0] ? folder : ".");
    DIR *dir = opendir(folder[0] ? folder : ".");
    if (!dir) {
        return us_error_from_errno(errno, "cannot read folder '%s'", folder);
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            names_add(names, us_strdup(entry->d_name));
        }
    }
    struct us_error *error =
        errno ? us_error_from_errno(errno, "cannot read folder '%s'", folder) : NULL;
    closedir(dir);
    return error;
}

static bool glob_matches(const char *glob, size_t glob_length, const char *text,
                         size_t text_length) {
    char *g = us_strndup(glob, glob_length), *t = us_strndup(text, text_length);
    bool matches = fnmatch(g, t, FNM_NOESCAPE | FNM_PERIOD) == 0;
    us_free(g);
    us_free(t);
    return matches;
}

/* With the number in name[start..end): the name with the slot in its place, or NULL. */
static char *match_number_at(const char *component, struct slot slot, const char *name,
                             size_t start, size_t end) {
    const char *tail = component + slot.start + slot.length;
    int32_t number;
    if (!parse_number(name + start, end - start, slot.width, &number) ||
        !glob_matches(component, slot.start, name, start) ||
        fnmatch(tail, name + end, FNM_NOESCAPE) != 0) {
        return NULL;
    }
    struct us_str take = {0};
    us_str_append_bytes(&take, name, start);
    us_str_append_bytes(&take, component + slot.start, slot.length);
    us_str_append(&take, name + end);
    return us_str_take(&take);
}

/* The longest number from `start`, whose digits begin at `digits`, that gives a match. */
static char *match_from(const char *component, struct slot slot, const char *name, size_t start,
                        size_t digits) {
    char *take = NULL;
    for (size_t end = digits + strspn(name + digits, "0123456789"); end > start && !take; end--) {
        take = match_number_at(component, slot, name, start, end);
    }
    return take;
}

/* Matches a file name against a component with a slot. The first digits that fit are the number,
 * as many as there are; a minus sign belongs to it only when nothing else fits. */
static char *match_with_slot(const char *component, struct slot slot, const char *name) {
    size_t length = strlen(name);
    for (int sign = 0; sign < 2; sign++) {
        for (size_t i = 0; i < length; i++) {
            if (sign ? name[i] != '-' : !is_digit(name[i])) {
                continue;
            }
            char *take = match_from(component, slot, name, i, i + (size_t)sign);
            if (take) {
                return take;
            }
        }
    }
    return NULL;
}

/* What `name` gives for a component: itself, itself with the slot in place, or NULL. */
static char *match_component(const char *component, struct slot slot, const char *name) {
    if (slot.length) {
        return match_with_slot(component, slot, name);
    }
    return fnmatch(component, name, FNM_NOESCAPE | FNM_PERIOD) == 0 ? us_strdup(name) : NULL;
}

static char *join(const char *folder, const char *name) {
    struct us_str path = {0};
    us_str_printf(&path, "%s%s%s", folder, folder[0] && !us_str_ends(folder, "/") ? "/" : "", name);
    return us_str_take(&path);
}

/* Appends what `component` matches in `folder`. Folders that cannot be read match nothing. */
static void expand(const char *folder, const char *component, bool last, struct names *out) {
    struct slot slot = last ? find_slot(component) : (struct slot){0};
    char *literal = join(folder, component);
    struct stat info;
    us_watch_note(literal);
    if (!us_pattern_has_takes(component) || (!slot.length && stat(literal, &info) == 0)) {
        names_add(out, literal);
        return;
    }
    us_free(literal);
    struct names names = {0};
    us_error_free(list_folder(folder, &names));
    for (size_t i = 0; i < names.count; i++) {
        char *match = match_component(component, slot, names.items[i]);
        if (match) {
            names_add(out, join(folder, match));
            us_free(match);
        }
    }
    names_finish(&names);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(struct names *names) {
    if (names->count < 2) {
        return;
    }
    qsort(names->items, names->count, sizeof *names->items, compare_names);
    size_t kept = 1;
    for (size_t i = 1; i < names->count; i++) {
        if (strcmp(names->items[i], names->items[kept - 1]) == 0) {
            us_free(names->items[i]);
        } else {
            names->items[kept++] = names->items[i];
        }
    }
    names->count = kept;
}

/* Replaces each folder in `found` by what the next component matches in it. */
static struct us_error *step(struct names *found, const char *component, bool last) {
    struct names next = {0};
    for (size_t i = 0; i < found->count; i++) {
        expand(found->items[i], component, last, &next);
    }
    names_finish(found);
    sort_names(&next);
    *found = next;
    return found->count > MOST_TAKES
               ? us_fail(US_USAGE, "'%s' matches more than %d names", component, MOST_TAKES)
               : NULL;
}

struct us_error *us_pattern_takes(const char *pattern, char ***takes, size_t *count) {
    struct names found = {0};
    names_add(&found, us_strdup(pattern[0] == '/' ? "/" : ""));
    struct us_error *error = NULL;
    const char *p = pattern + strspn(pattern, "/");
    if (!us_pattern_has_takes(pattern)) {
        us_free(found.items[0]);
        found.items[0] = us_strdup(pattern);
        p = "";
    }
    while (*p && !error) {
        size_t length = strcspn(p, "/");
        char *component = us_strndup(p, length);
        p += length;
        p += strspn(p, "/");
        error = step(&found, component, *p == '\0');
        us_free(component);
    }
    if (error) {
        names_finish(&found);
        return error;
    }
    *takes = found.items;
    *count = found.count;
    return NULL;
}

static void scan_names(const char *pattern, struct slot slot, const struct names *names,
                       int32_t take, struct us_frames *frames) {
    const char *name = us_path_name(pattern), *tail = pattern + slot.start + slot.length;
    size_t head = slot.start - (size_t)(name - pattern), tail_length = strlen(tail);
    for (size_t i = 0; i < names->count; i++) {
        const char *text = names->items[i];
        size_t length = strlen(text);
        int32_t number;
        if (length > head + tail_length && memcmp(text, name, head) == 0 &&
            strcmp(text + length - tail_length, tail) == 0 &&
            parse_number(text + head, length - head - tail_length, slot.width, &number)) {
            us_grow(&frames->items, &frames->capacity, frames->count, sizeof *frames->items);
            frames->items[frames->count++] = (struct us_frame){.take = take, .number = number};
        }
    }
    us_frames_sort(frames);
}

struct us_error *us_pattern_scan(const char *pattern, int32_t take, struct us_frames *frames) {
    struct slot slot = find_slot(pattern);
    if (!slot.length) {
        us_watch_note(pattern);
        if (access(pattern, F_OK) == 0) {
            us_frames_add(frames, (struct us_frame){.take = take});
        }
        return NULL;
    }
    struct names names = {0};
    char *folder = us_path_folder(pattern);
    struct us_error *error = list_folder(folder, &names);
    us_free(folder);
    if (!error) {
        scan_names(pattern, slot, &names, take, frames);
    }
    names_finish(&names);
    return error;
}
