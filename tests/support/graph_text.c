#include "tests/support/graph_text.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/toy_nodes.h"

void us_test_write(const char *name, const char *text) {
    char *path = us_path_join(us_test_folder(), name);
    ASSERT_OK(us_write_file(path, text, strlen(text)));
    us_free(path);
}

struct us_error *us_test_load(const char *text, const char *settings, struct us_graph **graph) {
    enum { MOST = 16 };
    struct us_setting list[MOST];
    size_t count = 0;
    struct us_str full = {0};
    us_str_printf(&full, "understudy: 1\n%s", text);
    us_test_write("graph.yaml", us_str_text(&full));
    us_str_finish(&full);
    char *copy = us_strdup(settings ? settings : ""), *rest = copy;
    for (char *word; count < MOST && (word = strtok_r(rest, " ", &rest)) != NULL;) {
        char *equals = strchr(word, '=');
        *equals = '\0';
        list[count++] = (struct us_setting){.name = word, .value = equals + 1};
    }
    char *path = us_path_join(us_test_folder(), "graph.yaml");
    struct us_error *error = us_graph_load(&us_toys, path, list, count, graph);
    us_free(path);
    us_free(copy);
    return error;
}

struct us_graph *us_test_graph(const char *text) {
    struct us_graph *graph = NULL;
    ASSERT_OK(us_test_load(text, NULL, &graph));
    return graph;
}

/* Appends text without the scratch folder. */
static void append_clean(struct us_str *out, const char *text) {
    const char *folder = us_test_folder();
    size_t length = strlen(folder);
    for (const char *at; (at = strstr(text, folder)) != NULL; text = at + length) {
        us_str_append_bytes(out, text, (size_t)(at - text));
        if (at[length] == '/') {
            at++;
        }
    }
    us_str_append(out, text);
}

void us_test_print_error(const struct us_error *error, struct us_str *out) {
    for (; error; error = error->cause) {
        if (error->pos.line) {
            append_clean(out, us_path_name(error->pos.file));
            us_str_printf(out, ":%d:%d: ", error->pos.line, error->pos.column);
        }
        append_clean(out, error->text);
        us_str_append(out, "\n");
        if (error->hint) {
            us_str_append(out, "  try: ");
            append_clean(out, error->hint);
            us_str_append(out, "\n");
        }
    }
}
