#include "runtime/base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"

void us_str_finish(struct us_str *str) {
    us_free(str->data);
    *str = (struct us_str){0};
}

void us_str_clear(struct us_str *str) {
    str->length = 0;
    if (str->data) {
        str->data[0] = '\0';
    }
}

static void grow(struct us_str *str, size_t capacity) {
    str->data = us_realloc(str->data, capacity);
    str->capacity = capacity;
}

static void reserve(struct us_str *str, size_t extra) {
    size_t wanted = str->length + extra + 1;
    if (wanted <= str->capacity) {
        return;
    }
    size_t capacity = str->capacity ? str->capacity : 64;
    while (capacity < wanted) {
        capacity *= 2;
    }
    grow(str, capacity);
}

void us_str_reserve(struct us_str *str, size_t extra) {
    if (str->length + extra + 1 > str->capacity) {
        grow(str, str->length + extra + 1);
    }
}

void us_str_append_bytes(struct us_str *str, const void *bytes, size_t length) {
    reserve(str, length);
    if (length) {
        memcpy(str->data + str->length, bytes, length);
    }
    str->length += length;
    str->data[str->length] = '\0';
}

void us_str_append(struct us_str *str, const char *text) {
    us_str_append_bytes(str, text, strlen(text));
}

void us_str_printf(struct us_str *str, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    reserve(str, (size_t)length);
    vsnprintf(str->data + str->length, (size_t)length + 1, format, args);
    va_end(args);
    str->length += (size_t)length;
}

void us_str_append_markup(struct us_str *str, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '<':
            us_str_append(str, "&lt;");
            break;
        case '>':
            us_str_append(str, "&gt;");
            break;
        case '&':
            us_str_append(str, "&amp;");
            break;
        case '"':
            us_str_append(str, "&quot;");
            break;
        default:
            us_str_append_bytes(str, text, 1);
        }
    }
}

void us_str_size(struct us_str *str, size_t bytes) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;
    if (bytes < 1024) {
        us_str_printf(str, "%zu bytes", bytes);
        return;
    }
    while (unit < 3 && value >= 1023.95) { /* which would print as 1024.0 */
        value /= 1024;
        unit++;
    }
    us_str_printf(str, "%.1f %s", value, units[unit]);
}

char *us_str_take(struct us_str *str) {
    reserve(str, 0);
    str->data[str->length] = '\0';
    char *data = str->data;
    *str = (struct us_str){0};
    return data;
}

const char *us_str_text(const struct us_str *str) {
    return str->data ? str->data : "";
}

static int min3(int a, int b, int c) {
    int m = a < b ? a : b;
    return m < c ? m : c;
}

int us_str_distance(const char *a, const char *b) {
    enum { LONGEST = 64 };
    int n = (int)strlen(a), m = (int)strlen(b);
    if (n > LONGEST || m > LONGEST) {
        return n > m ? n : m;
    }
    int rows[3][LONGEST + 1];
    int *before = rows[0], *last = rows[1], *row = rows[2];
    for (int j = 0; j <= m; j++) {
        last[j] = j;
        before[j] = j;
    }
    for (int i = 1; i <= n; i++) {
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int cost = a[i - 1] != b[j - 1];
            row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < row[j]) {
                row[j] = before[j - 2] + 1;
            }
        }
        int *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[m];
}

const char *us_str_nearest(const char *text, const char *const *names, size_t count) {
    const char *best = NULL;
    int limit = (int)strlen(text) / 3 + 1, best_distance = limit + 1;
    for (size_t i = 0; i < count; i++) {
        int distance = us_str_distance(text, names[i]);
        if (distance < best_distance) {
            best_distance = distance;
            best = names[i];
        }
    }
    return best;
}

bool us_str_starts(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool us_str_ends(const char *text, const char *suffix) {
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && memcmp(text + n - m, suffix, m) == 0;
}
