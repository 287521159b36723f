#include "runtime/exec/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/mem.h"

enum { BUFFER = 1 << 16 };
static const char tail[] = "\n]}\n";
static const char separator[] = ",\n";

/* All of it, or what there was room for: *put. */
static int write_all(int fd, const char *bytes, size_t size, size_t *put) {
    for (*put = 0; *put < size;) {
        const ssize_t some = write(fd, bytes + *put, size - *put);
        if (some < 0 && errno != EINTR) {
            return errno;
        }
        if (some == 0) {
            return ENOSPC;
        }
        *put += some > 0 ? (size_t)some : 0;
    }
    return 0;
}

/* Cuts off what is incomplete, and so much that the end fits in its place. */
static void give_up(struct us_trace_file *file, size_t put) {
    size_t cut = file->safe;
    for (size_t at = put; at > sizeof tail + sizeof separator; at--) {
        const size_t begin = at - sizeof tail - sizeof separator;
        if (memcmp(file->buffer.data + begin, separator, sizeof separator - 1) == 0) {
            cut = file->written + begin;
            break;
        }
    }
    size_t end;
    if (ftruncate(file->fd, (off_t)cut) == 0 && lseek(file->fd, (off_t)cut, SEEK_SET) >= 0) {
        (void)write_all(file->fd, tail, sizeof tail - 1, &end);
    }
    close(file->fd);
    file->fd = -1;
}

static struct us_error *flush(struct us_trace_file *file) {
    size_t put;
    const int failed = write_all(file->fd, us_str_text(&file->buffer), file->buffer.length, &put);
    if (failed) {
        give_up(file, put);
        return us_error_hint(us_error_from_errno(failed, "cannot write the trace '%s'", file->path),
                             "the run goes on without it; what was written until now is in it");
    }
    file->safe = file->last ? file->written + file->last : file->safe;
    file->written += file->buffer.length;
    file->last = 0;
    us_str_clear(&file->buffer);
    return NULL;
}

struct us_error *trace_file_open(struct us_trace_file *file, const char *path, const char *head) {
    *file = (struct us_trace_file){.path = us_strdup(path)};
    file->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file->fd < 0) {
        struct us_error *error = us_error_from_errno(errno, "cannot write the trace '%s'", path);
        us_free(file->path);
        return us_error_hint(error, "name a file in a folder that is there, with --trace");
    }
    us_str_append(&file->buffer, head);
    file->safe = file->buffer.length;
    return NULL;
}

struct us_str *trace_file_begin(struct us_trace_file *file) {
    file->last = file->buffer.length;
    us_str_append(&file->buffer, file->count++ ? separator : "");
    return &file->buffer;
}

struct us_error *trace_file_end(struct us_trace_file *file) {
    if (file->fd < 0) {
        us_str_clear(&file->buffer);
        return NULL;
    }
    return file->buffer.length >= BUFFER ? flush(file) : NULL;
}

struct us_error *trace_file_close(struct us_trace_file *file) {
    struct us_error *error = NULL;
    if (file->fd >= 0) {
        us_str_append(&file->buffer, tail);
        error = flush(file);
    }
    if (file->fd >= 0 && close(file->fd) != 0) {
        error = us_error_from_errno(errno, "cannot write the trace '%s'", file->path);
    }
    us_free(file->path);
    us_str_finish(&file->buffer);
    return error;
}

/* Bytes of the UTF-8 character at `text`, or 0. */
static size_t character(const unsigned char *text) {
    static const struct {
        unsigned char first, last, low, high; /* of the first byte; of the second */
        size_t size;
    } forms[] = {
        {0x00, 0x7f, 0, 0xff, 1},    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    size_t form = 0;
    while (form < sizeof forms / sizeof *forms && text[0] > forms[form].last) {
        form++;
    }
    if (form == sizeof forms / sizeof *forms || text[0] < forms[form].first) {
        return 0;
    }
    if (forms[form].size > 1 && (text[1] < forms[form].low || text[1] > forms[form].high)) {
        return 0;
    }
    for (size_t i = 2; i < forms[form].size; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return forms[form].size;
}

void trace_text(struct us_str *out, const char *text) {
    us_str_append(out, "\"");
    for (const char *plain = text;; text++) {
        const unsigned char c = (unsigned char)*text;
        const size_t size = character((const unsigned char *)text);
        if (c >= 0x20 && c != '"' && c != '\\' && size) {
            text += size - 1;
            continue;
        }
        us_str_append_bytes(out, plain, (size_t)(text - plain));
        plain = text + 1;
        if (!c) {
            break;
        }
        if (!size) {
            us_str_append(out, "?");
        } else if (c < 0x20) {
            us_str_printf(out, "\\u%04x", c);
        } else {
            us_str_printf(out, "\\%c", c);
        }
    }
    us_str_append(out, "\"");
}
