#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "nodes/learn/checkpoint.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

enum { STALE_SECONDS = 3600, SPARSE = 8 };

char *us_checkpoint_path(const char *folder, uint64_t step, bool final) {
    char name[64];
    snprintf(name, sizeof name, "%s-%010llu.safetensors", final ? "final" : "step",
             (unsigned long long)step);
    return us_path_join(folder, name);
}

/* The step in a name like "step-0000000120.safetensors", and where the name ends; NULL for any
 * other name. */
static const char *parse_name(const char *name, bool final, uint64_t *step) {
    const char *prefix = final ? "final-" : "step-", *suffix = ".safetensors";
    const size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0) {
        return NULL;
    }
    char *end;
    *step = strtoull(name + length, &end, 10);
    const bool whole = end == name + length + 10 && strncmp(end, suffix, strlen(suffix)) == 0;
    return whole ? end + strlen(suffix) : NULL;
}

static int ascending(const void *left, const void *right) {
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void list(const char *folder, bool with_final, uint64_t **steps, size_t *count) {
    DIR *dir = opendir(folder);
    size_t capacity = 0;
    *steps = NULL;
    *count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        uint64_t step;
        const char *end = parse_name(entry->d_name, false, &step);
        if (!end && with_final) {
            end = parse_name(entry->d_name, true, &step);
        }
        if (end && *end == '\0') {
            us_grow(steps, &capacity, *count, sizeof **steps);
            (*steps)[(*count)++] = step;
        }
    }
    if (dir) {
        closedir(dir);
    }
    if (*count > 1) {
        qsort(*steps, *count, sizeof **steps, ascending);
    }
}

void us_checkpoint_list(const char *folder, uint64_t **steps, size_t *count) {
    list(folder, true, steps, count);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (kept == 0 || (*steps)[i] != (*steps)[kept - 1]) {
            (*steps)[kept++] = (*steps)[i];
        }
    }
    *count = kept;
}

static void remove_step(const char *folder, uint64_t step) {
    char *path = us_checkpoint_path(folder, step, false);
    unlink(path);
    us_free(path);
}

void us_checkpoint_thin(const char *folder, uint64_t good, int keep) {
    uint64_t *steps;
    size_t count;
    list(folder, false, &steps, &count);
    while (count > 0 && steps[count - 1] > good) {
        count--;
    }
    const size_t newest = count > (size_t)keep ? count - (size_t)keep : 0;
    uint64_t age = newest < count ? good - steps[newest] + 1 : 1; /* of the last one kept */
    for (size_t i = newest; i-- > 0;) {
        const uint64_t older = good - (i > 0 ? steps[i - 1] : 0) + 1;
        if (older / SPARSE <= age) {
            remove_step(folder, steps[i]);
        } else {
            age = good - steps[i] + 1;
        }
    }
    us_free(steps);
}

void us_checkpoint_remove(const char *folder, uint64_t from, uint64_t to) {
    uint64_t *steps;
    size_t count;
    list(folder, false, &steps, &count);
    for (size_t i = 0; i < count; i++) {
        if (steps[i] >= from && steps[i] <= to) {
            remove_step(folder, steps[i]);
        }
    }
    us_free(steps);
}

void us_checkpoint_tidy(const char *folder) {
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        uint64_t step;
        struct stat info;
        const char *end = parse_name(entry->d_name, false, &step);
        end = end ? end : parse_name(entry->d_name, true, &step);
        char *path = us_path_join(folder, entry->d_name);
        if (end && *end == '.' && stat(path, &info) == 0 &&
            time(NULL) - info.st_mtime > STALE_SECONDS) {
            unlink(path);
        }
        us_free(path);
    }
    if (dir) {
        closedir(dir);
    }
}
