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

static struct us_error *print_json(struct us_run *run, const struct us_eta *eta) {
    size_t count = us_run_plan_count(run), to_run = 0;
    for (size_t i = 0; i < count; i++) {
        struct us_plan_entry entry = us_run_plan_brief(run, i);
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

static void print_row(const struct us_node *node, const struct us_eta_node_plan *plan, int width,
                      struct us_str *out) {
    char frames[48] = "1", state[64] = "cached";
    if (node->type->per_frame) {
        snprintf(frames, sizeof frames, "%zu frame%s", plan->total, plan->total == 1 ? "" : "s");
    }
    const char *verb = plan->run && plan->maybe == plan->run ? "may run" : "run";
    if (plan->run == plan->total) {
        snprintf(state, sizeof state, "%s", verb);
    } else if (plan->run) {
        snprintf(state, sizeof state, "%s %zu", verb, plan->run);
    }
    us_str_printf(out, "%-*s  %-11s  %-10s", width, node->name, frames, state);
    if (plan->run) {
        us_str_append(out, "  ");
        us_plain_text(plan->why, strlen(plan->why), out);
    }
    if (plan->run && plan->seconds >= 0.05) {
        us_str_append(out, "  ~ ");
        us_rough_time_print(plan->seconds, out);
    }
    while (out->length && out->data[out->length - 1] == ' ') {
        out->data[--out->length] = '\0';
    }
    us_str_append(out, "\n");
}

static void print_table(const struct us_graph *graph, const struct us_eta *eta) {
    int width = 4;
    struct us_str text = {0}, estimate = {0};
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct us_eta_node_plan plan = us_eta_node_plan(eta, &graph->nodes[i]);
        const int length = plan.total ? (int)strlen(graph->nodes[i].name) : 0;
        width = length > width ? length : width;
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct us_eta_node_plan plan = us_eta_node_plan(eta, &graph->nodes[i]);
        if (plan.total) {
            print_row(&graph->nodes[i], &plan, width, &text);
        }
    }
    const struct us_eta_plan *all = us_eta_plan(eta);
    us_str_printf(&text, "%zu of %zu tasks to run", all->run, all->run + all->cached);
    if (all->maybe) {
        us_str_printf(&text, " (%zu only if what is above them really changes)", all->maybe);
    }
    us_estimate_print(all, &estimate);
    us_str_append(&text, estimate.length ? ", " : "");
    us_str_append(&text, us_str_text(&estimate));
    us_str_append(&text, "\n");
    fputs(us_str_text(&text), stdout);
    us_str_finish(&text);
    us_str_finish(&estimate);
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
    us_run_use_devices(run, devices->list, devices->count);
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
    us_warn(us_run_left_out(run), arguments->json);
    struct us_eta *eta = us_eta_create(session->graph, session->store, run, &options);
    if (!error && arguments->json) {
        error = print_json(run, eta);
    } else if (!error) {
        print_table(session->graph, eta);
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
