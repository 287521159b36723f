#include "kernels/cuda/conv_cache_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/nn/memory.h"

#define MAGIC "understudy convolution plan 2\n"
enum { MOST_BYTES = 1 << 20, MOST_PATH = 4096, CHECKSUM = 16 };

/* FNV-1a, 64 bits. */
static uint64_t hash(const char *bytes, size_t size) {
    uint64_t value = 14695981039346656037u;
    for (size_t i = 0; i < size; i++) {
        value = (value ^ (uint8_t)bytes[i]) * 1099511628211u;
    }
    return value;
}

void conv_cache_key(char key[CONV_KEY], const struct us_conv_desc *d,
                    const struct conv_place *place) {
    static const char *const ops[] = {"forward", "data-gradient", "weight-gradient"};
    const bool forward = d->op == US_CONV_FORWARD, epilogue = d->op != US_CONV_WEIGHT_GRADIENT;
    snprintf(key, CONV_KEY,
             "%s %s batch %d in %dx%dx%d out %dx%dx%d kernel %dx%d stride %d pad %d,%d,%d,%d bias "
             "%d residual %d slope %a tf32 %d; cudnn %zu, %d multiprocessors, %s, %s",
             ops[d->op], d->type == US_CONV_BF16 ? "bf16" : "f32", d->batch, d->in_height,
             d->in_width, d->in_channels, d->out_height, d->out_width, d->out_channels,
             d->kernel_height, d->kernel_width, d->stride, d->pad_top, d->pad_left, d->pad_bottom,
             d->pad_right, forward && d->bias, epilogue && d->residual,
             epilogue ? (double)d->slope : 1.0, d->type == US_CONV_F32 && d->tf32, place->cudnn,
             place->multiprocessors, place->timed ? "timed" : "untimed", place->gpu);
    for (char *c = key; *c; c++) {
        *c = *c == '\n' ? ' ' : *c;
    }
}

static bool entry_path(char path[MOST_PATH], const char *folder, const char *key) {
    int length =
        snprintf(path, MOST_PATH, "%s/%016" PRIx64 ".plan", folder, hash(key, strlen(key)));
    return length > 0 && length < MOST_PATH;
}

/* The whole file with a 0 behind it (us_nn_free), or NULL. */
static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rbe");
    if (!file) {
        return NULL;
    }
    char *text = us_nn_alloc(MOST_BYTES + 1);
    *size = text ? fread(text, 1, MOST_BYTES, file) : 0;
    fclose(file);
    return text;
}

/* What stands behind `expected` at `text`; NULL when that is not there. */
static const char *behind(const char *text, const char *expected) {
    const size_t length = strlen(expected);
    return text && strncmp(text, expected, length) == 0 ? text + length : NULL;
}

static bool parse(const char *text, size_t size, const char *key, struct conv_choice *choice) {
    char checksum[CHECKSUM + 2];
    const char *at = behind(text, MAGIC);
    if (!at || size < strlen(MAGIC) + CHECKSUM + 1) {
        return false;
    }
    const char *body = at + CHECKSUM + 1;
    snprintf(checksum, sizeof checksum, "%016" PRIx64 "\n",
             hash(body, size - (size_t)(body - text)));
    const char *line = behind(behind(behind(at, checksum), key), "\n");
    int fused, matmul, used = 0;
    if (!line ||
        sscanf(line, "fused %d matmul %d rank %d of %d wrong %d microseconds %f%n", &fused, &matmul,
               &choice->rank, &choice->candidates, &choice->wrong, &choice->microseconds,
               &used) != 6 ||
        line[used] != '\n') {
        return false;
    }
    choice->fused = fused != 0;
    choice->matmul = matmul != 0;
    const char *json = line + used + 1;
    const size_t length = strlen(json);
    choice->json = length == size - (size_t)(json - text) ? us_nn_alloc(length + 1) : NULL;
    return choice->json && memcpy(choice->json, json, length);
}

bool conv_cache_read(const char *folder, const char *key, struct conv_choice *choice) {
    char path[MOST_PATH];
    size_t size;
    *choice = (struct conv_choice){0};
    char *text = entry_path(path, folder, key) ? read_file(path, &size) : NULL;
    const bool found = text && parse(text, size, key, choice);
    us_nn_free(text);
    return found;
}

static bool make_folders(const char *folder) {
    char path[MOST_PATH];
    if (snprintf(path, sizeof path, "%s", folder) >= MOST_PATH) {
        return false;
    }
    for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            return false;
        }
        *slash = '/';
    }
    return mkdir(path, 0777) == 0 || errno == EEXIST;
}

/* False with errno EEXIST when `path` is there and is not to be replaced. */
static bool write_file(const char *path, const char *checksum, const char *body, bool replace) {
    char beside[MOST_PATH + 16];
    snprintf(beside, sizeof beside, "%s.XXXXXX", path);
    int descriptor = mkstemp(beside);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    if (!file) {
        return false;
    }
    bool fine = fchmod(descriptor, 0644) == 0 &&
                fprintf(file, MAGIC "%s\n%s", checksum, body) > 0 && fflush(file) == 0;
    fine = fclose(file) == 0 && fine;
    fine = fine && (replace ? rename(beside, path) : link(beside, path)) == 0;
    const int number = errno;
    if (!fine || !replace) {
        unlink(beside);
    }
    errno = number;
    return fine;
}

void conv_cache_keep(const char *folder, const char *key, const struct conv_choice *choice,
                     struct conv_choice *standing) {
    char path[MOST_PATH], checksum[CHECKSUM + 1];
    const size_t size = strlen(key) + strlen(choice->json) + 256;
    *standing = (struct conv_choice){0};
    char *body = size < MOST_BYTES / 2 ? us_nn_alloc(size) : NULL;
    if (body && make_folders(folder) && entry_path(path, folder, key)) {
        snprintf(body, size, "%s\nfused %d matmul %d rank %d of %d wrong %d microseconds %.3f\n%s",
                 key, choice->fused, choice->matmul, choice->rank, choice->candidates,
                 choice->wrong, (double)choice->microseconds, choice->json);
        snprintf(checksum, sizeof checksum, "%016" PRIx64, hash(body, strlen(body)));
        if (!write_file(path, checksum, body, false) && errno == EEXIST &&
            !conv_cache_read(folder, key, standing)) {
            (void)write_file(path, checksum, body, true);
        }
    }
    us_nn_free(body);
}

void conv_cache_forget(const char *folder, const char *key) {
    char path[MOST_PATH];
    if (entry_path(path, folder, key)) {
        unlink(path);
    }
}
