#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

struct report_params {
    const char *path, *title;
};

enum { IN_METRICS, IN_PICTURES };

static void append_base64(struct us_str *out, const uint8_t *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? bytes[i + 2] : 0;
        char four[4] = {digits[group >> 18], digits[group >> 12 & 63], digits[group >> 6 & 63],
                        digits[group & 63]};
        four[2] = left > 1 ? four[2] : '=';
        four[3] = left > 2 ? four[3] : '=';
        us_str_append_bytes(out, four, 4);
    }
}

/* Rows "a.b.c | value" of a JSON object, nested ones flattened. */
static void append_rows(struct us_str *out, const char *prefix, json_t *object, int depth) {
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        struct us_str full = {0};
        us_str_printf(&full, "%s%s%s", prefix, prefix[0] ? "." : "", name);
        if (json_is_object(value) && depth < 8) {
            append_rows(out, us_str_text(&full), value, depth + 1);
        } else {
            char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
            us_str_append(out, "<tr><th>");
            us_str_append_markup(out, us_str_text(&full));
            us_str_append(out, "</th><td>");
            us_str_append_markup(out, text ? text : "");
            us_str_append(out, "</td></tr>\n");
            free(text);
        }
        us_str_finish(&full);
    }
}

static void append_metrics(struct us_str *out, const struct us_value *value) {
    size_t end = value->size;
    while (end && isspace(value->bytes[end - 1])) {
        end--;
    }
    size_t start = end;
    while (start && value->bytes[start - 1] != '\n') {
        start--;
    }
    json_error_t problem;
    json_t *last = json_loadb((const char *)value->bytes + start, end - start, 0, &problem);
    us_str_append(out, "<table>\n");
    if (json_is_object(last)) {
        append_rows(out, "", last, 0);
    } else {
        us_str_append(out, "<tr><td>the metrics hold no JSON line</td></tr>\n");
    }
    us_str_append(out, "</table>\n");
    json_decref(last);
}

static void append_picture(struct us_str *out, const struct us_value *value, const char *name) {
    static const uint8_t png[4] = {0x89, 'P', 'N', 'G'};
    bool is_png = value->size > 4 && memcmp(value->bytes, png, 4) == 0;
    us_str_printf(out, "<img alt=\"\" src=\"data:image/%s;base64,", is_png ? "png" : "jpeg");
    append_base64(out, value->bytes, value->size);
    us_str_append(out, "\" title=\"");
    us_str_append_markup(out, name);
    us_str_append(out, "\">\n");
}

static struct us_error *append_port(struct us_task *task, int port, struct us_str *out) {
    for (size_t i = 0; i < us_task_input_count(task, port); i++) {
        struct us_value *value;
        US_TRY(us_task_input(task, port, i, &value));
        const char *name = us_task_input_name(task, port, i);
        us_str_append(out, "<h2>");
        us_str_append_markup(out, name);
        us_str_append(out, "</h2>\n");
        if (port == IN_METRICS) {
            append_metrics(out, value);
        } else {
            append_picture(out, value, name);
        }
        us_task_release(task, port, i);
    }
    return NULL;
}

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title>\n<style>"
    "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222;"
    "background:#fafafa}h1,h2{font-weight:600}table{border-collapse:collapse}"
    "th,td{text-align:left;padding:.15em 1em .15em 0;border-bottom:1px solid #ddd;"
    "font-weight:normal}td{font-family:monospace}img{max-width:100%%;border:1px solid #ccc}"
    "</style></head><body>\n<h1>%s</h1>\n";

static struct us_error *report_run(struct us_task *task) {
    const struct report_params *p = us_task_params(task);
    struct us_str title = {0}, out = {0};
    us_str_append_markup(&title, p->title);
    us_str_printf(&out, head, us_str_text(&title), us_str_text(&title));
    struct us_error *error = append_port(task, IN_PICTURES, &out);
    if (!error) {
        error = append_port(task, IN_METRICS, &out);
    }
    us_str_append(&out, "</body></html>\n");
    if (!error) {
        error = us_write_file(us_task_destination(task), out.data, out.length);
    }
    us_str_finish(&title);
    us_str_finish(&out);
    return error ? error : us_task_written(task);
}

static char *report_destination(const void *params, struct us_frame frame) {
    (void)frame;
    return us_strdup(((const struct report_params *)params)->path);
}

static const struct us_port inputs[] = {
    {.name = "metrics",
     .doc = "Metrics of train_swap and compare; the last line of each is shown as a table.",
     .data = US_METRICS,
     .reach = US_ALL_FRAMES,
     .optional = true,
     .list = true},
    {.name = "pictures",
     .doc = "PNG or JPEG files: contact sheets, previews, loss curves.",
     .data = US_FILE,
     .reach = US_ALL_FRAMES,
     .optional = true,
     .list = true},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {.name = "file", .doc = "The written page.", .data = US_FILE}, {.name = NULL}};

#define PARAMS struct report_params
static const struct us_param params[] = {
    {.name = "path",
     .type = US_PARAM_PATH,
     .offset = offsetof(PARAMS, path),
     .unit = "",
     .required = true,
     .role = US_UNKEYED,
     .doc = "The HTML file to write."},
    US_STRING(PARAMS, title, "Understudy report", "Heading of the page."),
    US_PARAMS_END};

const struct us_node_type us_node_report = {
    .name = "report",
    .group = "util",
    .version = 1,
    .summary = "One HTML page of pictures and figures, complete in itself.",
    .doc = "Writes a page that needs no other file and no network: pictures are embedded, metrics "
           "become tables. Inputs stand in the order they are listed, under the names of their "
           "nodes.",
    .example = "report:\n  type: report\n  metrics: [model.metrics, quality]\n"
               "  pictures: [sheet, model.preview, model.curve]\n  path: out/report.html\n",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(struct report_params),
    .keyed_by_names = true,
    .writes = true,
    .destination = report_destination,
    .run = report_run,
};
