#include "tools/story.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/api/runs.h"
#include "runtime/base/mem.h"
#include "tools/json_line.h"
#include "tools/show_error.h"

/* Most that is kept of each; less where it does not fit into an entry. */
enum { NODES = 24, NAMES = 16, TEXT = 120, WHY = 160, FAILURE = 400 };

struct node_story {
    bool told; /* something was */
    size_t ran, cached, failed;
    double seconds;
    char *why; /* of the first that ran */
};

struct us_story {
    const struct us_graph *graph;
    const struct us_arguments *arguments;
    struct node_story *nodes;
    uint32_t *told; /* of which nodes something was told */
    size_t told_count, told_capacity;
    int64_t when;
    double estimate; /* seconds; negative: none */
    char *failed_task, *failure;
};

struct us_story *us_story_create(const struct us_graph *graph,
                                 const struct us_arguments *arguments) {
    struct us_story *story = us_calloc(1, sizeof *story);
    story->graph = graph;
    story->arguments = arguments;
    story->nodes = us_calloc(graph->node_count + 1, sizeof *story->nodes);
    story->when = (int64_t)time(NULL);
    story->estimate = -1;
    return story;
}

void us_story_destroy(struct us_story *story) {
    if (story) {
        for (size_t i = 0; i < story->told_count; i++) {
            us_free(story->nodes[story->told[i]].why);
        }
        us_free(story->nodes);
        us_free(story->told);
        us_free(story->failed_task);
        us_free(story->failure);
        us_free(story);
    }
}

void us_story_plan(struct us_story *story, const struct us_eta_plan *plan, double so_far) {
    const bool known = plan->run && !plan->estimate.unknown;
    story->estimate = known ? so_far + plan->estimate.seconds : -1;
}

/* "what was being done: because of what" */
static char *chain_text(const struct us_error *error) {
    struct us_str text = {0};
    for (const struct us_error *at = error; at; at = at->cause) {
        us_str_printf(&text, "%s%s", at == error ? "" : ": ", at->text);
    }
    return us_str_take(&text);
}

static struct node_story *story_of(struct us_story *story, const struct us_node *node) {
    const size_t index = (size_t)(node - story->graph->nodes);
    if (!story->nodes[index].told) {
        story->nodes[index].told = true;
        us_grow(&story->told, &story->told_capacity, story->told_count, sizeof *story->told);
        story->told[story->told_count++] = (uint32_t)index;
    }
    return &story->nodes[index];
}

void us_story_event(struct us_story *story, const struct us_event *event) {
    if (!event->node) {
        return;
    }
    struct node_story *node = story_of(story, event->node);
    if (event->kind == US_EVENT_START && !node->why && event->why) {
        node->why = us_strdup(event->why);
    } else if (event->kind == US_EVENT_DONE) {
        node->ran++;
        node->seconds += event->seconds;
    } else if (event->kind == US_EVENT_CACHED) {
        node->cached += event->count ? event->count : 1;
    } else if (event->kind == US_EVENT_FAILED) {
        node->failed++;
        if (!story->failure) {
            story->failed_task = us_strdup(event->label);
            story->failure = chain_text(event->error);
        }
    }
}

/* The beginning of a text, without part of a character at its end. */
static void set_cut(json_t *object, const char *name, const char *text, size_t most) {
    if (!text || !text[0]) {
        return;
    }
    size_t length = strlen(text);
    struct us_str cut = {0};
    if (length > most) {
        for (length = most; length && (text[length] & 0xc0) == 0x80; length--) {
        }
    }
    us_plain_text(text, length, &cut);
    us_str_append(&cut, text[length] ? "…" : "");
    us_json_text(object, name, us_str_text(&cut));
    us_str_finish(&cut);
}

/* A farm's jobs may have no $USER, and a container's user no name. */
static void user_name(char *text, size_t size) {
    char bytes[4096];
    struct passwd entry, *found = NULL;
    const char *user = getenv("USER");
    user = user && user[0] ? user : getenv("LOGNAME");
    if (user && user[0]) {
        snprintf(text, size, "%s", user);
    } else if (getpwuid_r(getuid(), &entry, bytes, sizeof bytes, &found) == 0 && found &&
               found->pw_name[0]) {
        snprintf(text, size, "%s", found->pw_name);
    } else {
        snprintf(text, size, "uid %u", (unsigned)getuid());
    }
}

static void add_user(json_t *object) {
    char user[201], host[256] = "?", text[512];
    user_name(user, sizeof user);
    gethostname(host, sizeof host - 1);
    snprintf(text, sizeof text, "%s@%s", user, host);
    set_cut(object, "by", text, TEXT);
}

static void add_asked(json_t *object, const struct us_arguments *arguments, size_t most) {
    json_t *parameters = json_object(), *only = json_array();
    for (size_t i = 0; i < arguments->setting_count && i < most; i++) {
        set_cut(parameters, arguments->settings[i].name, arguments->settings[i].value, TEXT);
    }
    for (size_t i = 0; i < arguments->only_count && i < most; i++) {
        json_array_append_new(only, json_string(arguments->only[i]));
    }
    if (json_object_size(parameters)) {
        json_object_set(object, "parameters", parameters);
    }
    if (json_array_size(only)) {
        json_object_set(object, "only", only);
    }
    json_decref(parameters);
    json_decref(only);
    set_cut(object, "frames", arguments->frames, TEXT);
}

static void add_nodes(json_t *object, const struct us_story *story, size_t most) {
    json_t *nodes = json_array(), *failed = json_array();
    size_t left_out = 0;
    for (size_t i = 0; i < story->told_count; i++) {
        const struct node_story *of = &story->nodes[story->told[i]];
        const char *name = story->graph->nodes[story->told[i]].name;
        if (of->failed && json_array_size(failed) < NAMES && json_array_size(failed) < most) {
            json_array_append_new(failed, json_string(name));
        }
        if (!of->ran) {
            continue;
        }
        if (json_array_size(nodes) == most) {
            left_out++;
            continue;
        }
        json_t *node = json_object();
        us_json_text(node, "node", name);
        us_json_int(node, "ran", (int64_t)of->ran);
        us_json_real(node, "seconds", of->seconds);
        set_cut(node, "why", of->why, WHY);
        json_array_append_new(nodes, node);
    }
    if (json_array_size(failed)) {
        json_object_set(object, "failed_nodes", failed);
    }
    if (json_array_size(nodes)) {
        json_object_set(object, "nodes", nodes);
    }
    if (left_out) {
        us_json_int(object, "more_nodes", (int64_t)left_out);
    }
    json_decref(failed);
    json_decref(nodes);
}

static json_t *begin(int64_t when, const char *graph, const struct us_summary *summary,
                     int status) {
    json_t *object = json_object();
    us_json_int(object, "when", when);
    us_json_int(object, "status", status);
    us_json_int(object, "ran", (int64_t)summary->ran);
    us_json_int(object, "cached", (int64_t)summary->cached);
    us_json_int(object, "failed", (int64_t)summary->failed);
    us_json_int(object, "skipped", (int64_t)summary->skipped);
    us_json_real(object, "seconds", summary->seconds);
    us_json_text(object, "version", UNDERSTUDY_VERSION);
    add_user(object);
    set_cut(object, "graph", graph, FAILURE);
    return object;
}

/* False: it does not fit. */
static bool keep(struct us_store *store, const char *identity, json_t *object) {
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(6));
    const bool fits = text && strlen(text) <= US_RUN_TEXT;
    if (fits) {
        us_runs_add(store, identity, text);
    }
    free(text);
    json_decref(object);
    return fits;
}

static int by_number(const void *a, const void *b) {
    uint32_t one, other;
    memcpy(&one, a, sizeof one);
    memcpy(&other, b, sizeof other);
    return one < other ? -1 : one > other;
}

void us_story_keep(struct us_story *story, struct us_store *store, const struct us_summary *summary,
                   int status, const struct us_error *error) {
    if (error && !story->failure) {
        story->failure = chain_text(error);
    }
    if (story->told_count) {
        qsort(story->told, story->told_count, sizeof *story->told, by_number); /* graph's order */
    }
    char *identity = us_graph_identity(story->graph->path);
    bool kept = false;
    for (size_t most = NODES; !kept; most /= 2) {
        json_t *object = begin(story->when, identity, summary, status);
        if (story->estimate >= 0) {
            us_json_real(object, "estimate_seconds", story->estimate);
        }
        set_cut(object, "failed_task", story->failed_task, TEXT);
        set_cut(object, "failure", story->failure, FAILURE);
        add_asked(object, story->arguments, most < NAMES ? most : NAMES);
        add_nodes(object, story, most);
        kept = keep(store, identity, object) || most == 0;
    }
    us_free(identity);
}

void us_story_keep_nothing(struct us_store *store, const struct us_arguments *arguments,
                           const struct us_summary *summary) {
    char *identity = us_graph_identity(arguments->words[0]);
    bool kept = false;
    for (size_t most = NAMES; !kept; most /= 2) {
        json_t *object = begin((int64_t)time(NULL), identity, summary, 0);
        add_asked(object, arguments, most);
        kept = keep(store, identity, object) || most == 0;
    }
    us_free(identity);
}

json_t *us_story_parse(const char *text, int64_t number) {
    json_t *object = json_loads(text, 0, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return NULL;
    }
    us_json_int(object, "number", number);
    return object;
}
