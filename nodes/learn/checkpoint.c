#include "nodes/learn/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nodes/learn/safetensors.h"
#include "runtime/base/hash.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

static const char *const buffer_names[US_CHECKPOINT_BUFFERS] = {"weights", "moment1", "moment2",
                                                                "average"};

void us_checkpoint_finish(struct us_checkpoint *checkpoint) {
    for (int i = 0; i < US_CHECKPOINT_BUFFERS; i++) {
        us_free(checkpoint->buffers[i]);
    }
    us_free(checkpoint->losses);
    us_free(checkpoint->lines);
    *checkpoint = (struct us_checkpoint){0};
}

static char *file_path(const char *folder, uint64_t step, bool final) {
    char name[64];
    snprintf(name, sizeof name, "%s-%010llu.safetensors", final ? "final" : "step",
             (unsigned long long)step);
    return us_path_join(folder, name);
}

/* The state as arrays; `counters` and `times` are the caller's and must outlive them. */
static struct us_arrays *describe(const struct us_checkpoint *state, int64_t counters[2],
                                  double times[2]) {
    struct us_arrays *file = us_arrays_create();
    counters[0] = (int64_t)state->step;
    counters[1] = (int64_t)state->generation;
    times[0] = state->seconds;
    times[1] = state->wait_seconds;
    us_arrays_set_text(file, "format", "understudy-checkpoint-1");
    for (int i = 0; i < US_CHECKPOINT_BUFFERS; i++) {
        if (state->buffers[i]) {
            us_arrays_add(file, buffer_names[i], US_ARRAY_F32, 1,
                          (int64_t[]){(int64_t)state->count}, state->buffers[i]);
        }
    }
    us_arrays_add(file, "losses", US_ARRAY_F32, 1, (int64_t[]){2 * (int64_t)state->step},
                  state->losses);
    us_arrays_add(file, "counters", US_ARRAY_I64, 1, (int64_t[]){2}, counters);
    us_arrays_add(file, "times", US_ARRAY_F64, 1, (int64_t[]){2}, times);
    us_arrays_add(file, "lines", US_ARRAY_U8, 1, (int64_t[]){(int64_t)strlen(state->lines)},
                  state->lines);
    return file;
}

static void add_digest(struct us_arrays *file) {
    char hex[US_DIGEST_HEX];
    struct us_hasher *hasher = us_hasher_create();
    for (size_t i = 0; i < us_arrays_count(file); i++) {
        const struct us_array *array = us_arrays_at(file, i);
        us_hasher_string(hasher, array->name);
        us_hasher_blob(hasher, array->data, array->size);
    }
    struct us_digest digest = us_hasher_finish(hasher);
    us_hasher_destroy(hasher);
    us_arrays_set_text(file, "digest", us_digest_hex(&digest, hex));
}

static struct us_error *put(FILE *out, const void *bytes, size_t size, const char *path) {
    if (fwrite(bytes, 1, size, out) != size) {
        return us_error_from_errno(errno, "cannot write '%s'", path);
    }
    return NULL;
}

static struct us_error *write_arrays(const struct us_arrays *file, const char *path) {
    FILE *out = fopen(path, "wb");
    if (!out) {
        return us_error_from_errno(errno, "cannot write '%s'", path);
    }
    uint8_t *header;
    size_t size;
    us_arrays_header(file, &header, &size);
    struct us_error *error = put(out, header, size, path);
    for (size_t i = 0; i < us_arrays_count(file) && !error; i++) {
        error = put(out, us_arrays_at(file, i)->data, us_arrays_at(file, i)->size, path);
    }
    us_free(header);
    if (fclose(out) != 0 && !error) {
        error = us_error_from_errno(errno, "cannot write '%s'", path);
    }
    return error;
}

/* The step in a name like "step-0000000120.safetensors"; false for any other name. */
static bool parse_name(const char *name, bool final, uint64_t *step) {
    const char *prefix = final ? "final-" : "step-";
    const size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0) {
        return false;
    }
    char *end;
    *step = strtoull(name + length, &end, 10);
    return end == name + length + 10 && strcmp(end, ".safetensors") == 0;
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
        if (parse_name(entry->d_name, false, &step) ||
            (with_final && parse_name(entry->d_name, true, &step))) {
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

/* Keeps the newest two step files; those beyond the one just written are of a longer training that
 * went back, and stay. */
static void remove_older(const char *folder, uint64_t newest) {
    uint64_t *steps;
    size_t count, at = 0;
    list(folder, false, &steps, &count);
    while (at < count && steps[at] < newest) {
        at++;
    }
    for (size_t i = 0; i + 1 < at; i++) {
        char *path = file_path(folder, steps[i], false);
        unlink(path);
        us_free(path);
    }
    us_free(steps);
}

struct us_error *us_checkpoint_write(const char *folder, const struct us_checkpoint *state,
                                     bool final) {
    int64_t counters[2];
    double times[2];
    char *temporary = NULL, *path = file_path(folder, state->step, final);
    struct us_arrays *file = describe(state, counters, times);
    add_digest(file);
    struct us_error *error = us_write_begin(path, &temporary);
    if (!error) {
        error = us_write_finish(path, temporary, write_arrays(file, temporary));
    }
    us_arrays_destroy(file);
    us_free(path);
    if (!error && !final) {
        remove_older(folder, state->step);
    }
    return us_error_wrap(error, "cannot save the training at step %llu",
                         (unsigned long long)state->step);
}

static struct us_error *copy_array(const struct us_arrays *file, const char *name,
                                   enum us_array_type type, int64_t length, void **copy) {
    const struct us_array *array;
    US_TRY(us_arrays_need(file, name, type, 1, &length, &array));
    *copy = us_try_alloc_pixels(array->size + 1);
    if (!*copy) {
        return us_fail(US_RETRY, "no memory for a checkpoint's %zu bytes", array->size);
    }
    memcpy(*copy, array->data, array->size);
    ((char *)*copy)[array->size] = '\0';
    return NULL;
}

static struct us_error *read_arrays(const struct us_arrays *file, uint64_t step, size_t count,
                                    int buffers, struct us_checkpoint *state) {
    const struct us_array *array;
    int64_t counters[2];
    double times[2];
    US_TRY(us_arrays_need(file, "counters", US_ARRAY_I64, 1, (int64_t[]){2}, &array));
    memcpy(counters, array->data, sizeof counters);
    US_TRY(us_arrays_need(file, "times", US_ARRAY_F64, 1, (int64_t[]){2}, &array));
    memcpy(times, array->data, sizeof times);
    if (counters[0] != (int64_t)step || counters[1] < 0) {
        return us_fail(US_CORRUPT, "it is of step %lld", (long long)counters[0]);
    }
    state->step = step;
    state->generation = (uint64_t)counters[1];
    state->seconds = times[0];
    state->wait_seconds = times[1];
    state->count = count;
    for (int i = 0; i < buffers; i++) {
        US_TRY(copy_array(file, buffer_names[i], US_ARRAY_F32, (int64_t)count,
                          (void **)&state->buffers[i]));
    }
    US_TRY(copy_array(file, "losses", US_ARRAY_F32, 2 * counters[0], (void **)&state->losses));
    return copy_array(file, "lines", US_ARRAY_U8, -1, (void **)&state->lines);
}

/* A sound file is, header and all, what writing its content gives. */
static struct us_error *check_digest(const struct us_checkpoint *state, const uint8_t *bytes,
                                     size_t size) {
    int64_t counters[2];
    double times[2];
    uint8_t *header;
    size_t header_size;
    struct us_arrays *file = describe(state, counters, times);
    add_digest(file);
    us_arrays_header(file, &header, &header_size);
    us_arrays_destroy(file);
    const bool same = header_size <= size && memcmp(header, bytes, header_size) == 0;
    us_free(header);
    return same ? NULL : us_fail(US_CORRUPT, "its digest differs from its content");
}

static struct us_error *read_file(const char *path, uint64_t step, size_t count, int buffers,
                                  struct us_checkpoint *state) {
    uint8_t *bytes;
    size_t size;
    struct us_arrays *file = NULL;
    US_TRY(us_read_file(path, 0, &bytes, &size));
    struct us_error *error = us_arrays_parse(bytes, size, &file);
    if (!error) {
        error = read_arrays(file, step, count, buffers, state);
    }
    if (!error) {
        error = check_digest(state, bytes, size);
    }
    us_arrays_destroy(file);
    us_free(bytes);
    return us_error_wrap(error, "the checkpoint '%s' cannot be used", us_path_name(path));
}

struct us_error *us_checkpoint_read(const char *folder, uint64_t step, size_t count, int buffers,
                                    struct us_checkpoint *checkpoint) {
    struct us_error *error = NULL;
    for (int final = 1; final >= 0; final--) {
        char *path = file_path(folder, step, final);
        if (access(path, F_OK) == 0) {
            us_error_free(error);
            us_checkpoint_finish(checkpoint);
            error = read_file(path, step, count, buffers, checkpoint);
            if (!error) {
                us_free(path);
                return NULL;
            }
        }
        us_free(path);
    }
    return error ? error
                 : us_fail(US_MISSING, "there is no checkpoint of step %llu",
                           (unsigned long long)step);
}
