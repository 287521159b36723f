#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nodes/registry.h"
#include "runtime/base/mem.h"
#include "runtime/graph/dump.h"
#include "runtime/graph/node_docs.h"
#include "runtime/graph/schema.h"
#include "tools/graph_states.h"
#include "tools/session.h"
#include "tools/show_error.h"

static struct us_error *load(const struct us_arguments *arguments, struct us_graph **graph) {
    us_find_models(arguments);
    return us_graph_load(&us_nodes, arguments->words[0], arguments->settings,
                         arguments->setting_count, graph);
}

int us_command_validate(const struct us_arguments *arguments) {
    struct us_graph *graph;
    struct us_error *error = load(arguments, &graph);
    if (error) {
        return us_show_error(error);
    }
    printf("%s: %zu node%s, %zu output%s, no errors\n", arguments->words[0], graph->node_count,
           graph->node_count == 1 ? "" : "s", graph->output_count,
           graph->output_count == 1 ? "" : "s");
    us_graph_destroy(graph);
    return 0;
}

static struct us_error *write_pipe(int fd, const char *text) {
    for (size_t left = strlen(text); left;) {
        ssize_t put = write(fd, text, left);
        if (put < 0 && errno != EINTR) {
            return us_error_from_errno(errno, "cannot hand the graph to dot");
        }
        text += put > 0 ? put : 0;
        left -= put > 0 ? (size_t)put : 0;
    }
    return NULL;
}

static struct us_error *start_dot(const int pipe_ends[2], pid_t *child) {
    extern char **environ;
    char *const argv[] = {(char *)"dot", (char *)"-Tsvg", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addclose(&actions, pipe_ends[1]);
    int failed = posix_spawnp(child, "dot", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed == ENOENT) {
        return us_error_hint(us_fail(US_MISSING, "no program 'dot' to draw with"),
                             "install Graphviz, or leave out --svg");
    }
    return failed ? us_error_from_errno(failed, "cannot start dot") : NULL;
}

static struct us_error *draw(const char *dot) {
    int ends[2];
    pid_t child;
    fflush(stdout);
    if (pipe(ends) != 0) {
        return us_error_from_errno(errno, "cannot start dot");
    }
    struct us_error *error = start_dot(ends, &child);
    bool started = !error;
    close(ends[0]);
    if (started) {
        error = write_pipe(ends[1], dot);
    }
    close(ends[1]);
    int status = 0;
    if (started && waitpid(child, &status, 0) == child && !error &&
        !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
        error = us_fail(US_FAILED, "dot could not draw the graph");
    }
    return error;
}

static struct us_error *make_dot(const struct us_arguments *arguments, char **dot) {
    struct us_session session = {0};
    struct us_error *error;
    if (arguments->states) {
        error = us_session_open(arguments, &session);
        error = error ? error : us_graph_states(&session, arguments, dot);
    } else {
        error = load(arguments, &session.graph);
        *dot = error ? NULL : us_graph_dot(session.graph);
    }
    us_session_finish(&session);
    return error;
}

int us_command_graph(const struct us_arguments *arguments) {
    char *dot;
    struct us_error *error = make_dot(arguments, &dot);
    if (error) {
        return us_show_error(error);
    }
    if (arguments->svg) {
        error = draw(dot);
    } else {
        fputs(dot, stdout);
    }
    us_free(dot);
    return error ? us_show_error(error) : 0;
}

int us_command_schema(const struct us_arguments *arguments) {
    (void)arguments;
    char *text = us_schema_json(&us_nodes);
    fputs(text, stdout);
    us_free(text);
    return 0;
}

int us_command_nodes(const struct us_arguments *arguments) {
    const char *name = arguments->words[0];
    const struct us_node_type *type = name ? us_registry_find(&us_nodes, name) : NULL;
    if (name && !type) {
        const char *near = us_nodes_nearest(&us_nodes, name);
        struct us_error *error =
            near ? us_fail(US_USAGE, "no node type '%s'; did you mean '%s'?", name, near)
                 : us_fail(US_USAGE, "no node type '%s'", name);
        return us_show_error(us_error_hint(error, "understudy nodes"));
    }
    char *text;
    if (arguments->markdown) {
        text = type ? us_node_markdown(type) : us_nodes_markdown(&us_nodes);
    } else {
        text = type ? us_node_text(type) : us_nodes_text(&us_nodes);
    }
    fputs(text, stdout);
    us_free(text);
    return 0;
}
