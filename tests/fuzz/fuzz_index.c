/* libFuzzer target of what the index keeps and is more than numbers of a fixed size: the compiled
 * graph. The bytes are its body; the header with a fitting checksum is put before them, so that
 * what is behind the checksum is reached. What thaws is used and must freeze and thaw again.
 *
 * Bodies to start from change with every build: with FUZZ_SEEDS=FOLDER in the environment the
 * target writes some there. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/api/standing.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/graph/compiled.h"
#include "runtime/graph/compiled_form.h"
#include "runtime/graph/dump.h"
#include "tests/support/same_graph.h"
#include "tests/support/toy_nodes.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const char *const graphs[] = {
    "  a: {type: toy_number}\n",
    "  a: {type: toy_number, value: 7, frames: \"1-9x2,20\", cache: keep}\n"
    "  b: {type: toy_add, values: [a, a], mode: subtract, twice: true}\n"
    "  c: {type: toy_window, value: b, radius: 2, cache: drop}\n",
    "  r: {type: toy_read, path: in/n.####.txt}\n"
    "  b: {type: toy_add, values: r, plus: {1001: 4, 1040: 8.5, ease: hold}}\n"
    "  s: {type: toy_sum, value: b, until: {loss: 0.1}, notes: [x, ''], files: [p, /q]}\n"
    "  i: {type: toy_image, level: -1.5e300}\n"
    "  g: {type: toy_grade, image: i, faces: i}\n",
};

static void check(struct us_error *error) {
    if (error) {
        fprintf(stderr, "%s\n", error->text);
        abort();
    }
}

static void write_seed(const char *folder, int number) {
    struct us_str path = {0}, text = {0}, bytes = {0};
    struct us_graph *graph;
    us_str_printf(&path, "%s/seed%d", folder, number);
    us_str_printf(&text, "understudy: 1\nshow: s\nnodes:\n%s", graphs[number]);
    check(us_write_file(us_str_text(&path), text.data, text.length));
    check(us_graph_load(&us_toys, us_str_text(&path), NULL, 0, &graph));
    if (!us_graph_freeze(graph, &bytes)) {
        abort();
    }
    check(us_write_file(us_str_text(&path), bytes.data + US_COMPILED_HEADER,
                        bytes.length - US_COMPILED_HEADER));
    us_graph_destroy(graph);
    us_str_finish(&path);
    us_str_finish(&text);
    us_str_finish(&bytes);
}

/* Two paths in the state that file_states gives them. */
static void write_standing(const char *folder) {
    static const char texts[] = "a note/a/graph.yaml\0/a/n.1001.txt";
    struct {
        char magic[8];
        struct us_digest generation, states;
        uint64_t path_count, note_size;
    } head = {.magic = "usstand", .path_count = 2, .note_size = 6};
    struct us_digest states[2];
    struct us_str path = {0}, bytes = {0};
    memset(states, 1, sizeof states);
    head.magic[7] = '1';
    head.states = us_digest_of(states, sizeof states);
    us_str_append_bytes(&bytes, &head, sizeof head);
    us_str_append_bytes(&bytes, texts, sizeof texts);
    us_str_printf(&path, "%s/standing", folder);
    check(us_write_file(us_str_text(&path), bytes.data, bytes.length));
    us_str_finish(&path);
    us_str_finish(&bytes);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) { // NOLINT: as libFuzzer declares it
    const char *folder = getenv("FUZZ_SEEDS");
    (void)argc, (void)argv;
    for (int i = 0; folder && i < (int)(sizeof graphs / sizeof *graphs); i++) {
        write_seed(folder, i);
    }
    if (folder) {
        write_standing(folder);
    }
    return 0;
}

static void use(const struct us_graph *graph) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct us_node *node = &graph->nodes[i];
        char *params = us_malloc(node->type->params_size);
        us_node_params_at(node, (struct us_frame){.number = 1001}, params);
        us_free(params);
    }
    us_free(us_graph_dot(graph));
    us_graph_find(graph, "b");
    us_graph_nearest(graph, "bb");
}

/* A store with one fact; every file has the same state. */
struct one_store {
    struct us_store store;
    const uint8_t *bytes;
    size_t size;
};

static uint8_t *recall(struct us_store *store, const char *name, size_t *size) {
    const struct one_store *one = (struct one_store *)store;
    uint8_t *copy = us_malloc(one->size);
    (void)name;
    memcpy(copy, one->bytes, one->size);
    *size = one->size;
    return copy;
}

static struct us_digest generation(struct us_store *store) {
    (void)store;
    return (struct us_digest){{0}};
}

static void file_states(struct us_store *store, const char *const *paths, size_t count,
                        struct us_digest *states) {
    (void)store;
    for (size_t i = 0; i < count; i++) {
        memset(states[i].bytes, strlen(paths[i]) > 100 ? 0 : 1, sizeof states[i].bytes);
    }
}

static const struct us_store_ops ops = {
    .recall = recall, .generation = generation, .file_states = file_states};

static void recall_standing(const uint8_t *bytes, size_t size) {
    static const struct us_digest name;
    struct one_store one = {.store.ops = &ops, .bytes = bytes, .size = size};
    struct us_str note = {0};
    if (us_standing_recall(&one.store, &name, &note) && note.length > size) {
        abort();
    }
    us_str_finish(&note);
}

static bool is_standing(const uint8_t *bytes, size_t size) {
    static const char magic[8] = "usstand1";
    return size >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (is_standing(bytes, size)) {
        recall_standing(bytes, size);
        return 0;
    }
    struct us_str form = {0}, again = {0};
    struct us_digest fingerprint, sum = us_digest_of(bytes, size);
    if (!us_compiled_fingerprint(&us_toys, &fingerprint)) {
        abort();
    }
    us_str_append_bytes(&form, US_COMPILED_MAGIC, US_COMPILED_FINGERPRINT);
    us_str_append_bytes(&form, fingerprint.bytes, sizeof fingerprint.bytes);
    us_str_append_bytes(&form, sum.bytes, sizeof sum.bytes);
    us_str_append_bytes(&form, bytes, size);
    struct us_graph *graph = us_graph_thaw(&us_toys, form.data, form.length), *second = NULL;
    if (graph) {
        use(graph);
        second = us_graph_freeze(graph, &again) ? us_graph_thaw(&us_toys, again.data, again.length)
                                                : NULL;
        if (!second || us_test_graph_difference(graph, second)) {
            abort();
        }
    }
    us_graph_destroy(second);
    us_graph_destroy(graph);
    us_str_finish(&form);
    us_str_finish(&again);
    return 0;
}
