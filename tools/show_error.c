#include "tools/show_error.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tools/json_line.h"

enum { LONGEST_LINE = 1 << 20, SHOWN = 100, SHOWN_BEFORE = 60 };

/* Bytes of the UTF-8 character at `text`; 0 when there is none. */
static size_t character(const char *text, size_t length) {
    const uint8_t *at = (const uint8_t *)text;
    size_t size = at[0] < 0x80                    ? 1
                  : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                  : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                  : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                  : 0;
    if (size > length) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

void us_plain_text(const char *text, size_t length, struct us_str *out) {
    while (length) {
        size_t size = character(text, length);
        uint8_t first = (uint8_t)text[0];
        bool control = size == 1 ? first < 0x20 || first == 0x7f
                                 : size == 2 && first == 0xc2 && (uint8_t)text[1] < 0xa0;
        if (size == 0 || control) {
            us_str_append(out, first == '\t' ? " " : "?");
            size = size ? size : 1;
        } else {
            us_str_append_bytes(out, text, size);
        }
        text += size;
        length -= size;
    }
}

/* Line `number` of a file without its end, us_malloc'ed, or NULL. */
static char *read_line(const char *path, int number, size_t *length) {
    FILE *file = fopen(path, "re");
    if (!file) {
        return NULL;
    }
    struct us_str line = {0};
    int at = 1, c;
    while ((c = getc(file)) != EOF && at <= number && line.length < LONGEST_LINE) {
        if (c == '\n') {
            at++;
        } else if (at == number && c != '\r') {
            char byte = (char)c;
            us_str_append_bytes(&line, &byte, 1);
        }
    }
    fclose(file);
    *length = line.length;
    return us_str_take(&line);
}

/* Moves over `count` characters of a line. */
static size_t skip_characters(const char *line, size_t length, int count) {
    size_t at = 0;
    while (count-- > 0 && at < length) {
        size_t size = character(line + at, length - at);
        at += size ? size : 1;
    }
    return at;
}

static int count_characters(const char *line, size_t length) {
    int count = 0;
    for (size_t at = 0; at < length; count++) {
        size_t size = character(line + at, length - at);
        at += size ? size : 1;
    }
    return count;
}

static void append_source(const struct us_pos *pos, struct us_str *out) {
    size_t length;
    char *line = read_line(pos->file, pos->line, &length);
    if (!line) {
        return;
    }
    int before = pos->column > 0 ? pos->column - 1 : 0;
    int skipped = before > SHOWN_BEFORE + 20 ? before - SHOWN_BEFORE : 0;
    size_t from = skip_characters(line, length, skipped);
    size_t size = skip_characters(line + from, length - from, SHOWN);
    int width = count_characters(line + from, size);
    int underlined = pos->length > 1 ? pos->length : 1;
    if (before - skipped + underlined > width) {
        underlined = width - (before - skipped) > 1 ? width - (before - skipped) : 1;
    }
    us_str_printf(out, "%4d | %s", pos->line, skipped ? "..." : "");
    us_plain_text(line + from, size, out);
    us_str_printf(out, "%s\n     | %*s^", from + size < length ? "..." : "",
                  before - skipped + (skipped ? 3 : 0), "");
    for (int i = 1; i < underlined; i++) {
        us_str_append(out, "~");
    }
    us_str_append(out, "\n");
    us_free(line);
}

void us_error_text(const struct us_error *error, struct us_str *out) {
    for (const struct us_error *at = error; at; at = at->cause) {
        us_str_append(out, at == error ? "" : "  because: ");
        if (at->pos.line > 0 && at->pos.file) {
            us_plain_text(at->pos.file, strlen(at->pos.file), out);
            us_str_printf(out, ":%d:%d: ", at->pos.line, at->pos.column);
        }
        us_str_append(out, at == error ? "error: " : "");
        us_plain_text(at->text, strlen(at->text), out);
        us_str_append(out, "\n");
        if (at->pos.line > 0 && at->pos.file) {
            append_source(&at->pos, out);
        }
    }
    for (const struct us_error *at = error; at; at = at->cause) {
        if (at->hint) {
            us_str_append(out, "  try: ");
            us_plain_text(at->hint, strlen(at->hint), out);
            us_str_append(out, "\n");
        }
    }
}

int us_show_error(struct us_error *error) {
    struct us_str text = {0};
    us_error_text(error, &text);
    fflush(stdout);
    fputs(us_str_text(&text), stderr);
    us_str_finish(&text);
    int status = us_code_status(error->code);
    us_error_free(error);
    return status;
}

void us_warn(const char *text, bool json) {
    if (!text || !text[0]) {
        return;
    }
    if (json) {
        json_t *line = us_json_begin("warning");
        us_json_text(line, "text", text);
        us_json_end(line);
        return;
    }
    struct us_str plain = {0};
    us_plain_text(text, strlen(text), &plain);
    fprintf(stderr, "warning: %s\n", us_str_text(&plain));
    us_str_finish(&plain);
}
