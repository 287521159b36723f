/* libFuzzer target of the graph language: the YAML tree and, when the bytes are one, the whole
 * loader with the toy nodes. Built with clang and -DUS_FUZZ=ON; run it as
 *
 *     build/fuzz/tests/fuzz_graph -max_total_time=60 -dict=tests/fuzz/graph.dict CORPUS
 *         tests/graphs/bad graphs */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/graph/dump.h"
#include "runtime/graph/graph.h"
#include "tests/support/toy_nodes.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char *graph_path(void) {
    static char path[64];
    if (!path[0]) {
        snprintf(path, sizeof path, "/dev/shm/understudy-fuzz-%ld.yaml", (long)getpid());
    }
    return path;
}

static void write_graph(const uint8_t *bytes, size_t size) {
    FILE *file = fopen(graph_path(), "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        abort();
    }
}

static void use(const struct us_graph *graph) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct us_node *node = &graph->nodes[i];
        char *params = us_malloc(node->type->params_size);
        us_node_params_at(node, (struct us_frame){.number = 1001}, params);
        us_free(params);
        for (int k = 0; k < us_port_count(node->type->inputs); k++) {
            for (size_t l = 0; l < node->inputs[k].count; l++) {
                if (node->inputs[k].links[l].node >= i) {
                    abort();
                }
            }
        }
    }
    us_free(us_graph_dot(graph));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const struct us_setting settings[] = {{"n", "3"}};
    write_graph(bytes, size);
    struct us_graph *graph;
    bool set = size && bytes[size - 1] == '#';
    struct us_error *error = us_graph_load(&us_toys, graph_path(), settings, set ? 1 : 0, &graph);
    if ((error == NULL) != (graph != NULL)) {
        abort();
    }
    if (graph) {
        use(graph);
    }
    us_error_free(error);
    us_graph_destroy(graph);
    return 0;
}
