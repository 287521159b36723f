#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tools/explain_group.h"
#include "tools/json_line.h"
#include "tools/session.h"
#include "tools/show_error.h"

/* "comp", "comp@1012", "crop@take2:1001-1010". */
struct wanted {
    char *node, *take;       /* us_malloc'ed; take NULL: any */
    struct us_frames frames; /* empty: every frame */
};

static void wanted_finish(struct wanted *wanted) {
    us_free(wanted->node);
    us_free(wanted->take);
    us_frames_finish(&wanted->frames);
}

static struct us_error *parse(const char *text, struct wanted *wanted) {
    const char *at = strrchr(text, '@');
    *wanted = (struct wanted){0};
    wanted->node = us_strndup(text, at ? (size_t)(at - text) : strlen(text));
    if (!at) {
        return NULL;
    }
    const char *colon = strrchr(at, ':'), *frames = colon ? colon + 1 : at + 1;
    wanted->take = colon ? us_strndup(at + 1, (size_t)(colon - at - 1)) : NULL;
    return us_error_wrap(us_frames_parse(frames, &wanted->frames),
                         "'%s' is not NODE@FRAMES, such as comp@1012 or comp@1001-1010", text);
}

/* The take as labels write it, or its number. */
static bool is_take(const struct us_plan_entry *entry, const char *take) {
    const char *at = strrchr(entry->label, '@'), *colon = at ? strrchr(at, ':') : NULL;
    const size_t length = strlen(take);
    char number[16];
    snprintf(number, sizeof number, "%d", entry->frame.take);
    return (colon && (size_t)(colon - at - 1) == length && strncmp(at + 1, take, length) == 0) ||
           strcmp(take, number) == 0;
}

static bool is_wanted(const struct us_plan_entry *entry, const struct wanted *wanted) {
    if (strcmp(entry->node->name, wanted->node) != 0) {
        return false;
    }
    if (!entry->per_frame) {
        return !wanted->frames.count;
    }
    const struct us_frame any_take = {0, entry->frame.number};
    return (!wanted->take || is_take(entry, wanted->take)) &&
           (!wanted->frames.count || us_frames_find(&wanted->frames, any_take) >= 0);
}

/* A template's name is not one of a node, but its nodes' names start with it. */
static struct us_error *check_name(const struct us_graph *graph, const char *name) {
    struct us_str list = {0};
    for (size_t i = 0; i < graph->node_count && !us_graph_find(graph, name); i++) {
        if (us_node_is_of(&graph->nodes[i], name)) {
            us_str_printf(&list, "%s%s", list.length ? ", " : "", graph->nodes[i].name);
        }
    }
    struct us_error *error =
        list.length ? us_fail(US_USAGE, "'%s' is not a node, but a template's use: it has %s", name,
                              us_str_text(&list))
                    : NULL;
    us_str_finish(&list);
    return error;
}

/* Whether the graph's outputs need a node. */
static bool is_needed(const struct us_graph *graph, const char *name) {
    bool *needed = us_calloc(graph->node_count + 1, sizeof *needed);
    for (size_t i = 0; i < graph->output_count; i++) {
        needed[graph->outputs[i].node] = true;
    }
    for (size_t i = graph->node_count; i-- > 0;) {
        const struct us_node *node = &graph->nodes[i];
        for (int p = 0; needed[i] && p < us_port_count(node->type->inputs); p++) {
            for (size_t k = 0; k < node->inputs[p].count; k++) {
                needed[node->inputs[p].links[k].node] = true;
            }
        }
    }
    const struct us_node *node = us_graph_find(graph, name);
    const bool is = node && needed[node - graph->nodes];
    us_free(needed);
    return is;
}

static void print_plain(const char *line, size_t length) {
    struct us_str plain = {0};
    us_plain_text(line, length, &plain);
    puts(us_str_text(&plain));
    us_str_finish(&plain);
}

static json_t *task_json(const struct us_plan_entry *entry, bool needed) {
    json_t *line = us_json_begin(NULL);
    us_json_text(line, "task", entry->label);
    us_json_text(line, "node", entry->node->name);
    us_json_frame(line, entry->per_frame, entry->frame);
    us_json_text(line, "state", us_explain_state(entry));
    if (entry->run) {
        us_json_text(line, "why", entry->why);
    }
    if (entry->seconds > 0) {
        us_json_real(line, "seconds", entry->seconds);
    }
    json_object_set_new(line, "needed", json_boolean(needed));
    return line;
}

static struct us_error *explain_one(struct us_run *run, const struct us_plan_entry *entry,
                                    bool needed, bool json) {
    char *text;
    US_TRY(us_run_explain(run, entry->node->name, entry->frame, &text));
    json_t *lines = json_array();
    for (const char *line = text; *line;) {
        const size_t length = strcspn(line, "\n");
        if (json) {
            struct us_str plain = {0};
            us_plain_text(line, length, &plain);
            json_array_append_new(lines, json_string(us_str_text(&plain)));
            us_str_finish(&plain);
        } else {
            print_plain(line, length);
        }
        line += length + (line[length] == '\n');
    }
    us_free(text);
    if (json) {
        json_t *line = task_json(entry, needed);
        json_object_set(line, "text", lines);
        us_json_end(line);
    }
    json_decref(lines);
    return NULL;
}

static void print_entry(const struct us_plan_entry *entry) {
    struct us_str line = {0};
    us_str_append(&line, entry->label);
    us_explain_verdict(entry, entry->why, &line);
    print_plain(us_str_text(&line), line.length);
    us_str_finish(&line);
}

/* The node has none of what is wanted: says what it has. */
static struct us_error *none(struct us_run *run, const struct wanted *wanted) {
    const struct us_frame frame =
        wanted->frames.count ? wanted->frames.items[0] : (struct us_frame){0, 0};
    char *text;
    if (!wanted->take) {
        US_TRY(us_run_explain(run, wanted->node, frame, &text));
        us_free(text);
    }
    struct us_error *error = wanted->take
                                 ? us_fail(US_USAGE, "node '%s' has no such frames in a take '%s'",
                                           wanted->node, wanted->take)
                                 : us_fail(US_USAGE, "node '%s' has no such frames", wanted->node);
    return us_error_hint(error, "understudy explain GRAPH %s tells all it has", wanted->node);
}

/* As run and plan do for --frames. */
static void warn_of_rest(const struct us_plan_entry *entries, size_t count,
                         const struct wanted *wanted, bool json) {
    struct us_frames there = {0}, rest = {0};
    for (size_t i = 0; i < count; i++) {
        us_frames_add(&there, (struct us_frame){0, entries[i].frame.number});
    }
    for (size_t i = 0; i < wanted->frames.count; i++) {
        if (us_frames_find(&there, wanted->frames.items[i]) < 0) {
            us_frames_add(&rest, wanted->frames.items[i]);
        }
    }
    if (rest.count) {
        struct us_str text = {0};
        us_str_printf(&text, "%zu of %zu frames asked for are left out, '%s' has not: ", rest.count,
                      wanted->frames.count, wanted->node);
        us_frames_print(&rest, &text);
        us_warn(us_str_text(&text), json);
        us_str_finish(&text);
    }
    us_frames_finish(&there);
    us_frames_finish(&rest);
}

static struct us_error *explain_run(struct us_run *run, const struct us_graph *graph,
                                    const struct wanted *wanted, bool json) {
    const size_t all = us_run_plan_count(run);
    struct us_plan_entry *entries = us_calloc(all + 1, sizeof *entries);
    size_t count = 0;
    for (size_t i = 0; i < all; i++) {
        entries[count] = us_run_plan_entry(run, i);
        count += is_wanted(&entries[count], wanted);
    }
    const bool needed = is_needed(graph, wanted->node);
    struct us_error *error = NULL;
    if (count && !needed && !json) {
        printf("%s is not needed for the graph's outputs; were it asked for:\n", wanted->node);
    }
    if (count) {
        warn_of_rest(entries, count, wanted, json);
    }
    if (!count) {
        error = none(run, wanted);
    } else if (count == 1) {
        error = explain_one(run, &entries[0], needed, json);
    } else if (!json && !wanted->frames.count) {
        us_explain_groups(entries, count);
    } else {
        for (size_t i = 0; i < count; i++) {
            if (json) {
                us_json_end(task_json(&entries[i], needed));
            } else {
                print_entry(&entries[i]);
            }
        }
    }
    us_free(entries);
    return error;
}

static struct us_error *explain(struct us_session *session, const struct us_arguments *arguments,
                                const struct wanted *wanted) {
    struct us_run_options options;
    const char *target = wanted->node;
    US_TRY(check_name(session->graph, wanted->node));
    US_TRY(us_session_options(session, arguments, &options));
    options.targets = &target;
    options.target_count = 1;
    struct us_run *run;
    US_TRY(us_run_create(session->graph, session->store, &options, &run));
    struct us_error *error = explain_run(run, session->graph, wanted, arguments->json);
    us_run_destroy(run);
    return error;
}

int us_command_explain(const struct us_arguments *arguments) {
    struct us_session session = {0};
    struct wanted wanted;
    struct us_error *error = parse(arguments->words[1], &wanted);
    error = error ? error : us_session_open(arguments, &session);
    if (!error) {
        error = explain(&session, arguments, &wanted);
    }
    us_session_finish(&session);
    wanted_finish(&wanted);
    return error ? us_show_error(error) : 0;
}
