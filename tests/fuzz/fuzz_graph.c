/* libFuzzer target of the graph language: the bytes are a graph file, loaded with the toy nodes.
 * What loads is used, and must come back equal from its compiled form. Files are in memory
 * (us_read_file is wrapped): the graph, which may include "part.yaml", "again.yaml" and
 * "cycle.yaml". A graph whose last byte is '#' is loaded with -p n=3. docs/fuzzing.md says how to
 * run it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/graph/compiled.h"
#include "runtime/graph/dump.h"
#include "tests/support/same_graph.h"
#include "tests/support/toy_nodes.h"

#define FOLDER "/no-such-folder/"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
/* The name is the linker's. */
struct us_error *__wrap_us_read_file(const char *path, size_t limit, // NOLINT
                                     uint8_t **bytes, size_t *size);

struct file {
    const char *path;
    const void *bytes;
    size_t size;
};

static const char part[] =
    "show: part\n"
    "params: {n: {type: int, default: 2, max: 9}, s: {type: string}}\n"
    "templates:\n"
    "  t: {inputs: {from: {optional: true}}, params: {p: {type: float}},\n"
    "      nodes: {a: {type: toy_add, values: from, plus: $(p)}}}\n"
    "nodes:\n"
    "  a: {type: toy_number, value: $(n), frames: 1-4}\n"
    "  b: {type: toy_add, values: a, plus: {1: 0, 4: $(n)}, label: \"$(s)\"}\n";
static const char again[] = "include: [part.yaml, ./part.yaml]\nnodes: {a: {value: 1}}\n";
static const char cycle[] = "include: graph.yaml\n";

static struct file files[] = {{FOLDER "graph.yaml", "", 0},
                              {FOLDER "part.yaml", part, sizeof part - 1},
                              {FOLDER "again.yaml", again, sizeof again - 1},
                              {FOLDER "./part.yaml", part, sizeof part - 1},
                              {FOLDER "cycle.yaml", cycle, sizeof cycle - 1}};

struct us_error *__wrap_us_read_file(const char *path, size_t limit, uint8_t **bytes,
                                     size_t *size) {
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (strcmp(files[i].path, path) == 0 && files[i].size <= limit) {
            *size = files[i].size;
            *bytes = us_malloc(*size + 1);
            memcpy(*bytes, files[i].bytes, *size);
            (*bytes)[*size] = '\0';
            return NULL;
        }
    }
    return us_fail(US_MISSING, "cannot read '%s'", path);
}

static void check_links(const struct us_graph *graph, size_t index) {
    const struct us_node *node = &graph->nodes[index];
    for (int i = 0; i < us_port_count(node->type->inputs); i++) {
        for (size_t k = 0; k < node->inputs[i].count; k++) {
            if (node->inputs[i].links[k].node >= index) {
                abort();
            }
        }
    }
}

static void use(const struct us_graph *graph) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct us_node *node = &graph->nodes[i];
        char *params = us_malloc(node->type->params_size);
        us_node_params_at(node, (struct us_frame){.number = 1001}, params);
        us_free(params);
        check_links(graph, i);
    }
    us_free(us_graph_dot(graph));
}

static void freeze_and_thaw(const struct us_graph *graph) {
    struct us_str bytes = {0};
    if (!us_graph_freeze(graph, &bytes)) {
        abort();
    }
    struct us_graph *thawed = us_graph_thaw(graph->registry, bytes.data, bytes.length);
    if (!thawed || us_test_graph_difference(graph, thawed)) {
        abort();
    }
    us_graph_destroy(thawed);
    us_str_finish(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const struct us_setting settings[] = {{"n", "3"}};
    files[0].bytes = bytes;
    files[0].size = size;
    struct us_graph *graph;
    bool set = size && bytes[size - 1] == '#';
    struct us_error *error = us_graph_load(&us_toys, files[0].path, settings, set ? 1 : 0, &graph);
    if ((error == NULL) != (graph != NULL)) {
        abort();
    }
    if (graph) {
        use(graph);
        freeze_and_thaw(graph);
    }
    us_error_free(error);
    us_graph_destroy(graph);
    return 0;
}
