#include "nodes/learn/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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
    us_free(checkpoint->judges);
    us_free(checkpoint->losses);
    us_free(checkpoint->lines);
    *checkpoint = (struct us_checkpoint){0};
}

enum { COUNTERS = 5, COUNTERS_PLAIN = 2 };

/* A training that never went back has two counters, as before there were more. */
static int64_t counter_count(const struct us_checkpoint *state) {
    return state->returns || state->trouble || state->returned_to ? COUNTERS : COUNTERS_PLAIN;
}

/* The state as arrays; `counters` and `times` are the caller's and must outlive them. */
static struct us_arrays *describe(const struct us_checkpoint *state, int64_t counters[COUNTERS],
                                  double times[2]) {
    struct us_arrays *file = us_arrays_create();
    counters[0] = (int64_t)state->step;
    counters[1] = (int64_t)state->generation;
    counters[2] = (int64_t)state->returns;
    counters[3] = (int64_t)state->trouble;
    counters[4] = (int64_t)state->returned_to;
    times[0] = state->seconds;
    times[1] = state->wait_seconds;
    us_arrays_set_text(file, "format", "understudy-checkpoint-1");
    for (int i = 0; i < US_CHECKPOINT_BUFFERS; i++) {
        if (state->buffers[i]) {
            us_arrays_add(file, buffer_names[i], US_ARRAY_F32, 1,
                          (int64_t[]){(int64_t)state->count}, state->buffers[i]);
        }
    }
    if (state->judges) {
        us_arrays_add(file, "discriminators", US_ARRAY_F32, 1,
                      (int64_t[]){(int64_t)state->judge_count}, state->judges);
    }
    us_arrays_add(file, "losses", US_ARRAY_F32, 1, (int64_t[]){2 * (int64_t)state->step},
                  state->losses);
    us_arrays_add(file, "counters", US_ARRAY_I64, 1, (int64_t[]){counter_count(state)}, counters);
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

/* A rename is on the disk once its folder is. */
static struct us_error *sync_folder(const char *folder) {
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool failed = fd < 0 || (fsync(fd) != 0 && errno != EINVAL && errno != EROFS);
    struct us_error *error =
        failed ? us_error_from_errno(errno, "cannot write the folder '%s'", folder) : NULL;
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

struct us_error *us_checkpoint_write(const char *folder, const struct us_checkpoint *state,
                                     bool final) {
    int64_t counters[COUNTERS];
    double times[2];
    char *temporary = NULL, *path = us_checkpoint_path(folder, state->step, final);
    struct us_arrays *file = describe(state, counters, times);
    add_digest(file);
    struct us_error *error = us_write_begin(path, &temporary);
    if (!error) {
        error = us_write_finish(path, temporary, write_arrays(file, temporary));
    }
    if (!error) {
        error = sync_folder(folder);
    }
    us_arrays_destroy(file);
    us_free(path);
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

static struct us_error *read_counters(const struct us_arrays *file, uint64_t step,
                                      struct us_checkpoint *state) {
    const struct us_array *array;
    int64_t counters[COUNTERS] = {0};
    US_TRY(us_arrays_need(file, "counters", US_ARRAY_I64, 1, (int64_t[]){-1}, &array));
    if (array->shape[0] != COUNTERS && array->shape[0] != COUNTERS_PLAIN) {
        return us_fail(US_CORRUPT, "it has %lld counters", (long long)array->shape[0]);
    }
    memcpy(counters, array->data, array->size);
    for (int i = 0; i < COUNTERS; i++) {
        if (counters[i] < 0 || (i == 0 && counters[i] != (int64_t)step)) {
            return us_fail(US_CORRUPT, "it is of step %lld", (long long)counters[0]);
        }
    }
    state->step = step;
    state->generation = (uint64_t)counters[1];
    state->returns = (uint64_t)counters[2];
    state->trouble = (uint64_t)counters[3];
    state->returned_to = (uint64_t)counters[4];
    return NULL;
}

static struct us_error *read_arrays(const struct us_arrays *file, uint64_t step,
                                    const struct us_checkpoint_shape *shape,
                                    struct us_checkpoint *state) {
    const struct us_array *array;
    double times[2];
    US_TRY(read_counters(file, step, state));
    US_TRY(us_arrays_need(file, "times", US_ARRAY_F64, 1, (int64_t[]){2}, &array));
    memcpy(times, array->data, sizeof times);
    state->seconds = times[0];
    state->wait_seconds = times[1];
    state->count = shape->count;
    state->judge_count = shape->judge_count;
    for (int i = 0; i < shape->buffers; i++) {
        US_TRY(copy_array(file, buffer_names[i], US_ARRAY_F32, (int64_t)shape->count,
                          (void **)&state->buffers[i]));
    }
    if (shape->judge_count > 0) {
        US_TRY(copy_array(file, "discriminators", US_ARRAY_F32, (int64_t)shape->judge_count,
                          (void **)&state->judges));
    }
    US_TRY(copy_array(file, "losses", US_ARRAY_F32, 2 * (int64_t)step, (void **)&state->losses));
    return copy_array(file, "lines", US_ARRAY_U8, -1, (void **)&state->lines);
}

/* A sound file is, header and all, what writing its content gives. */
static struct us_error *check_digest(const struct us_checkpoint *state, const uint8_t *bytes,
                                     size_t size) {
    int64_t counters[COUNTERS];
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

static struct us_error *read_file(const char *path, uint64_t step,
                                  const struct us_checkpoint_shape *shape,
                                  struct us_checkpoint *state) {
    uint8_t *bytes;
    size_t size;
    struct us_arrays *file = NULL;
    US_TRY(us_read_file(path, 0, &bytes, &size));
    struct us_error *error = us_arrays_parse(bytes, size, &file);
    if (!error) {
        error = read_arrays(file, step, shape, state);
    }
    if (!error) {
        error = check_digest(state, bytes, size);
    }
    us_arrays_destroy(file);
    us_free(bytes);
    return us_error_wrap(error, "the checkpoint '%s' cannot be used", us_path_name(path));
}

struct us_error *us_checkpoint_read(const char *folder, uint64_t step,
                                    const struct us_checkpoint_shape *shape,
                                    struct us_checkpoint *checkpoint) {
    struct us_error *error = NULL;
    for (int final = 1; final >= 0; final--) {
        char *path = us_checkpoint_path(folder, step, final);
        if (access(path, F_OK) == 0) {
            us_error_free(error);
            us_checkpoint_finish(checkpoint);
            error = read_file(path, step, shape, checkpoint);
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
