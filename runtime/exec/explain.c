#include <string.h>
#include <time.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

/* NULL: there is none, as *error says. */
static struct task *find_task(struct us_run *run, const char *name, struct us_frame frame,
                              struct us_error **error) {
    const struct us_node *node = us_graph_find(run->graph, name);
    if (!node) {
        const char *near = us_graph_nearest(run->graph, name);
        *error = near ? us_fail(US_USAGE, "no node '%s'; did you mean '%s'?", name, near)
                      : us_fail(US_USAGE, "no node '%s'", name);
        return NULL;
    }
    const struct node_tasks *tasks = &run->nodes[node - run->graph->nodes];
    ptrdiff_t at = node->type->per_frame ? us_frames_find(&tasks->frames, frame) : 0;
    if (at < 0) {
        struct us_str text = {0};
        us_frames_print(&tasks->frames, &text);
        *error = us_fail(US_USAGE, "node '%s' has no frame %d; it has %s", name, frame.number,
                         us_str_text(&text));
        us_str_finish(&text);
        return NULL;
    }
    return &run->tasks[tasks->first + (uint32_t)at];
}

static void print_when(struct us_str *out, int64_t when) {
    char text[32] = "";
    time_t seconds = (time_t)when;
    struct tm parts;
    if (localtime_r(&seconds, &parts)) {
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    }
    us_str_append(out, text);
}

static void find_cause(struct us_run *run, struct task *task, void *context) {
    const struct task **cause = context;
    (void)run;
    if (!*cause && task->why) {
        *cause = task;
    }
}

/* A line for the task and for each that made the one below it run. Of a long way up the beginning
 * is shown, and its end: where it all began. */
static void explain_run(struct us_run *run, const struct task *task, struct us_str *out) {
    enum { SHOWN = 40 };
    const struct task *cause;
    for (int depth = 0; task; task = cause, depth++) {
        cause = NULL;
        if (strstr(task->why, "input '")) {
            each_input(run, task, find_cause, &cause);
        }
        if (depth >= SHOWN && cause) {
            continue;
        }
        const int indent = 2 * (depth < SHOWN ? depth : SHOWN);
        if (depth > SHOWN) {
            us_str_printf(out, "%*sand %d more, up to\n", indent, "", depth - SHOWN);
        }
        us_str_printf(out, "%*s%s %s: %s\n", indent, "", task_label(run, task, &run->arena),
                      task->maybe ? "runs if what is above it really changes" : "would run",
                      task->why);
    }
}

static void explain_cached(struct us_run *run, const struct task *task, struct us_str *out) {
    us_str_printf(out, "%s is cached\n", task_label(run, task, &run->arena));
    const struct history history = history_recall(run, task);
    struct us_str fields = {0}, why = {0};
    if (history.when && us_digest_equal(&history.plan_key, &task->plan_key)) {
        us_str_append(out, "  last ran ");
        print_when(out, history.when);
        us_str_printf(out, ", %.2f s", history.seconds);
        if (record_fields(run, &history.plan_key, &fields, &why) && why.length) {
            us_str_printf(out, ", because: %s", us_str_text(&why));
        }
        us_str_append(out, "\n");
    }
    us_str_finish(&fields);
    us_str_finish(&why);
}

static void explain_key(struct us_run *run, const struct task *task, struct us_str *out) {
    struct us_str fields = {0};
    char hex[US_DIGEST_HEX];
    us_str_printf(out, "  plan key %s\n", us_digest_hex(&task->plan_key, hex));
    struct us_error *error = plan_fields(run, task, &fields);
    struct field field;
    size_t at = 0;
    while (!error && next_field(fields.data, fields.length, &at, &field)) {
        us_str_printf(out, "    %.*s = %.*s\n", (int)field.name_size, field.name,
                      (int)field.value_size, field.value);
    }
    us_error_free(error);
    us_str_finish(&fields);
}

struct us_error *us_run_explain(struct us_run *run, const char *node, struct us_frame frame,
                                char **text) {
    struct us_error *error = NULL;
    const struct task *task = find_task(run, node, frame, &error);
    if (!task) {
        return error;
    }
    struct us_str out = {0};
    if (!task->needed) {
        us_str_printf(&out, "%s is not needed for what was asked\n",
                      task_label(run, task, &run->arena));
    } else if (task->run) {
        explain_run(run, task, &out);
    } else {
        explain_cached(run, task, &out);
    }
    if (task->needed) {
        explain_key(run, task, &out);
    }
    *text = us_str_take(&out);
    return NULL;
}
