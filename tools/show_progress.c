#include "tools/show_progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "tools/json_line.h"
#include "tools/show_error.h"
#include "tools/show_internal.h"

enum { ERRORS_SHOWN = 10 }; /* of one node; the others are counted */
static const double between_lines = 10;

double us_progress_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool has_unicode(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && value[0]) {
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
        }
    }
    return false;
}

struct us_progress *us_progress_create(const struct us_graph *graph, bool json) {
    struct us_progress *progress = us_calloc(1, sizeof *progress);
    progress->graph = graph;
    progress->nodes = us_calloc(graph->node_count + 1, sizeof *progress->nodes);
    const char *terminal = getenv("TERM");
    bool live = isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
    progress->way = json ? US_SHOW_JSON : live ? US_SHOW_LIVE : US_SHOW_LINES;
    progress->unicode = has_unicode();
    return progress;
}

void us_progress_destroy(struct us_progress *progress) {
    if (progress) {
        us_str_finish(&progress->above);
        us_free(progress->nodes);
        us_free(progress);
    }
}

void us_rough_time_print(double seconds, struct us_str *out) {
    if (seconds < 120) {
        us_str_printf(out, "%.*f s", seconds < 10, seconds);
    } else {
        us_time_print(seconds, out);
    }
}

void us_estimate_print(const struct us_eta_plan *plan, struct us_str *out) {
    const double seconds = plan->estimate.seconds;
    if (seconds < 0.05) {
        return;
    }
    us_str_append(out, plan->estimate.unknown ? "at least " : "about ");
    us_rough_time_print(seconds, out);
    us_str_printf(out, " on cpu x%d", plan->slots);
    if (plan->devices) {
        us_str_printf(out, " and %d device%s", plan->devices, plan->devices == 1 ? "" : "s");
    }
}

void us_estimate_json(const struct us_eta_plan *plan, json_t *line) {
    if (plan->estimate.seconds > 0) {
        us_json_real(line, "estimate_seconds", plan->estimate.seconds);
        if (plan->estimate.unknown) {
            json_object_set_new(line, "at_least", json_true());
        }
    }
}

static void tell_plan_json(const struct us_eta_plan *plan) {
    json_t *line = us_json_begin("plan");
    us_json_int(line, "to_run", (int64_t)plan->run);
    us_json_int(line, "cached", (int64_t)plan->cached);
    if (plan->maybe) {
        us_json_int(line, "maybe", (int64_t)plan->maybe);
    }
    us_estimate_json(plan, line);
    us_json_end(line);
}

static void tell_plan(struct us_progress *progress, const struct us_eta_plan *plan) {
    if (progress->way == US_SHOW_JSON) {
        tell_plan_json(plan);
    } else if (plan->estimate.seconds >= 1) {
        printf("%zu of %zu tasks to run, ", plan->run, plan->run + plan->cached);
        struct us_str text = {0};
        us_estimate_print(plan, &text);
        puts(us_str_text(&text));
        fflush(stdout);
        us_str_finish(&text);
    }
}

void us_progress_plan(struct us_progress *progress, struct us_eta *eta) {
    const struct us_node *node;
    for (size_t i = 0; (node = us_eta_node(eta, i)); i++) {
        const struct us_eta_node_plan plan = us_eta_node_plan(eta, node);
        struct us_node_view *view = &progress->nodes[node - progress->graph->nodes];
        *view = (struct us_node_view){.node = node, .total = plan.total, .to_run = plan.run};
    }
    progress->eta = eta;
    tell_plan(progress, us_eta_plan(eta));
}

bool us_node_view_finished(const struct us_node_view *view) {
    return view->done + view->cached + view->failed + view->skipped >= view->total;
}

double us_node_view_left(const struct us_node_view *view, double now) {
    if (view->node->type->per_frame) {
        size_t over = view->done + view->failed + view->skipped;
        if (!view->done || over > view->to_run) {
            return -1;
        }
        return (now - view->begun) / (double)view->done * (double)(view->to_run - over);
    }
    double made = view->fraction - view->first;
    return made > 0 ? (now - view->first_when) / made * (1 - view->fraction) : -1;
}

void us_time_print(double seconds, struct us_str *out) {
    long whole = seconds < 3.6e6 ? (long)(seconds + 0.5) : 3600000;
    us_str_printf(out, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
}

void us_node_view_close(const struct us_node_view *view, struct us_str *out) {
    double seconds = view->ended - view->begun;
    us_str_printf(out, "%s: ", view->node->name);
    if (view->node->type->per_frame) {
        us_str_printf(out, "%zu frame%s in %.1f s", view->done, view->done == 1 ? "" : "s",
                      seconds);
        if (seconds > 0 && view->done > 1) {
            us_str_printf(out, " (%.1f f/s)", (double)view->done / seconds);
        }
    } else {
        us_str_printf(out, "%s in %.1f s", view->failed ? "failed" : "done", seconds);
    }
    if (view->failed && view->node->type->per_frame) {
        us_str_printf(out, ", %zu failed", view->failed);
    }
    if (view->status[0]) {
        us_str_append(out, ", ");
        us_plain_text(view->status, strlen(view->status), out);
    }
    us_str_append(out, "\n");
}

static struct us_node_view *count_event(struct us_progress *progress,
                                        const struct us_event *event) {
    struct us_node_view *view =
        event->node ? &progress->nodes[event->node - progress->graph->nodes] : NULL;
    if (view) {
        view->node = event->node;
    } else if (event->kind == US_EVENT_CACHED) {
        progress->cached += event->count;
    }
    if (!view || event->kind == US_EVENT_WARNING) {
        return view;
    }
    bool ended = event->kind == US_EVENT_DONE || event->kind == US_EVENT_FAILED ||
                 event->kind == US_EVENT_CACHED;
    size_t running = ended && view->running > 0;
    view->running += (event->kind == US_EVENT_START) - running;
    progress->running += (event->kind == US_EVENT_START) - running;
    view->done += event->kind == US_EVENT_DONE;
    progress->done += event->kind == US_EVENT_DONE;
    if (event->kind == US_EVENT_CACHED) {
        const size_t count = event->count ? event->count : 1;
        view->cached += count;
        progress->cached += count;
    }
    view->failed += event->kind == US_EVENT_FAILED;
    progress->failed += event->kind == US_EVENT_FAILED;
    view->skipped += event->kind == US_EVENT_SKIPPED;
    progress->skipped += event->kind == US_EVENT_SKIPPED;
    return view;
}

static void note_progress(struct us_node_view *view, const struct us_event *event, double now) {
    if (event->kind == US_EVENT_START && view->begun <= 0) {
        view->begun = now;
    }
    if (event->status && event->kind != US_EVENT_WARNING) {
        snprintf(view->status, sizeof view->status, "%s", event->status);
    }
    if (event->kind == US_EVENT_PROGRESS && event->fraction >= 0) {
        if (view->first_when <= 0) {
            view->first = event->fraction;
            view->first_when = now;
        }
        view->fraction = event->fraction > 1 ? 1 : event->fraction;
    }
    if (us_node_view_finished(view) && view->ended <= 0) {
        view->ended = now;
    }
}

void us_run_left_print(struct us_progress *progress, const char *between, struct us_str *out) {
    bool at_least = true;
    const double left =
        progress->eta ? us_eta_left(progress->eta, us_progress_now(), &at_least) : -1;
    if (left >= 0.5) {
        us_str_printf(out, "%srun ETA %s", between, at_least ? "at least " : "");
        us_time_print(left, out);
    }
}

/* A line that stays: above the live view, or printed. */
static void say(struct us_progress *progress, const char *text) {
    if (progress->way == US_SHOW_LIVE) {
        us_str_append(&progress->above, text);
        return;
    }
    fputs(text, stdout);
    fflush(stdout);
}

static void complain(struct us_progress *progress, const char *text) {
    if (progress->way == US_SHOW_LIVE) {
        us_live_clear(progress);
    }
    fflush(stdout);
    fputs(text, stderr);
}

static void show_trouble(struct us_progress *progress, struct us_node_view *view,
                         const struct us_event *event) {
    struct us_str text = {0};
    if (event->kind == US_EVENT_WARNING && event->status) {
        us_str_printf(&text, "warning: %s%s", event->label ? event->label : "",
                      event->label ? ": " : "");
        us_plain_text(event->status, strlen(event->status), &text);
        us_str_append(&text, "\n");
    } else if (event->kind == US_EVENT_FAILED && view) {
        if (view->errors_shown++ < ERRORS_SHOWN) {
            us_error_text(event->error, &text);
        } else {
            progress->errors_left_out = true;
        }
    }
    if (text.length) {
        complain(progress, us_str_text(&text));
    }
    us_str_finish(&text);
}

static void say_begin(struct us_progress *progress, const struct us_node_view *view,
                      const struct us_event *event) {
    struct us_str text = {0};
    us_str_printf(&text, "%s: ", view->node->name);
    if (view->node->type->per_frame) {
        us_str_printf(&text, "%zu frame%s", view->to_run, view->to_run == 1 ? "" : "s");
    } else {
        us_str_append(&text, "starts");
    }
    if (event->why && event->why[0]) {
        us_str_append(&text, ", because: ");
        us_plain_text(event->why, strlen(event->why), &text);
    }
    us_str_append(&text, "\n");
    say(progress, us_str_text(&text));
    us_str_finish(&text);
}

static void say_progress(struct us_progress *progress, struct us_node_view *view, double now) {
    struct us_str text = {0};
    us_str_printf(&text, "%s: ", view->node->name);
    if (view->node->type->per_frame) {
        us_str_printf(&text, "%zu/%zu frames", view->done + view->failed + view->skipped,
                      view->to_run);
    } else {
        us_str_printf(&text, "%.0f %%", 100 * view->fraction);
    }
    if (view->status[0]) {
        us_str_append(&text, ", ");
        us_plain_text(view->status, strlen(view->status), &text);
    }
    double left = us_node_view_left(view, now);
    if (left >= 0) {
        us_str_append(&text, ", ETA ");
        us_time_print(left, &text);
    }
    us_run_left_print(progress, ", ", &text);
    us_str_append(&text, "\n");
    say(progress, us_str_text(&text));
    us_str_finish(&text);
    view->last_line = now;
}

static void show_lines(struct us_progress *progress, struct us_node_view *view,
                       const struct us_event *event, double now) {
    if (event->kind == US_EVENT_START && view->last_line <= 0) {
        say_begin(progress, view, event);
        view->last_line = now;
    } else if (!us_node_view_finished(view) && view->begun > 0 &&
               now - view->last_line >= between_lines) {
        say_progress(progress, view, now);
    }
}

void us_progress_event(void *context, const struct us_event *event) {
    struct us_progress *progress = context;
    struct us_node_view *view = count_event(progress, event);
    double now = us_progress_now();
    bool was_finished = view && view->ended > 0;
    if (view) {
        note_progress(view, event, now);
    }
    if (progress->way == US_SHOW_JSON) {
        bool at_least = false;
        double left = -1;
        if (event->kind == US_EVENT_PROGRESS) {
            left = us_eta_left(progress->eta, now, &at_least);
        }
        us_json_show(event, left, at_least);
        return;
    }
    show_trouble(progress, view, event);
    if (view && view->ended > 0 && !was_finished && view->begun > 0) {
        struct us_str text = {0};
        us_node_view_close(view, &text);
        say(progress, us_str_text(&text));
        us_str_finish(&text);
    } else if (view && progress->way == US_SHOW_LINES) {
        show_lines(progress, view, event, now);
    }
    if (progress->way == US_SHOW_LIVE) {
        us_live_draw(progress, false);
    }
}

void us_progress_error(struct us_progress *progress, struct us_error *error) {
    struct us_str text = {0};
    us_error_text(error, &text);
    complain(progress, us_str_text(&text));
    us_str_finish(&text);
    us_error_free(error);
}

void us_progress_close(struct us_progress *progress) {
    if (progress->way == US_SHOW_LIVE) {
        us_live_clear(progress);
    }
    const size_t count = progress->errors_left_out ? progress->graph->node_count : 0;
    for (size_t i = 0; i < count && progress->way != US_SHOW_JSON; i++) {
        const struct us_node_view *view = &progress->nodes[i];
        if (view->errors_shown > ERRORS_SHOWN) {
            fprintf(stderr, "%s: %zu more failed\n", view->node->name,
                    view->errors_shown - ERRORS_SHOWN);
        }
    }
}

static void print_summary(const struct us_summary *summary, bool json) {
    if (json) {
        json_t *line = us_json_begin("summary");
        us_json_int(line, "ran", (int64_t)summary->ran);
        us_json_int(line, "cached", (int64_t)summary->cached);
        us_json_int(line, "failed", (int64_t)summary->failed);
        us_json_int(line, "skipped", (int64_t)summary->skipped);
        if (summary->remade) {
            us_json_int(line, "remade", (int64_t)summary->remade);
        }
        us_json_real(line, "seconds", summary->seconds);
        us_json_end(line);
        return;
    }
    printf("ran %zu, cached %zu, failed %zu", summary->ran, summary->cached, summary->failed);
    if (summary->skipped) {
        printf(", skipped %zu", summary->skipped);
    }
    if (summary->remade) {
        printf(", made again %zu that were not stored", summary->remade);
    }
    printf(" in %.1f s\n", summary->seconds);
}

void us_progress_summary(const struct us_progress *progress, const struct us_summary *summary) {
    print_summary(summary, progress->way == US_SHOW_JSON);
}

void us_progress_plan_nothing(size_t tasks, bool json) {
    if (json) {
        tell_plan_json(&(struct us_eta_plan){.cached = tasks});
    }
}

void us_progress_nothing(const struct us_summary *summary, bool json) {
    if (json) {
        json_t *line = us_json_begin("cached");
        us_json_int(line, "count", (int64_t)summary->cached);
        us_json_end(line);
    }
    print_summary(summary, json);
}
