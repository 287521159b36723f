#include "tools/graph_states.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "runtime/api/runs.h"
#include "runtime/base/mem.h"
#include "runtime/graph/dump.h"
#include "tools/eta.h"
#include "tools/show_error.h"
#include "tools/show_progress.h"
#include "tools/story.h"

enum look { CACHED, RUNS, MAY_RUN, FAILED, NOT_NEEDED, LOOKS };

static const struct us_dot_mark looks[LOOKS] = {
    [CACHED] = {.fill = "#dcefdc", .line = "#4c8f4c", .note = "cached"},
    [RUNS] = {.fill = "#ffe0b0", .line = "#c77700", .note = "runs"},
    [MAY_RUN] = {.fill = "#fff7d6",
                 .line = "#b39b2e",
                 .dashed = true,
                 .note = "runs if what is above it really changes"},
    [FAILED] = {.fill = "#f7cfcb", .line = "#b3261e", .note = "failed in the last run"},
    [NOT_NEEDED] = {.fill = "#f4f4f4", .line = "#b8b8b8", .note = "not needed for the outputs"},
};

struct node_state {
    struct us_eta_node_plan plan;
    bool failed;
    char note[96];
};

static void read_failures(const struct us_graph *graph, struct us_store *store,
                          struct node_state *states) {
    struct us_runs runs;
    char *identity = us_graph_identity(graph->path);
    us_runs_read(store, identity, &runs);
    us_free(identity);
    json_t *last = runs.count ? us_story_parse(runs.texts[runs.count - 1], 0) : NULL, *name;
    size_t i;
    json_array_foreach(json_object_get(last, "failed_nodes"), i, name) {
        const char *text = json_string_value(name);
        const struct us_node *node = text ? us_graph_find(graph, text) : NULL;
        if (node) {
            states[node - graph->nodes].failed = true;
        }
    }
    json_decref(last);
    us_runs_finish(&runs);
}

static enum look look_of(const struct node_state *state) {
    if (!state->plan.total) {
        return NOT_NEEDED;
    }
    if (!state->plan.run) {
        return CACHED;
    }
    return state->failed ? FAILED : state->plan.maybe == state->plan.run ? MAY_RUN : RUNS;
}

static void append_seconds(double seconds, struct us_str *out) {
    if (seconds >= 0.05) {
        us_str_append(out, ", ~ ");
        us_rough_time_print(seconds, out);
    }
}

static void describe(const struct us_node *node, struct node_state *state,
                     struct us_dot_mark *mark) {
    const struct us_eta_node_plan *plan = &state->plan;
    struct us_str note = {0}, tip = {0};
    const char *verb = plan->maybe == plan->run ? "may run" : "runs";
    *mark = looks[look_of(state)];
    if (plan->run && node->type->per_frame) {
        us_str_printf(&note, "%s %zu of %zu", verb, plan->run, plan->total);
    } else if (plan->run) {
        us_str_append(&note, verb);
    } else if (plan->total && node->type->per_frame) {
        us_str_printf(&note, "%zu cached", plan->total);
    } else {
        us_str_append(&note, plan->total ? "cached" : "not needed");
    }
    append_seconds(plan->run ? plan->seconds : 0, &note);
    us_str_printf(&tip, "%s: %s", node->name, us_str_text(&note));
    if (plan->run) {
        us_str_append(&tip, "\n");
        us_plain_text(plan->why, strlen(plan->why), &tip);
    }
    us_str_append(&tip, state->failed ? "\nfailed in the last run" : "");
    snprintf(state->note, sizeof state->note, "%s", us_str_text(&note));
    mark->note = state->note;
    mark->tooltip = us_str_take(&tip);
    us_str_finish(&note);
}

static char *draw(const struct us_graph *graph, const struct us_eta *eta,
                  struct node_state *states) {
    struct us_dot_mark *marks = us_calloc(graph->node_count + 1, sizeof *marks);
    for (size_t i = 0; i < graph->node_count; i++) {
        states[i].plan = us_eta_node_plan(eta, &graph->nodes[i]);
        describe(&graph->nodes[i], &states[i], &marks[i]);
    }
    const struct us_eta_plan *plan = us_eta_plan(eta);
    struct us_str title = {0}, estimate = {0};
    us_str_printf(&title, "%zu of %zu tasks to run", plan->run, plan->run + plan->cached);
    us_estimate_print(plan, &estimate);
    us_str_printf(&title, "%s%s", estimate.length ? ", " : "", us_str_text(&estimate));
    const struct us_dot_legend legend = {us_str_text(&title), looks, LOOKS};
    char *dot = us_graph_dot_marked(graph, marks, &legend);
    for (size_t i = 0; i < graph->node_count; i++) {
        us_free(marks[i].tooltip);
    }
    us_free(marks);
    us_str_finish(&title);
    us_str_finish(&estimate);
    return dot;
}

struct us_error *us_graph_states(struct us_session *session, const struct us_arguments *arguments,
                                 char **dot) {
    struct us_run_options options;
    US_TRY(us_session_options(session, arguments, &options));
    options.devices_later = true;
    struct us_run *run;
    US_TRY(us_run_create(session->graph, session->store, &options, &run));
    struct us_eta *eta = us_eta_create(session->graph, session->store, run, &options);
    struct node_state *states = us_calloc(session->graph->node_count + 1, sizeof *states);
    read_failures(session->graph, session->store, states);
    *dot = draw(session->graph, eta, states);
    us_free(states);
    us_eta_destroy(eta);
    us_run_destroy(run);
    return NULL;
}
