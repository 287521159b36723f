#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tools/devices.h"
#include "tools/eta.h"
#include "tools/json_line.h"
#include "tools/session.h"
#include "tools/show_error.h"
#include "tools/show_memory.h"
#include "tools/show_progress.h"

/* The tasks of one node. */
struct row {
    const struct us_node *node;
    size_t total, run, maybe;
    const char *why;
    double seconds;
};

static struct us_error *print_json(struct us_run *run, const struct us_eta *eta) {
    size_t count = us_run_plan_count(run), to_run = 0;
    for (size_t i = 0; i < count; i++) {
        struct us_plan_entry entry = us_run_plan_entry(run, i);
        json_t *line = us_json_begin(NULL);
        us_json_text(line, "node", entry.node->name);
        us_json_frame(line, entry.per_frame, entry.frame);
        us_json_text(line, "state", entry.run ? "run" : "cached");
        us_json_text(line, "why", entry.why);
        if (entry.maybe) {
            json_object_set_new(line, "maybe", json_true());
        }
        if (entry.seconds > 0) {
            us_json_real(line, "seconds", entry.seconds);
        }
        us_json_end(line);
        to_run += entry.run;
    }
    struct us_error *refusal = us_memory_show(run, US_MEMORY_OF_ALL, true);
    json_t *line = us_json_begin("summary");
    us_json_int(line, "run", (int64_t)to_run);
    us_json_int(line, "cached", (int64_t)(count - to_run));
    us_estimate_json(us_eta_plan(eta), line);
    us_json_end(line);
    return refusal;
}

static size_t collect(struct us_run *run, const struct us_eta *eta, struct row *rows) {
    size_t count = us_run_plan_count(run), used = 0;
    for (size_t i = 0; i < count; i++) {
        struct us_plan_entry entry = us_run_plan_entry(run, i);
        if (!used || rows[used - 1].node != entry.node) {
            rows[used++] = (struct row){.node = entry.node, .why = ""};
        }
        struct row *row = &rows[used - 1];
        row->total++;
        row->maybe += entry.maybe;
        if (entry.run) {
            row->why = row->run++ ? row->why : entry.why;
            row->seconds = us_eta_node_seconds(eta, entry.node);
        }
    }
    return used;
}

static void print_row(const struct row *row, int width, struct us_str *out) {
    char frames[48] = "1", state[64] = "cached";
    if (row->node->type->per_frame) {
        snprintf(frames, sizeof frames, "%zu frame%s", row->total, row->total == 1 ? "" : "s");
    }
    const char *verb = row->run && row->maybe == row->run ? "may run" : "run";
    if (row->run == row->total) {
        snprintf(state, sizeof state, "%s", verb);
    } else if (row->run) {
        snprintf(state, sizeof state, "%s %zu", verb, row->run);
    }
    us_str_printf(out, "%-*s  %-11s  %-10s", width, row->node->name, frames, state);
    if (row->run) {
        us_str_append(out, "  ");
        us_plain_text(row->why, strlen(row->why), out);
    }
    if (row->seconds >= 0.05) {
        us_str_printf(out, "  ~ %.*f s", row->seconds < 10, row->seconds);
    }
    while (out->length && out->data[out->length - 1] == ' ') {
        out->data[--out->length] = '\0';
    }
    us_str_append(out, "\n");
}

static void print_table(struct us_run *run, const struct us_eta *eta, size_t nodes) {
    struct row *rows = us_calloc(nodes + 1, sizeof *rows);
    size_t count = collect(run, eta, rows), to_run = 0, maybe = 0;
    int width = 4;
    struct us_str text = {0};
    for (size_t i = 0; i < count; i++) {
        int length = (int)strlen(rows[i].node->name);
        width = length > width ? length : width;
    }
    for (size_t i = 0; i < count; i++) {
        print_row(&rows[i], width, &text);
        to_run += rows[i].run;
        maybe += rows[i].maybe;
    }
    us_str_printf(&text, "%zu of %zu tasks to run", to_run, us_run_plan_count(run));
    if (maybe) {
        us_str_printf(&text, " (%zu only if what is above them really changes)", maybe);
    }
    struct us_str estimate = {0};
    us_estimate_print(us_eta_plan(eta), &estimate);
    us_str_append(&text, estimate.length ? ", " : "");
    us_str_append(&text, us_str_text(&estimate));
    us_str_finish(&estimate);
    us_str_append(&text, "\n");
    fputs(us_str_text(&text), stdout);
    us_str_finish(&text);
    us_free(rows);
}

static void print_warning(void *context, const struct us_event *event) {
    (void)context;
    if (event->kind == US_EVENT_WARNING && event->status) {
        fprintf(stderr, "warning: %s\n", event->status);
    }
}

/* Devices are looked for only when they are named, or when a training asks what they have: loading
 * what computes on them takes longer than planning. */
static struct us_error *find_devices(const struct us_session *session, struct us_run *run,
                                     const struct us_arguments *arguments,
                                     struct us_devices *devices) {
    const char *named = arguments->devices;
    if (!us_run_takes_memory(run) && (!named || strcmp(named, "auto") == 0)) {
        return NULL;
    }
    US_TRY(us_devices_choose(named, session->graph, arguments->json, devices));
    us_devices_measure(devices);
    us_run_use_devices(run, devices->ordinals, devices->memory, devices->count);
    return NULL;
}

static struct us_error *plan(struct us_session *session, const struct us_arguments *arguments) {
    struct us_run_options options;
    struct us_devices devices = {0};
    US_TRY(us_session_options(session, arguments, &options));
    options.event = print_warning;
    options.devices_later = true;
    struct us_run *run;
    US_TRY(us_run_create(session->graph, session->store, &options, &run));
    struct us_error *error = find_devices(session, run, arguments, &devices);
    options.device_count = devices.count;
    struct us_eta *eta = us_eta_create(session->graph, session->store, run, &options);
    if (!error && arguments->json) {
        error = print_json(run, eta);
    } else if (!error) {
        print_table(run, eta, session->graph->node_count);
        error = us_memory_show(run, US_MEMORY_OF_ALL, false);
    }
    us_eta_destroy(eta);
    us_run_destroy(run);
    return error;
}

int us_command_plan(const struct us_arguments *arguments) {
    struct us_session session;
    struct us_error *error = us_session_open(arguments, &session);
    error = error ? error : us_session_use_remote(&session, arguments, US_REMOTE_ASK);
    if (!error) {
        error = plan(&session, arguments);
    }
    us_session_finish(&session);
    return error ? us_show_error(error) : 0;
}
