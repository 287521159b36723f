#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

static void mark(struct us_run *run, struct task *task) {
    if (!task->needed) {
        task->needed = true;
        run->nodes[task->node].needed++;
    }
}

static void mark_needed(struct us_run *run, struct task *task, void *context) {
    (void)context;
    mark(run, task);
}

/* A range for people: not longer than a line holds. */
static const char *frames_text(struct us_run *run, const struct us_frames *frames) {
    enum { LONGEST = 100 };
    struct us_str text = {0};
    us_frames_print(frames, &text);
    size_t length = text.length;
    while (length > LONGEST && (length > LONGEST + 1 || text.data[length - 1] != ',')) {
        length--;
    }
    const char *kept = us_arena_printf(&run->arena, "%.*s%s", (int)length, us_str_text(&text),
                                       length < text.length ? "..." : "");
    us_str_finish(&text);
    return kept;
}

static struct us_error *no_frames(struct us_run *run, uint32_t index) {
    return us_error_hint(
        us_fail(US_USAGE, "node '%s' has none of the frames asked for, %s: it has %s",
                run->graph->nodes[index].name, frames_text(run, run->options.frames),
                frames_text(run, &run->nodes[index].frames)),
        "ask for some of those, or for no frames and get all");
}

/* `found`: one for each of the frames asked for, set where the node has it. */
static struct us_error *mark_node(struct us_run *run, uint32_t index, bool *found) {
    const struct us_frames *only = run->options.frames;
    const bool some = only && !only->all && run->graph->nodes[index].type->per_frame;
    const struct node_tasks *tasks = &run->nodes[index];
    size_t marked = 0;
    for (uint32_t i = 0; i < tasks->count; i++) {
        struct task *task = &run->tasks[tasks->first + i];
        const struct us_frame any_take = {0, task->frame.number};
        const ptrdiff_t at = some ? us_frames_find(only, any_take) : 0;
        if (at >= 0) {
            mark(run, task);
            task->asked = true;
            marked++;
        }
        if (some && at >= 0) {
            found[at] = true;
        }
    }
    run->frames_mattered |= some;
    return marked ? NULL : no_frames(run, index);
}

/* A node, or all nodes of a template's use. */
static struct us_error *mark_named(struct us_run *run, const char *name, bool *found) {
    const struct us_graph *graph = run->graph;
    struct us_error *error = NULL;
    bool any = false;
    for (uint32_t i = 0; i < graph->node_count && !error; i++) {
        const bool is = us_node_is_of(&graph->nodes[i], name);
        error = is ? mark_node(run, i, found) : NULL;
        any |= is;
    }
    if (any) {
        return error;
    }
    const char *near = us_graph_nearest(graph, name);
    return near ? us_fail(US_USAGE, "no node '%s'; did you mean '%s'?", name, near)
                : us_fail(US_USAGE, "no node '%s'", name);
}

static void note_left_out(struct us_run *run, const bool *found) {
    const struct us_frames *only = run->options.frames;
    struct us_frames rest = {0};
    for (size_t i = 0; only && run->frames_mattered && i < only->count; i++) {
        if (!found[i]) {
            us_frames_add(&rest, only->items[i]);
        }
    }
    if (rest.count) {
        run->left_out = us_arena_printf(
            &run->arena, "%zu of %zu frames asked for are left out, nothing has them: %s",
            rest.count, only->count, frames_text(run, &rest));
    }
    us_frames_finish(&rest);
}

struct us_error *ask_targets(struct us_run *run) {
    const struct us_run_options *options = &run->options;
    bool *found = us_calloc(options->frames ? options->frames->count + 1 : 1, sizeof *found);
    struct us_error *error = NULL;
    for (size_t i = 0; !error && i < options->target_count; i++) {
        error = mark_named(run, options->targets[i], found);
    }
    for (size_t i = 0; !error && !options->targets && i < run->graph->output_count; i++) {
        error = mark_node(run, run->graph->outputs[i].node, found);
    }
    if (!error && !run->left_out) {
        note_left_out(run, found);
    }
    us_free(found);
    return error;
}

/* Marks what a node's tasks read. Where all of them are needed and frames agree, whole nodes. */
static void mark_above(struct us_run *run, uint32_t index) {
    const struct us_node *node = &run->graph->nodes[index];
    const struct node_tasks *tasks = &run->nodes[index];
    if (tasks->needed < tasks->count) {
        for (uint32_t i = 0; i < tasks->count && tasks->needed; i++) {
            if (run->tasks[tasks->first + i].needed) {
                each_input(run, &run->tasks[tasks->first + i], mark_needed, NULL);
            }
        }
        return;
    }
    for (int port = 0; port < us_port_count(node->type->inputs); port++) {
        for (size_t k = 0; k < node->inputs[port].count; k++) {
            const uint32_t above = node->inputs[port].links[k].node;
            const struct node_tasks *read = &run->nodes[above];
            const bool same = read->frames.items == tasks->frames.items || !node->type->per_frame ||
                              !run->graph->nodes[above].type->per_frame ||
                              node->type->inputs[port].reach == US_ALL_FRAMES;
            for (uint32_t i = 0; i < read->count && same && read->needed < read->count; i++) {
                mark(run, &run->tasks[read->first + i]);
            }
            for (uint32_t i = 0; i < tasks->count && !same; i++) {
                each_input(run, &run->tasks[tasks->first + i], mark_needed, NULL);
            }
        }
    }
}

struct us_error *mark_targets(struct us_run *run) {
    US_TRY(ask_targets(run));
    for (uint32_t i = (uint32_t)run->graph->node_count; i-- > 0;) {
        mark_above(run, i);
        run->plan_count += run->nodes[i].needed;
    }
    return NULL;
}
