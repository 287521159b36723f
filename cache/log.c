#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"

/* A file a log, beside the index. When it has grown beyond LONGEST, the last US_LOG_KEPT lines
 * stay, under a first line "#NUMBER" with the number of the next one. */
enum { LONGEST = 8 << 20, TRIES = 16 };

static char *log_folder(struct us_store *store) {
    return us_path_join(us_cache_of(store)->index.folder, "logs");
}

static char *log_path(struct us_store *store, const char *name) {
    const struct us_digest digest = us_digest_of(name, strlen(name));
    char hex[US_DIGEST_HEX];
    char *folder = log_folder(store);
    char *path = us_path_join(folder, us_digest_hex(&digest, hex));
    us_free(folder);
    return path;
}

static int open_log(struct us_store *store, const char *path) {
    const int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC;
    int fd = open(path, flags, 0640);
    if (fd < 0 && errno == ENOENT) {
        char *folder = log_folder(store);
        us_error_free(us_make_private_folder(folder));
        us_free(folder);
        fd = open(path, flags, 0640);
    }
    return fd;
}

/* Takes the number of the first line off the beginning. */
static int64_t first_number(const char **text) {
    int64_t first = 1;
    if (**text == '#') {
        first = strtoll(*text + 1, NULL, 10);
        *text += strcspn(*text, "\n");
        *text += **text == '\n';
    }
    return first > 0 && first < INT64_MAX / 2 ? first : 1; /* lines are counted on from it */
}

static void shorten(const char *path) {
    uint8_t *bytes;
    size_t size, dropped = 0;
    struct us_error *error = us_read_file(path, 0, &bytes, &size);
    if (error) {
        us_error_free(error);
        return;
    }
    const char *text = (const char *)bytes, *end = text + size;
    int64_t first = first_number(&text);
    const char *from = end;
    for (size_t lines = 0; from > text && lines < US_LOG_KEPT; lines++) {
        const char *before = memrchr(text, '\n', (size_t)(from - 1 - text));
        from = before ? before + 1 : text;
    }
    for (const char *at = text; at < from; at++) {
        dropped += *at == '\n';
    }
    struct us_str shorter = {0};
    us_str_printf(&shorter, "#%" PRId64 "\n", first + (int64_t)dropped);
    us_str_append_bytes(&shorter, from, (size_t)(end - from));
    us_error_free(us_write_file(path, shorter.data, shorter.length));
    us_str_finish(&shorter);
    us_free(bytes);
}

static void append(int fd, off_t size, const char *line) {
    struct us_str text = {0};
    char last = '\n';
    if (size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n') {
        us_str_append(&text, "\n"); /* what a power failure cut off stays a line of its own */
    }
    us_str_append(&text, line);
    us_str_append(&text, "\n");
    if (write(fd, text.data, text.length) != (ssize_t)text.length) {
        (void)!ftruncate(fd, size);
    }
    us_str_finish(&text);
}

void us_cache_log_add(struct us_store *store, const char *name, const char *line) {
    char *path = log_path(store, name);
    bool done = false;
    for (int i = 0; i < TRIES && !done; i++) {
        const int fd = open_log(store, path);
        struct stat info;
        if (fd < 0) {
            break;
        }
        if (flock(fd, LOCK_EX) != 0 || fstat(fd, &info) != 0) {
            done = true;
        } else if (info.st_nlink > 0 && info.st_size > LONGEST) {
            shorten(path); /* makes a new file, as others see by its links */
        } else if (info.st_nlink > 0) {
            append(fd, info.st_size, line);
            done = true;
        }
        close(fd);
    }
    us_free(path);
}

char *us_cache_log_read(struct us_store *store, const char *name, int64_t *first) {
    char *path = log_path(store, name);
    uint8_t *bytes;
    size_t size;
    *first = 1;
    struct us_error *error = us_read_file(path, 0, &bytes, &size);
    us_free(path);
    if (error) {
        us_error_free(error);
        return NULL;
    }
    const char *text = (const char *)bytes;
    *first = first_number(&text);
    char *lines = us_strdup(text);
    us_free(bytes);
    return lines;
}
