#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache.h"
#include "runtime/api/runs.h"
#include "runtime/base/mem.h"
#include "tools/json_line.h"
#include "tools/session.h"
#include "tools/show_error.h"
#include "tools/story.h"

enum { SHOWN = 20 };

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static long long int_of(const json_t *object, const char *name) {
    return (long long)json_integer_value(json_object_get(object, name));
}

static double real_of(const json_t *object, const char *name) {
    return json_number_value(json_object_get(object, name));
}

static void append_when(const json_t *run, struct us_str *out) {
    const time_t seconds = (time_t)int_of(run, "when");
    struct tm parts;
    char text[32] = "";
    if (localtime_r(&seconds, &parts)) {
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    }
    us_str_append(out, text);
}

/* NULL: what should be a text is none. */
static void append_plain(const char *text, struct us_str *out) {
    us_plain_text(text ? text : "?", text ? strlen(text) : 1, out);
}

/* "erode_px=6, only comp, frames 1001-1010" */
static void append_asked(const json_t *run, struct us_str *out) {
    const char *between = "", *name;
    json_t *value;
    size_t i;
    json_object_foreach(json_object_get(run, "parameters"), name, value) {
        us_str_append(out, between);
        append_plain(name, out);
        us_str_append(out, "=");
        append_plain(json_string_value(value), out);
        between = ", ";
    }
    json_array_foreach(json_object_get(run, "only"), i, value) {
        us_str_printf(out, "%sonly ", between);
        append_plain(json_string_value(value), out);
        between = ", ";
    }
    if (text_of(run, "frames")[0]) {
        us_str_printf(out, "%sframes ", between);
        append_plain(text_of(run, "frames"), out);
    }
}

/* What it was about: the failure, else the first node that ran and why. */
static void append_gist(const json_t *run, struct us_str *out) {
    append_asked(run, out);
    const size_t before = out->length;
    if (text_of(run, "failure")[0]) {
        us_str_printf(out, "%sfailed: ", before ? "; " : "");
        append_plain(text_of(run, "failed_task"), out);
        us_str_append(out, text_of(run, "failed_task")[0] ? ": " : "");
        append_plain(text_of(run, "failure"), out);
        return;
    }
    const json_t *first = json_array_get(json_object_get(run, "nodes"), 0);
    if (text_of(first, "why")[0]) {
        us_str_append(out, before ? "; " : "");
        append_plain(text_of(first, "node"), out);
        us_str_append(out, ": ");
        append_plain(text_of(first, "why"), out);
    }
}

static void print_row(const json_t *run) {
    struct us_str line = {0}, gist = {0};
    us_str_printf(&line, "%5lld  ", int_of(run, "number"));
    append_when(run, &line);
    us_str_printf(&line, "  %6lld  %6lld  %6lld  %8.1f  %6lld", int_of(run, "ran"),
                  int_of(run, "cached"), int_of(run, "failed"), real_of(run, "seconds"),
                  int_of(run, "status"));
    append_gist(run, &gist);
    if (gist.length) {
        us_str_printf(&line, "  %s", us_str_text(&gist));
    }
    puts(us_str_text(&line));
    us_str_finish(&line);
    us_str_finish(&gist);
}

static void print_line(const char *name, const struct us_str *text) {
    if (text->length) {
        printf("  %-12s %s\n", name, us_str_text(text));
    }
}

static void print_nodes(const json_t *run) {
    json_t *node;
    size_t i;
    int width = 12;
    json_array_foreach(json_object_get(run, "nodes"), i, node) {
        const int length = (int)strlen(text_of(node, "node"));
        width = length > width ? length : width;
    }
    json_array_foreach(json_object_get(run, "nodes"), i, node) {
        struct us_str line = {0};
        append_plain(text_of(node, "node"), &line);
        us_str_printf(&line, "%*s ran %lld, %.1f s of work",
                      width > (int)line.length ? width - (int)line.length : 0, "",
                      int_of(node, "ran"), real_of(node, "seconds"));
        if (text_of(node, "why")[0]) {
            us_str_append(&line, ", because: ");
            append_plain(text_of(node, "why"), &line);
        }
        printf("  %s\n", us_str_text(&line));
        us_str_finish(&line);
    }
    if (int_of(run, "more_nodes")) {
        printf("  and %lld more nodes\n", int_of(run, "more_nodes"));
    }
}

static void print_run(const json_t *run) {
    struct us_str line = {0};
    append_plain(text_of(run, "graph"), &line);
    printf("run %lld of %s\n", int_of(run, "number"), us_str_text(&line));
    us_str_clear(&line);
    append_when(run, &line);
    us_str_append(&line, " by ");
    append_plain(text_of(run, "by"), &line);
    us_str_append(&line, ", understudy ");
    append_plain(text_of(run, "version"), &line);
    print_line("when", &line);
    us_str_clear(&line);
    append_asked(run, &line);
    print_line("asked", &line);
    us_str_clear(&line);
    us_str_printf(&line, "ran %lld, cached %lld, failed %lld", int_of(run, "ran"),
                  int_of(run, "cached"), int_of(run, "failed"));
    if (int_of(run, "skipped")) {
        us_str_printf(&line, ", skipped %lld", int_of(run, "skipped"));
    }
    us_str_printf(&line, " in %.1f s", real_of(run, "seconds"));
    if (json_object_get(run, "estimate_seconds")) {
        us_str_printf(&line, " (%.1f s expected)", real_of(run, "estimate_seconds"));
    }
    us_str_printf(&line, ", status %lld", int_of(run, "status"));
    print_line("result", &line);
    us_str_clear(&line);
    append_plain(text_of(run, "failed_task"), &line);
    us_str_append(&line, line.length ? ": " : "");
    append_plain(text_of(run, "failure"), &line);
    print_line("failed", &line);
    us_str_finish(&line);
    print_nodes(run);
}

static void print_json(json_t *run) {
    char *text = json_dumps(run, JSON_COMPACT | JSON_REAL_PRECISION(9));
    puts(text ? text : "{}");
    free(text);
}

static struct us_error *show_one(const struct us_runs *runs, const char *word, bool json) {
    char *end;
    const long long number = strtoll(word, &end, 10);
    const bool there = !*end && end != word && number >= runs->first &&
                       number - runs->first < (long long)runs->count;
    json_t *run = there ? us_story_parse(runs->texts[number - runs->first], number) : NULL;
    if (!run && !runs->count) {
        return us_fail(
            US_USAGE, "no run '%s': no run of this graph with this cache is remembered here", word);
    }
    if (!run) {
        return us_error_hint(us_fail(US_USAGE, "no run '%s' in the history; it has %lld to %lld",
                                     word, (long long)runs->first,
                                     (long long)runs->first + (long long)runs->count - 1),
                             "understudy history GRAPH lists them");
    }
    if (json) {
        print_json(run);
    } else {
        print_run(run);
    }
    json_decref(run);
    return NULL;
}

static void show_all(const struct us_runs *runs, bool json) {
    const size_t most = json ? US_LOG_KEPT : SHOWN;
    int64_t count = 0;
    if (!json) {
        puts("  run  when                    ran  cached  failed   seconds  status");
    }
    for (size_t i = runs->count > most ? runs->count - most : 0; i < runs->count; i++) {
        json_t *run = us_story_parse(runs->texts[i], runs->first + (int64_t)i);
        count += run != NULL;
        if (run && json) {
            print_json(run);
        } else if (run) {
            print_row(run);
        }
        json_decref(run);
    }
    if (json) {
        json_t *line = us_json_begin("summary");
        us_json_int(line, "runs", count);
        us_json_end(line);
    }
}

static struct us_error *show(const struct us_arguments *arguments, struct us_store *store,
                             const char *identity) {
    struct us_runs runs;
    struct us_error *error = NULL;
    us_runs_read(store, identity, &runs);
    if (arguments->word_count > 1) {
        error = show_one(&runs, arguments->words[1], arguments->json);
    } else if (!runs.count && !arguments->json) {
        printf("no run of %s with this cache is remembered here\n", arguments->words[0]);
    } else {
        show_all(&runs, arguments->json);
    }
    us_runs_finish(&runs);
    return error;
}

int us_command_history(const struct us_arguments *arguments) {
    const char *graph = arguments->words[0];
    if (access(graph, R_OK) != 0) {
        return us_show_error(us_fail(US_USAGE, "no graph file '%s'", graph));
    }
    char *folder, *identity = us_graph_identity(graph);
    struct us_store *store = NULL;
    struct us_error *error = us_cache_folder(arguments, &folder);
    if (!error) {
        error = us_cache_open(folder, &store);
        us_free(folder);
    }
    if (!error) {
        error = show(arguments, store, identity);
    }
    us_cache_close(store);
    us_free(identity);
    return error ? us_show_error(error) : 0;
}
