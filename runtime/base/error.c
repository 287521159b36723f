#include "runtime/base/error.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"

static const int statuses[] = {
#define US_CODE(name, status, meaning) status,
#include "runtime/base/error_codes.def"
#undef US_CODE
};

int us_code_status(enum us_code code) {
    return statuses[code];
}

bool us_error_is(const struct us_error *error, enum us_code code) {
    return error && error->code == code;
}

static char *format_text(const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = us_malloc((size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, args);
    return text;
}

static struct us_error *new_error(enum us_code code, const char *c_file, int c_line) {
    struct us_error *error = us_calloc(1, sizeof *error);
    error->code = code;
    error->c_file = c_file;
    error->c_line = c_line;
    return error;
}

struct us_error *us_error_make(enum us_code code, const char *c_file, int c_line,
                               const char *format, ...) {
    struct us_error *error = new_error(code, c_file, c_line);
    va_list args;
    va_start(args, format);
    error->text = format_text(format, args);
    va_end(args);
    return error;
}

static enum us_code code_of_errno(int number) {
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case ESTALE:
    case ETIMEDOUT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return US_RETRY;
    case ENOENT:
    case ENOTDIR:
        return US_MISSING;
    default:
        return US_FAILED;
    }
}

struct us_error *us_error_from_errno(int number, const char *format, ...) {
    struct us_error *error = new_error(code_of_errno(number), __FILE__, __LINE__);
    va_list args;
    va_start(args, format);
    char *doing = format_text(format, args);
    va_end(args);
    const char *reason = strerror(number);
    size_t size = strlen(doing) + strlen(reason) + 3;
    error->text = us_malloc(size);
    snprintf(error->text, size, "%s: %s", doing, reason);
    us_free(doing);
    return error;
}

struct us_error *us_error_wrap(struct us_error *cause, const char *format, ...) {
    if (!cause) {
        return NULL;
    }
    struct us_error *error = new_error(cause->code, cause->c_file, cause->c_line);
    va_list args;
    va_start(args, format);
    error->text = format_text(format, args);
    va_end(args);
    error->cause = cause;
    return error;
}

struct us_error *us_error_hint(struct us_error *error, const char *format, ...) {
    if (!error) {
        return NULL;
    }
    va_list args;
    va_start(args, format);
    us_free(error->hint);
    error->hint = format_text(format, args);
    va_end(args);
    return error;
}

struct us_error *us_error_at(struct us_error *error, struct us_pos pos) {
    if (!error) {
        return NULL;
    }
    us_free((char *)(uintptr_t)error->pos.file);
    error->pos = pos;
    error->pos.file = pos.file ? us_strdup(pos.file) : NULL;
    return error;
}

void us_error_free(struct us_error *error) {
    while (error) {
        struct us_error *cause = error->cause;
        us_free((char *)(uintptr_t)error->pos.file);
        us_free(error->text);
        us_free(error->hint);
        us_free(error);
        error = cause;
    }
}

void us_bug(const char *file, int line, const char *format, ...) {
    fprintf(stderr, "understudy: bug at %s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}
