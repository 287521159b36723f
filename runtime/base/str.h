/* A growing byte string, always NUL-terminated once something was appended. Zeroed is empty. */
#ifndef US_RUNTIME_BASE_STR_H
#define US_RUNTIME_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

struct us_str {
    char *data;
    size_t length, capacity;
};

void us_str_finish(struct us_str *str);
void us_str_clear(struct us_str *str);
/* So many bytes are about to come. */
void us_str_reserve(struct us_str *str, size_t extra);
void us_str_append(struct us_str *str, const char *text);
void us_str_append_bytes(struct us_str *str, const void *bytes, size_t length);
void us_str_printf(struct us_str *str, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Bytes for people: "5.5 GiB", "412.0 MiB", "17 bytes". */
void us_str_size(struct us_str *str, size_t bytes);

/* Text within HTML or XML: < > & and " as entities. */
void us_str_append_markup(struct us_str *str, const char *text);

/* Hands the buffer to the caller (us_free) and leaves the string empty; "" when it was empty. */
char *us_str_take(struct us_str *str) __attribute__((returns_nonnull));

/* The text, never NULL. */
const char *us_str_text(const struct us_str *str) __attribute__((returns_nonnull));

/* Edit distance (insert, delete, replace, swap of neighbours), for did-you-mean. */
int us_str_distance(const char *a, const char *b);

/* The nearest of `names` when it is near enough to be a slip of the pen, else NULL. */
const char *us_str_nearest(const char *text, const char *const *names, size_t count);

bool us_str_starts(const char *text, const char *prefix);
bool us_str_ends(const char *text, const char *suffix);

#endif
