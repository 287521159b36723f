/* An error is a chain that a fallible function returns; NULL is success.
 *
 * Return it or report it, never both. Each layer adds what it was doing (us_error_wrap), not what
 * it called. Text is one clause, lower case, no full stop, with the offending value quoted and the
 * allowed set given. The head of a chain is the outermost layer; `cause` leads inwards.
 * An error belongs to whoever holds it; us_error_free frees the whole chain. */
#ifndef US_RUNTIME_BASE_ERROR_H
#define US_RUNTIME_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

enum us_code {
#define US_CODE(name, status, meaning) name,
#include "runtime/base/error_codes.def"
#undef US_CODE
};

/* A place in a text file. line and column count from 1; line 0 means "no place". */
struct us_pos {
    const char *file;
    int line, column;
    int length; /* characters to underline; 0 means one */
};

struct us_error {
    enum us_code code;
    struct us_pos pos; /* pos.file is owned by the error */
    char *text;        /* what was being done or what is wrong */
    char *hint;        /* what to do about it, or NULL */
    struct us_error *cause;
    const char *c_file; /* where in our source, for bug reports */
    int c_line;
};

#define US_NODISCARD __attribute__((warn_unused_result))
#define US_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Makes an error: us_fail(US_MISSING, "cannot read '%s'", path). */
#define us_fail(code, ...) us_error_make((code), __FILE__, __LINE__, __VA_ARGS__)

struct us_error *us_error_make(enum us_code code, const char *c_file, int c_line,
                               const char *format, ...) US_PRINTF(4, 5) US_NODISCARD;

/* From errno: code is US_RETRY for a full disk, a quota and for I/O errors, US_MISSING for ENOENT
 * and EACCES on reading, else US_FAILED; the text is "<text>: <strerror>". */
struct us_error *us_error_from_errno(int number, const char *format, ...)
    US_PRINTF(2, 3) US_NODISCARD;

/* Puts a layer around `cause` and returns it; NULL in, NULL out. The code is the cause's. */
struct us_error *us_error_wrap(struct us_error *cause, const char *format, ...)
    US_PRINTF(2, 3) US_NODISCARD;

/* Adds a hint or a place to the head of the chain; returns the error; NULL in, NULL out. */
struct us_error *us_error_hint(struct us_error *error, const char *format, ...)
    US_PRINTF(2, 3) US_NODISCARD;
struct us_error *us_error_at(struct us_error *error, struct us_pos pos) US_NODISCARD;

void us_error_free(struct us_error *error);

/* The exit status a code stands for (error_codes.def). */
int us_code_status(enum us_code code);

/* True when the chain's head carries that code. */
bool us_error_is(const struct us_error *error, enum us_code code);

#define US_TRY(call)                             \
    do {                                         \
        struct us_error *us_try_error_ = (call); \
        if (us_try_error_) {                     \
            return us_try_error_;                \
        }                                        \
    } while (0)

/* Our own fault: prints where and aborts. */
#define US_BUG(...) us_bug(__FILE__, __LINE__, __VA_ARGS__)
void us_bug(const char *file, int line, const char *format, ...) US_PRINTF(3, 4)
    __attribute__((noreturn));

#endif
