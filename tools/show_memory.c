#include "tools/show_memory.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/str.h"
#include "tools/json_line.h"
#include "tools/show_error.h"

static void place_name(int place, char name[16]) {
    if (place == US_HOST_MEMORY) {
        snprintf(name, 16, "cpu");
    } else {
        snprintf(name, 16, "cuda:%d", place);
    }
}

static bool too_much(const struct us_memory_use *use) {
    return use->available > 0 && use->bytes > use->available;
}

static void show_json(const struct us_memory_use *use) {
    char place[16];
    place_name(use->place, place);
    json_t *line = us_json_begin("memory"), *parts = json_object();
    us_json_text(line, "node", use->node->name);
    us_json_text(line, "place", place);
    us_json_text(line, "note", use->note);
    if (use->bytes > 0) {
        for (size_t i = 0; i < use->part_count; i++) {
            us_json_int(parts, use->parts[i].name, (int64_t)use->parts[i].bytes);
        }
        us_json_int(line, "bytes", (int64_t)use->bytes);
        us_json_int(line, "tasks", (int64_t)use->at_once);
        json_object_set(line, "parts", parts);
    }
    if (use->total > 0) {
        us_json_int(line, "available", (int64_t)use->available);
        us_json_int(line, "total", (int64_t)use->total);
        json_object_set_new(line, "fits", json_boolean(!too_much(use)));
    }
    if (use->maybe) {
        json_object_set_new(line, "maybe", json_true());
    }
    json_decref(parts);
    us_json_end(line);
}

static void append_room(const struct us_memory_use *use, struct us_str *out) {
    if (use->total == 0) {
        return;
    }
    us_str_append(out, " of ");
    us_str_size(out, use->total);
    if (use->available < use->total) {
        us_str_append(out, ", ");
        us_str_size(out, use->available);
        us_str_append(out, use->place == US_HOST_MEMORY ? " allowed" : " free");
    }
}

static void append_parts(const struct us_memory_use *use, struct us_str *out) {
    for (size_t i = 0; i < use->part_count; i++) {
        us_str_printf(out, "%s%s ", i ? ", " : "  ", use->parts[i].name);
        us_str_size(out, use->parts[i].bytes);
    }
    us_str_append(out, "\n");
}

static void show_text(const struct us_memory_use *use) {
    struct us_str text = {0};
    char place[16];
    place_name(use->place, place);
    us_str_append(&text, "memory: ");
    us_plain_text(use->node->name, strlen(use->node->name), &text);
    if (use->bytes == 0) {
        us_str_printf(&text, ": %s\n", use->note ? use->note : "nothing");
    } else {
        us_str_printf(&text, " on %s: ", place);
        us_str_size(&text, use->bytes);
        append_room(use, &text);
        if (use->at_once > 1) {
            us_str_printf(&text, ", %zu tasks at once", use->at_once);
        }
        us_str_printf(&text, "%s%s%s", use->note ? " (" : "", use->note ? use->note : "",
                      use->note ? ")" : "");
        us_str_append(&text, !too_much(use) ? "\n"
                             : use->maybe   ? ": too much, if it runs\n"
                                            : ": too much\n");
        append_parts(use, &text);
    }
    fputs(us_str_text(&text), stdout);
    us_str_finish(&text);
}

struct us_error *us_memory_show(struct us_run *run, enum us_memory_shown shown, bool json) {
    const struct us_memory_use *uses;
    const size_t count = us_run_memory(run, &uses);
    for (size_t i = 0; i < count; i++) {
        if (json) {
            show_json(&uses[i]);
        } else if (shown == US_MEMORY_OF_ALL || !uses[i].node->type->per_frame) {
            show_text(&uses[i]);
        }
    }
    struct us_error *refusal = us_run_refusal(run);
    if (refusal && json) {
        json_t *line = us_json_begin("refused");
        us_json_error(line, refusal);
        us_json_end(line);
    }
    fflush(stdout);
    return refusal;
}
