#include "tools/json_line.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/str.h"
#include "tools/show_error.h"

json_t *us_json_begin(const char *event) {
    json_t *object = json_object();
    us_json_text(object, "event", event);
    return object;
}

static json_t *text_value(const char *text) {
    json_t *value = json_string(text);
    if (value) {
        return value;
    }
    struct us_str plain = {0};
    us_plain_text(text, strlen(text), &plain);
    value = json_string(us_str_text(&plain));
    us_str_finish(&plain);
    return value ? value : json_string("?");
}

void us_json_text(json_t *object, const char *name, const char *text) {
    if (text) {
        json_object_set_new(object, name, text_value(text));
    }
}

void us_json_int(json_t *object, const char *name, int64_t value) {
    json_object_set_new(object, name, json_integer(value));
}

void us_json_real(json_t *object, const char *name, double value) {
    if (isfinite(value)) {
        json_object_set_new(object, name, json_real(value));
    }
}

void us_json_frame(json_t *object, bool per_frame, struct us_frame frame) {
    json_object_set_new(object, "frame", per_frame ? json_integer(frame.number) : json_null());
    if (per_frame && frame.take) {
        us_json_int(object, "take", frame.take);
    }
}

void us_json_error(json_t *object, const struct us_error *error) {
    json_t *member = json_object();
    us_json_text(member, "text", error->text);
    us_json_int(member, "status", us_code_status(error->code));
    json_t *because = json_array();
    for (const struct us_error *at = error; at; at = at->cause) {
        if (at != error) {
            json_array_append_new(because, text_value(at->text));
        }
        if (at->hint && !json_object_get(member, "hint")) {
            us_json_text(member, "hint", at->hint);
        }
        if (at->pos.line > 0 && !json_object_get(member, "file")) {
            us_json_text(member, "file", at->pos.file);
            us_json_int(member, "line", at->pos.line);
            us_json_int(member, "column", at->pos.column);
        }
    }
    json_object_set_new(member, "because", because);
    json_object_set_new(object, "error", member);
}

void us_json_end(json_t *object) {
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text) {
        puts(text);
        fflush(stdout);
    }
    free(text);
    json_decref(object);
}
