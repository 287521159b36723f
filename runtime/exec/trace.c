#include "runtime/api/trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/exec/trace_file.h"

enum { WORKERS = 1, DEVICES = 2, MOST_ROWS = 65, NAME = 40 };
static const int64_t between_counts = 1000000, between_memory = 50000000; /* nanoseconds */

struct row {
    int process;
    char name[NAME]; /* "worker 3", "cuda:1" */
    bool busy;
};

/* A task that has begun. */
struct span {
    const struct us_node *node;
    struct us_frame frame;
    int64_t begin;
    char *label, *why, *device;
    size_t rows[MOST_ROWS];
    size_t row_count;
};

struct us_trace {
    struct us_trace_file file;
    const struct us_graph *graph;
    double begin;
    struct row *rows;
    size_t row_count, row_capacity;
    struct span *spans;
    size_t span_count, span_capacity;
    size_t *cached; /* one a node: found before anything ran */
    bool begun;     /* the first task has */
    int64_t counted, measured;
};

static void append_time(struct us_str *out, const char *name, int64_t nanoseconds) {
    us_str_printf(out, ",\"%s\":%lld.%03d", name, (long long)(nanoseconds / 1000),
                  (int)(nanoseconds % 1000));
}

static struct us_error *name_row(struct us_trace *trace, size_t index) {
    const struct row *row = &trace->rows[index];
    struct us_str *out = trace_file_begin(&trace->file);
    us_str_printf(out,
                  "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%zu,"
                  "\"args\":{\"name\":\"%s\"}}",
                  row->process, index + 1, row->name);
    US_TRY(trace_file_end(&trace->file));
    out = trace_file_begin(&trace->file);
    const char *digits = row->name + strcspn(row->name, "0123456789");
    const char *extra = strchr(row->name, '+');
    us_str_printf(out,
                  "{\"name\":\"thread_sort_index\",\"ph\":\"M\",\"pid\":%d,\"tid\":%zu,"
                  "\"args\":{\"sort_index\":%d}}",
                  row->process, index + 1,
                  (us_str_starts(row->name, "cpu") ? 0 : 10000) +
                      100 * (int)strtol(digits, NULL, 10) +
                      (extra ? (int)strtol(extra, NULL, 10) : 0));
    return trace_file_end(&trace->file);
}

/* The first row of that name, or of that name and a number, that has nothing on it. */
static struct us_error *take_row(struct us_trace *trace, int process, const char *name,
                                 struct span *span) {
    char wanted[NAME];
    for (int depth = 0;; depth++) {
        snprintf(wanted, sizeof wanted, depth ? "%.24s +%d" : "%.24s", name, depth);
        size_t at = 0;
        while (at < trace->row_count &&
               (trace->rows[at].process != process || strcmp(trace->rows[at].name, wanted) != 0)) {
            at++;
        }
        if (at < trace->row_count && trace->rows[at].busy) {
            continue;
        }
        const bool fresh = at == trace->row_count;
        if (fresh) {
            us_grow(&trace->rows, &trace->row_capacity, at, sizeof *trace->rows);
            trace->rows[at] = (struct row){.process = process};
            memcpy(trace->rows[at].name, wanted, sizeof wanted);
            trace->row_count++;
        }
        trace->rows[at].busy = true;
        span->rows[span->row_count++] = at;
        return fresh ? name_row(trace, at) : NULL;
    }
}

static struct us_error *take_devices(struct us_trace *trace, const char *list, struct span *span) {
    while (list && *list && span->row_count < MOST_ROWS) {
        const size_t length = strcspn(list, ",");
        char name[NAME];
        snprintf(name, sizeof name, "%.*s", length < 24 ? (int)length : 24, list);
        US_TRY(take_row(trace, DEVICES, name, span));
        list += length + (list[length] == ',');
    }
    return NULL;
}

static struct us_error *begin_span(struct us_trace *trace, const struct us_event *event,
                                   int64_t now) {
    us_grow(&trace->spans, &trace->span_capacity, trace->span_count, sizeof *trace->spans);
    struct span *span = &trace->spans[trace->span_count++];
    *span = (struct span){.node = event->node, .frame = event->frame, .begin = now};
    span->label = us_strdup(event->label ? event->label : event->node->name);
    span->why = us_strdup(event->why ? event->why : "");
    span->device = us_strdup(event->device ? event->device : "");
    char name[NAME];
    snprintf(name, sizeof name, "worker %d", event->worker > 0 ? event->worker : 0);
    US_TRY(take_row(trace, WORKERS, name, span));
    return take_devices(trace, event->device, span);
}

static void append_args(struct us_str *out, const struct span *span, const char *result,
                        const struct us_event *event) {
    us_str_append(out, ",\"args\":{\"node\":");
    trace_text(out, span->node->name);
    if (span->node->type->per_frame) {
        us_str_printf(out, ",\"frame\":%d", span->frame.number);
        if (span->frame.take) {
            us_str_printf(out, ",\"take\":%d", span->frame.take);
        }
    }
    us_str_printf(out, ",\"result\":\"%s\"", result);
    if (event && event->seconds > 0) {
        us_str_printf(out, ",\"seconds\":%.6f", event->seconds);
    }
    if (span->device[0]) {
        us_str_append(out, ",\"device\":");
        trace_text(out, span->device);
    }
    if (span->why[0]) {
        us_str_append(out, ",\"why\":");
        trace_text(out, span->why);
    }
    if (event && event->status) {
        us_str_append(out, ",\"status\":");
        trace_text(out, event->status);
    }
    us_str_append(out, "}}");
}

static void free_span(struct us_trace *trace, struct span *span) {
    for (size_t i = 0; i < span->row_count; i++) {
        trace->rows[span->rows[i]].busy = false;
    }
    us_free(span->label);
    us_free(span->why);
    us_free(span->device);
}

/* `event` is the one that ended it, or NULL. */
static struct us_error *end_span(struct us_trace *trace, size_t at, const char *result,
                                 const struct us_event *event, int64_t now) {
    struct us_error *error = NULL;
    struct span *span = &trace->spans[at];
    for (size_t i = 0; i < span->row_count && !error; i++) {
        struct us_str *out = trace_file_begin(&trace->file);
        us_str_append(out, "{\"name\":");
        trace_text(out, span->label);
        us_str_append(out, ",\"cat\":");
        trace_text(out, span->node->type->name);
        us_str_printf(out, ",\"ph\":\"X\",\"pid\":%d,\"tid\":%zu",
                      trace->rows[span->rows[i]].process, span->rows[i] + 1);
        append_time(out, "ts", span->begin);
        append_time(out, "dur", now - span->begin);
        append_args(out, span, result, event);
        error = trace_file_end(&trace->file);
    }
    free_span(trace, span);
    *span = trace->spans[--trace->span_count];
    return error;
}

/* Scopes: "p" the process, "t" the row. */
static struct us_error *add_instant(struct us_trace *trace, const char *name, const char *text,
                                    size_t row, int64_t now) {
    struct us_str *out = trace_file_begin(&trace->file);
    us_str_append(out, "{\"name\":");
    trace_text(out, name);
    us_str_printf(out, ",\"ph\":\"i\",\"s\":\"%s\",\"pid\":%d,\"tid\":%zu",
                  row < trace->row_count ? "t" : "p", WORKERS,
                  row < trace->row_count ? row + 1 : 1);
    append_time(out, "ts", now);
    us_str_append(out, ",\"args\":{\"text\":");
    trace_text(out, text ? text : "");
    us_str_append(out, "}}");
    return trace_file_end(&trace->file);
}

static struct us_error *add_count(struct us_trace *trace, const char *name, const char *series,
                                  double value, int64_t now) {
    struct us_str *out = trace_file_begin(&trace->file);
    us_str_printf(out, "{\"name\":\"%s\",\"ph\":\"C\",\"pid\":%d", name, WORKERS);
    append_time(out, "ts", now);
    us_str_printf(out, ",\"args\":{\"%s\":%.6g}}", series, value);
    return trace_file_end(&trace->file);
}

/* Of this process, in MiB; 0: not known. */
static double resident_memory(void) {
    char text[64] = "";
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    const ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    const char *second = size > 0 ? strchr(text, ' ') : NULL;
    return second ? (double)strtol(second, NULL, 10) * (double)sysconf(_SC_PAGESIZE) / 0x1p20 : 0;
}

static struct us_error *count(struct us_trace *trace, int64_t now, bool at_once) {
    if (at_once || now - trace->counted >= between_counts) {
        trace->counted = now;
        US_TRY(add_count(trace, "running tasks", "tasks", (double)trace->span_count, now));
    }
    if (at_once || now - trace->measured >= between_memory) {
        trace->measured = now;
        US_TRY(add_count(trace, "memory of the process", "MiB", resident_memory(), now));
    }
    return NULL;
}

static size_t find_span(const struct us_trace *trace, const struct us_event *event) {
    size_t at = 0;
    while (at < trace->span_count &&
           (trace->spans[at].node != event->node ||
            us_frame_compare(trace->spans[at].frame, event->frame) != 0)) {
        at++;
    }
    return at;
}

/* What is told besides the span; `row` is the one it was on. */
static struct us_error *note_end(struct us_trace *trace, const struct us_event *event, size_t row,
                                 int64_t now) {
    const char *label = event->label ? event->label : "";
    char name[200];
    if (event->kind == US_EVENT_FAILED) {
        snprintf(name, sizeof name, "failed: %.150s", label);
        return add_instant(trace, name, event->error ? event->error->text : "", row, now);
    }
    if (event->kind != US_EVENT_CACHED) {
        return NULL;
    }
    if (!trace->begun || event->count) {
        trace->cached[event->node - trace->graph->nodes] += event->count ? event->count : 1;
        return NULL;
    }
    snprintf(name, sizeof name, "cached: %.150s", label);
    return add_instant(trace, name, "its inputs came out as before", SIZE_MAX, now);
}

static struct us_error *end_task(struct us_trace *trace, const struct us_event *event,
                                 int64_t now) {
    static const char *const results[] = {
        [US_EVENT_DONE] = "ran", [US_EVENT_FAILED] = "failed", [US_EVENT_CACHED] = "cached"};
    const size_t at = find_span(trace, event);
    const bool there = at < trace->span_count;
    const size_t row = there ? trace->spans[at].rows[0] : SIZE_MAX;
    if (there) {
        US_TRY(end_span(trace, at, results[event->kind], event, now));
    }
    US_TRY(note_end(trace, event, row, now));
    return count(trace, now, false);
}

static int64_t time_of(const struct us_trace *trace, double now) {
    const double since = now - trace->begin;
    return since > 0 ? (int64_t)(since * 1e9) : 0;
}

struct us_error *us_trace_event(struct us_trace *trace, const struct us_event *event, double now) {
    const int64_t at = time_of(trace, now);
    if (trace->file.fd < 0) {
        return NULL;
    }
    switch (event->kind) {
    case US_EVENT_START:
        trace->begun = true;
        US_TRY(begin_span(trace, event, at));
        return count(trace, at, false);
    case US_EVENT_DONE:
    case US_EVENT_FAILED:
    case US_EVENT_CACHED:
        return end_task(trace, event, at);
    case US_EVENT_WARNING:
        return add_instant(trace, "warning", event->status, SIZE_MAX, at);
    case US_EVENT_SKIPPED:
    case US_EVENT_PROGRESS:
    case US_EVENT_REMADE: /* within the span of the task that wanted it */
        break;
    }
    return NULL;
}

static struct us_error *name_process(struct us_trace *trace, int process, const char *name) {
    struct us_str *out = trace_file_begin(&trace->file);
    us_str_printf(out,
                  "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":1,"
                  "\"args\":{\"name\":",
                  process);
    trace_text(out, name);
    us_str_append(out, "}}");
    return trace_file_end(&trace->file);
}

struct us_error *us_trace_open(const char *path, const struct us_graph *graph, double begin,
                               struct us_trace **out) {
    struct us_trace *trace = us_calloc(1, sizeof *trace);
    struct us_str head = {0};
    us_str_append(&head, "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"graph\":");
    trace_text(&head, graph->path);
    us_str_append(&head, ",\"version\":\"" UNDERSTUDY_VERSION "\"},\"traceEvents\":[\n");
    struct us_error *error = trace_file_open(&trace->file, path, us_str_text(&head));
    us_str_finish(&head);
    if (error) {
        us_free(trace);
        return error;
    }
    trace->graph = graph;
    trace->begin = begin;
    trace->cached = us_calloc(graph->node_count + 1, sizeof *trace->cached);
    trace->counted = -between_counts;
    trace->measured = -between_memory;
    *out = trace;
    US_TRY(name_process(trace, WORKERS, "workers"));
    return name_process(trace, DEVICES, "devices");
}

static struct us_error *write_cached(struct us_trace *trace, size_t node) {
    char name[200];
    snprintf(name, sizeof name, "cached: %.150s (%zu)", trace->graph->nodes[node].name,
             trace->cached[node]);
    return trace->cached[node] ? add_instant(trace, name, "before anything ran", SIZE_MAX, 0)
                               : NULL;
}

static struct us_error *write_rest(struct us_trace *trace, int64_t now) {
    while (trace->span_count) {
        US_TRY(end_span(trace, trace->span_count - 1, "stopped", NULL, now));
    }
    for (size_t i = 0; i < trace->graph->node_count; i++) {
        US_TRY(write_cached(trace, i));
    }
    return count(trace, now, true);
}

struct us_error *us_trace_close(struct us_trace *trace, double now) {
    if (!trace) {
        return NULL;
    }
    struct us_error *error = trace->file.fd < 0 ? NULL : write_rest(trace, time_of(trace, now));
    struct us_error *closing = trace_file_close(&trace->file);
    if (error) {
        us_error_free(closing);
    }
    for (size_t i = 0; i < trace->span_count; i++) {
        free_span(trace, &trace->spans[i]);
    }
    us_free(trace->spans);
    us_free(trace->rows);
    us_free(trace->cached);
    us_free(trace);
    return error ? error : closing;
}
