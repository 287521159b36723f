#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "tools/cache_verbs.h"
#include "tools/json_line.h"
#include "tools/session.h"
#include "tools/show_error.h"

static void print_pin(const struct us_pin *pin) {
    struct us_str title = {0}, size = {0}, age = {0};
    us_plain_text(pin->title ? pin->title : "", pin->title ? strlen(pin->title) : 0, &title);
    us_str_size(&size, pin->bytes);
    us_cache_time_text(&age, difftime(time(NULL), pin->when));
    printf("%-20s %7zu objects  %12s  %s ago  %s", pin->name, pin->object_count, us_str_text(&size),
           us_str_text(&age), us_str_text(&title));
    if (pin->missing) {
        printf("  (%llu objects are missing)", (unsigned long long)pin->missing);
    }
    printf("\n");
    us_str_finish(&title);
    us_str_finish(&size);
    us_str_finish(&age);
}

static void json_pin(const struct us_pin *pin) {
    json_t *line = us_json_begin("pin");
    us_json_text(line, "name", pin->name);
    us_json_text(line, "title", pin->title);
    us_json_int(line, "time", pin->when);
    us_json_int(line, "objects", (int64_t)pin->object_count);
    us_json_int(line, "records", (int64_t)pin->key_count);
    us_json_int(line, "bytes", (int64_t)pin->bytes);
    us_json_int(line, "missing", (int64_t)pin->missing);
    us_json_end(line);
}

struct us_error *us_cache_show_pins(struct us_store *store, const char *folder,
                                    const struct us_arguments *arguments, int *status) {
    (void)folder;
    *status = 0;
    struct us_pin *pins;
    size_t count;
    US_TRY(us_cache_pins(store, &pins, &count));
    for (size_t i = 0; i < count; i++) {
        if (arguments->json) {
            json_pin(&pins[i]);
        } else {
            print_pin(&pins[i]);
        }
    }
    if (!count && !arguments->json) {
        printf("no pins\n");
    }
    us_pins_finish(pins, count);
    return NULL;
}

struct us_error *us_cache_remove_pin(struct us_store *store, const char *folder,
                                     const struct us_arguments *arguments, int *status) {
    (void)folder;
    *status = 0;
    US_TRY(us_cache_unpin(store, arguments->words[1]));
    if (!arguments->json) {
        printf("'%s' is no longer pinned\n", arguments->words[1]);
    }
    return NULL;
}

struct gathering {
    struct us_digest *objects, *keys;
    size_t object_count, object_capacity, key_count, key_capacity;
    size_t unknown; /* tasks that have not run */
};

static void add(struct us_digest **digests, size_t *count, size_t *capacity,
                const struct us_digest *digest) {
    us_grow(digests, capacity, *count, sizeof **digests);
    (*digests)[(*count)++] = *digest;
}

/* Results of the nodes in `wanted`; the records of everything they were made from. */
static void gather(struct us_run *run, const struct us_graph *graph, const bool *wanted,
                   struct gathering *gathering) {
    for (size_t i = 0; i < us_run_plan_count(run); i++) {
        struct us_plan_entry entry = us_run_plan_entry(run, i);
        struct us_plan_result result = us_run_plan_result(run, i);
        add(&gathering->keys, &gathering->key_count, &gathering->key_capacity, &result.key);
        if (!wanted[entry.node - graph->nodes] || !result.stored) {
            continue;
        }
        gathering->unknown += entry.run;
        for (size_t k = 0; k < result.count && result.objects && !entry.run; k++) {
            add(&gathering->objects, &gathering->object_count, &gathering->object_capacity,
                &result.objects[k]);
        }
    }
}

/* Nodes without results of their own (they write files, or read them) stand for what they are made
 * from. True when there was one. */
static bool step_up(struct us_run *run, const struct us_graph *graph, bool *wanted) {
    bool stepped = false;
    for (size_t i = us_run_plan_count(run); i-- > 0;) {
        const struct us_node *node = us_run_plan_entry(run, i).node;
        size_t index = (size_t)(node - graph->nodes);
        if (!wanted[index] || us_run_plan_result(run, i).stored) {
            continue;
        }
        wanted[index] = false;
        for (int port = 0; port < us_port_count(node->type->inputs); port++) {
            for (size_t k = 0; k < node->inputs[port].count; k++) {
                wanted[node->inputs[port].links[k].node] = true;
                stepped = true;
            }
        }
    }
    return stepped;
}

static struct us_error *plan_of(struct us_session *session, const struct us_run_options *options,
                                const bool *wanted, struct us_run **run) {
    const struct us_graph *graph = session->graph;
    const char **targets = us_calloc(graph->node_count + 1, sizeof *targets);
    struct us_run_options mine = *options;
    mine.targets = targets;
    mine.target_count = 0;
    for (size_t i = 0; i < graph->node_count; i++) {
        if (wanted[i]) {
            targets[mine.target_count++] = graph->nodes[i].name;
        }
    }
    struct us_error *error = us_run_create(session->graph, session->store, &mine, run);
    us_free(targets);
    return error;
}

static struct us_error *choose_nodes(const struct us_graph *graph,
                                     const struct us_arguments *arguments, bool *wanted) {
    for (size_t i = 2; i < arguments->word_count; i++) {
        const char *name = arguments->words[i];
        bool any = false;
        for (size_t k = 0; k < graph->node_count; k++) {
            const bool is = us_node_is_of(&graph->nodes[k], name);
            wanted[k] |= is;
            any |= is;
        }
        if (!any) {
            const char *near = us_graph_nearest(graph, name);
            return near ? us_fail(US_USAGE, "no node '%s'; did you mean '%s'?", name, near)
                        : us_fail(US_USAGE, "no node '%s' in '%s'", name, graph->path);
        }
    }
    for (size_t i = 0; i < graph->output_count && arguments->word_count == 2; i++) {
        wanted[graph->outputs[i].node] = true;
    }
    return NULL;
}

static struct us_error *gather_all(struct us_session *session, const struct us_run_options *options,
                                   bool *wanted, struct gathering *gathering) {
    for (bool stepped = true; stepped;) {
        struct us_run *run;
        US_TRY(plan_of(session, options, wanted, &run));
        gather(run, session->graph, wanted, gathering);
        stepped = step_up(run, session->graph, wanted);
        if (stepped) {
            gathering->object_count = 0;
            gathering->unknown = 0;
        }
        us_run_destroy(run);
    }
    return NULL;
}

static char *pin_name(const struct us_arguments *arguments) {
    if (arguments->name) {
        return us_strdup(arguments->name);
    }
    const char *file = us_path_name(arguments->words[1]), *dot = strrchr(file, '.');
    char *name = us_strndup(file, dot && dot > file ? (size_t)(dot - file) : strlen(file));
    for (char *at = name; *at; at++) {
        bool fine = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                    (*at >= '0' && *at <= '9') || *at == '.' || *at == '_' || *at == '-';
        if (!fine) {
            *at = '_';
        }
    }
    return name;
}

static char *title_of(const struct us_arguments *arguments) {
    struct us_str title = {0};
    us_str_append(&title, arguments->words[1]);
    for (size_t i = 2; i < arguments->word_count; i++) {
        us_str_printf(&title, " %s", arguments->words[i]);
    }
    return us_str_take(&title);
}

static void say_pinned(const char *name, const struct gathering *gathering, size_t missing,
                       bool json) {
    if (json) {
        json_t *line = us_json_begin("summary");
        us_json_text(line, "name", name);
        us_json_int(line, "objects", (int64_t)gathering->object_count);
        us_json_int(line, "records", (int64_t)gathering->key_count);
        us_json_int(line, "missing", (int64_t)missing);
        us_json_int(line, "unknown", (int64_t)gathering->unknown);
        us_json_end(line);
        return;
    }
    printf("pinned as '%s': %zu objects\n", name, gathering->object_count);
    if (missing) {
        fprintf(stderr,
                "warning: %zu of them are no longer in the cache; run the graph to have "
                "them again\n",
                missing);
    }
    if (gathering->unknown) {
        fprintf(stderr, "warning: %zu tasks have not run yet: run the graph, then pin again\n",
                gathering->unknown);
    }
}

static struct us_error *pin(struct us_session *session, const struct us_arguments *arguments,
                            bool *wanted, struct gathering *gathering) {
    struct us_run_options options;
    US_TRY(choose_nodes(session->graph, arguments, wanted));
    US_TRY(us_session_options(session, arguments, &options));
    options.devices_later = true;
    US_TRY(gather_all(session, &options, wanted, gathering));
    if (!gathering->object_count) {
        struct us_error *error =
            us_fail(US_MISSING, "'%s' has no results to pin", session->graph->path);
        return gathering->unknown
                   ? us_error_hint(error, "understudy run %s", arguments->words[1])
                   : us_error_hint(error, "what it writes is made from files alone: keep those");
    }
    char *name = pin_name(arguments), *title = title_of(arguments);
    const struct us_pin_list list = {.objects = gathering->objects,
                                     .keys = gathering->keys,
                                     .object_count = gathering->object_count,
                                     .key_count = gathering->key_count,
                                     .title = title};
    size_t missing;
    struct us_error *error = us_cache_pin(session->store, name, &list, &missing);
    if (!error) {
        say_pinned(name, gathering, missing, arguments->json);
    }
    us_free(name);
    us_free(title);
    return error;
}

struct us_error *us_cache_add_pin(const struct us_arguments *arguments) {
    struct us_arguments of_graph = *arguments;
    of_graph.words[0] = arguments->words[1];
    struct us_session session;
    struct gathering gathering = {0};
    struct us_error *error = us_session_open(&of_graph, &session);
    if (!error) {
        bool *wanted = us_calloc(session.graph->node_count + 1, sizeof *wanted);
        error = pin(&session, arguments, wanted, &gathering);
        us_free(wanted);
    }
    us_free(gathering.objects);
    us_free(gathering.keys);
    us_session_finish(&session);
    return error;
}
