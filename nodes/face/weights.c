#include "nodes/face/weights.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

static const struct {
    const char *file, *sha256;
} known[US_WEIGHTS_COUNT] = {
    [US_WEIGHTS_BLAZEFACE_SHORT] =
        {"blazeface_short_range.tflite",
         "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"},
    [US_WEIGHTS_BLAZEFACE_FULL] =
        {"blazeface_full_range.tflite",
         "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3"},
    [US_WEIGHTS_FACEMESH] = {"facemesh_468.tflite",
                             "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814"},
};

static const char get_hint[] = "run tools/fetch_weights, or name the folder with --models";
static const size_t largest_file = (size_t)256 << 20;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct us_tflite *loaded[US_WEIGHTS_COUNT];

const char *us_weights_file(enum us_weights which) {
    return known[which].file;
}

void us_weights_source(struct us_sources *sources, enum us_weights which) {
    char *path = us_path_join(us_models_folder(), known[which].file);
    us_source_add(sources, "weights", path, get_hint);
    us_free(path);
}

struct us_error *us_weights_check(const char *path, const uint8_t *bytes, size_t size,
                                  const char *wanted) {
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof hash + 1];
    crypto_hash_sha256(hash, bytes, size);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    if (strcmp(hex, wanted) == 0) {
        return NULL;
    }
    return us_error_hint(
        us_fail(US_FAILED, "weights '%s' have SHA-256 %s, wanted %s", path, hex, wanted),
        "remove the file and run tools/fetch_weights");
}

static struct us_error *load_file(const char *path, const char *wanted, struct us_tflite **made) {
    uint8_t *bytes;
    size_t size;
    struct us_error *error = us_read_file(path, largest_file, &bytes, &size);
    if (error) {
        return us_error_hint(us_error_wrap(error, "cannot load the weights '%s'", path), "%s",
                             get_hint);
    }
    error = us_weights_check(path, bytes, size, wanted);
    if (!error) {
        error = us_error_wrap(us_tflite_parse(bytes, size, made), "weights '%s'", path);
    }
    us_free(bytes);
    return error;
}

struct us_error *us_weights_load(enum us_weights which, const struct us_tflite **network) {
    struct us_error *error = NULL;
    pthread_mutex_lock(&lock);
    if (!loaded[which]) {
        char *path = us_path_join(us_models_folder(), known[which].file);
        error = load_file(path, known[which].sha256, &loaded[which]);
        us_free(path);
    }
    *network = loaded[which];
    pthread_mutex_unlock(&lock);
    return error;
}
