#include "runtime/graph/compiled.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nodes/registry.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/graph/compiled_form.h"
#include "tests/support/check.h"
#include "tests/support/graph_text.h"
#include "tests/support/same_graph.h"
#include "tests/support/toy_nodes.h"

/* A store that remembers in memory. */
struct memory {
    struct us_store store;
    struct {
        char name[64];
        uint8_t *bytes;
        size_t size;
    } facts[64];
    size_t count;
    int remembered; /* calls */
};

static uint8_t *recall(struct us_store *store, const char *name, size_t *size) {
    struct memory *memory = (struct memory *)store;
    for (size_t i = 0; i < memory->count; i++) {
        if (strcmp(memory->facts[i].name, name) == 0) {
            *size = memory->facts[i].size;
            uint8_t *copy = us_malloc(*size);
            memcpy(copy, memory->facts[i].bytes, *size);
            return copy;
        }
    }
    return NULL;
}

static void remember(struct us_store *store, const char *name, const void *bytes, size_t size) {
    struct memory *memory = (struct memory *)store;
    size_t at = 0;
    while (at < memory->count && strcmp(memory->facts[at].name, name) != 0) {
        at++;
    }
    memory->count = at == memory->count ? at + 1 : memory->count;
    assert_true(memory->count <= 64);
    us_free(memory->facts[at].bytes);
    snprintf(memory->facts[at].name, sizeof memory->facts[at].name, "%s", name);
    memory->facts[at].bytes = us_malloc(size);
    memory->facts[at].size = size;
    memcpy(memory->facts[at].bytes, bytes, size);
    memory->remembered++;
}

static struct us_error *file_digest(struct us_store *store, const char *path,
                                    struct us_digest *digest) {
    (void)store;
    uint8_t *bytes;
    size_t size;
    US_TRY(us_read_file(path, 0, &bytes, &size));
    *digest = us_digest_of(bytes, size);
    us_free(bytes);
    return NULL;
}

static const struct us_store_ops ops = {
    .recall = recall, .remember = remember, .file_digest = file_digest};

static void forget(struct memory *memory) {
    for (size_t i = 0; i < memory->count; i++) {
        us_free(memory->facts[i].bytes);
    }
    *memory = (struct memory){.store.ops = &ops};
}

static void assert_same(const struct us_graph *a, const struct us_graph *b) {
    assert_non_null(b);
    const char *difference = us_test_graph_difference(a, b);
    if (difference) {
        fail_msg("%s: %s differs", a->path, difference);
    }
}

static void assert_survives(const struct us_graph *graph) {
    struct us_str bytes = {0}, again = {0};
    assert_true(us_graph_freeze(graph, &bytes));
    struct us_graph *thawed = us_graph_thaw(graph->registry, bytes.data, bytes.length);
    assert_same(graph, thawed);
    assert_true(us_graph_freeze(thawed, &again));
    assert_int_equal(bytes.length, again.length);
    assert_memory_equal(bytes.data, again.data, bytes.length);
    us_graph_destroy(thawed);
    us_str_finish(&bytes);
    us_str_finish(&again);
}

/* Every parameter type, animations, lists, groups, templates, includes, takes from ranges with
 * gaps. */
static const char everything[] =
    "include: part.yaml\n"
    "show: nightfall\n"
    "params:\n"
    "  n: {type: int, default: 4}\n"
    "  where: {type: path, default: in/n.####.txt}\n"
    "templates:\n"
    "  twice:\n"
    "    params: {plus: {type: float, default: 0.5}}\n"
    "    inputs: {from: {}}\n"
    "    nodes:\n"
    "      a: {type: toy_add, values: [from, from], plus: $(plus), label: \"l $(n)\"}\n"
    "      b: {type: toy_add, values: a, mode: subtract, twice: true, cache: drop}\n"
    "nodes:\n"
    "  read: {type: toy_read, path: $(where), frames: \"1-9x2,20,30-33\"}\n"
    "  number: {type: toy_number, value: $(n), frames: \"-5--1,7\", cache: keep}\n"
    "  first: {use: twice, from: part_number}\n"
    "  second: {use: twice, from: first, plus: 2}\n"
    "  moving: {type: toy_add, values: number, plus: {1: 3, 9: 4.25, ease: hold}}\n"
    "  near: {type: toy_window, value: moving, radius: 2}\n"
    "  all: {type: toy_sum, value: near, steps: 9, until: {loss: 0.1}, notes: [x, '', y], "
    "files: [one, /two]}\n"
    "  picture: {type: toy_image, level: -1.5e300}\n"
    "  graded: {type: toy_grade, image: picture, faces: picture, gain: 2}\n"
    "outputs: [all, second, graded.image, read]\n";

static void write_part(const char *value) {
    char text[200];
    snprintf(text, sizeof text, "nodes:\n  part_number: {type: toy_number, value: %s}\n", value);
    us_test_write("part.yaml", text);
}

static void survives_whole(void **state) {
    (void)state;
    write_part("1");
    struct us_graph *graph = us_test_graph(everything);
    assert_survives(graph);
    us_graph_destroy(graph);
}

/* Loads with a place for every parameter that a graph of ours may want. */
static struct us_error *load_real(const char *path, struct us_graph **graph) {
    static const struct us_setting all[] = {
        {"actor", "actor.####.exr"}, {"plate", "plate.####.exr"}, {"out", "out"}};
    struct us_error *error = us_graph_load(&us_nodes, path, all, 0, graph);
    for (size_t i = 0; error && i < 4; i++) { /* none, out, actor and plate, all three */
        us_error_free(error);
        error = us_graph_load(&us_nodes, path, i == 1 ? all + 2 : all,
                              i == 1   ? 1
                              : i == 2 ? 2
                                       : 3,
                              graph);
    }
    return error;
}

static void survives_real_graphs(void **state) {
    (void)state;
    static const char *const patterns[] = {"graphs/*.yaml", "tests/integration/*.yaml"};
    size_t tried = 0;
    for (size_t i = 0; i < 2; i++) {
        glob_t found;
        assert_int_equal(glob(patterns[i], 0, NULL, &found), 0);
        for (size_t k = 0; k < found.gl_pathc; k++, tried++) {
            struct us_graph *graph;
            ASSERT_OK(load_real(found.gl_pathv[k], &graph));
            assert_survives(graph);
            us_graph_destroy(graph);
        }
        globfree(&found);
    }
    assert_true(tried >= 4);
}

/* Of each node type the example of its documentation, where that stands alone. */
static void survives_examples(void **state) {
    (void)state;
    size_t tried = 0;
    for (size_t i = 0; i < us_nodes.count; i++) {
        struct us_str text = {0};
        us_str_printf(&text, "understudy: 1\nnodes:\n");
        for (const char *line = us_nodes.types[i]->example; *line;) {
            size_t length = strcspn(line, "\n");
            us_str_printf(&text, "  %.*s\n", (int)length, line);
            line += length + (line[length] == '\n');
        }
        us_test_write("example.yaml", us_str_text(&text));
        us_str_finish(&text);
        char *path = us_path_join(us_test_folder(), "example.yaml");
        struct us_graph *graph;
        struct us_error *error = us_graph_load(&us_nodes, path, NULL, 0, &graph);
        us_free(path);
        if (!error) {
            assert_survives(graph);
            tried++;
        }
        us_error_free(error);
        us_graph_destroy(graph);
    }
    assert_true(tried >= 3);
}

/* Every bit of it turned, and every length: refused, without a crash. */
static void refuses_damage(void **state) {
    (void)state;
    write_part("1");
    struct us_graph *graph = us_test_graph(everything);
    struct us_str bytes = {0};
    assert_true(us_graph_freeze(graph, &bytes));
    for (size_t i = 0; i < 8 * bytes.length; i++) {
        bytes.data[i / 8] = (char)(bytes.data[i / 8] ^ 1 << i % 8);
        assert_null(us_graph_thaw(&us_toys, bytes.data, bytes.length));
        bytes.data[i / 8] = (char)(bytes.data[i / 8] ^ 1 << i % 8);
    }
    for (size_t i = 0; i < bytes.length; i++) {
        assert_null(us_graph_thaw(&us_toys, bytes.data, i));
    }
    assert_null(us_graph_thaw(&us_nodes, bytes.data, bytes.length));
    us_str_finish(&bytes);
    us_graph_destroy(graph);
}

/* The same with a checksum that fits: it is refused or a graph, but never a crash. */
static void survives_forgery(void **state) {
    (void)state;
    write_part("1");
    struct us_graph *graph = us_test_graph(everything);
    struct us_str bytes = {0};
    size_t refused = 0;
    assert_true(us_graph_freeze(graph, &bytes));
    for (size_t i = (size_t)8 * US_COMPILED_HEADER; i < 8 * bytes.length; i++) {
        bytes.data[i / 8] = (char)(bytes.data[i / 8] ^ 1 << i % 8);
        struct us_digest sum =
            us_digest_of(bytes.data + US_COMPILED_HEADER, bytes.length - US_COMPILED_HEADER);
        memcpy(bytes.data + US_COMPILED_CHECKSUM, sum.bytes, sizeof sum.bytes);
        struct us_graph *made = us_graph_thaw(&us_toys, bytes.data, bytes.length);
        refused += made == NULL;
        us_graph_destroy(made);
        bytes.data[i / 8] = (char)(bytes.data[i / 8] ^ 1 << i % 8);
    }
    assert_true(refused > 500);
    us_str_finish(&bytes);
    us_graph_destroy(graph);
}

static void refuses_other_types(void **state) {
    (void)state;
    struct us_graph *graph = us_test_graph("nodes:\n  a: {type: toy_number}\n");
    struct us_str bytes = {0};
    assert_true(us_graph_freeze(graph, &bytes));
    struct us_node_type newer = *us_toys.types[0];
    const struct us_node_type *types[16];
    assert_true(us_toys.count <= 16);
    memcpy(types, us_toys.types, us_toys.count * sizeof *types);
    struct us_registry other = {.types = types, .count = us_toys.count};
    struct us_graph *thawed = us_graph_thaw(&other, bytes.data, bytes.length);
    assert_non_null(thawed);
    us_graph_destroy(thawed);
    newer.version++;
    types[0] = &newer;
    assert_null(us_graph_thaw(&other, bytes.data, bytes.length));
    us_str_finish(&bytes);
    us_graph_destroy(graph);
}

/* One load through the store: true when the graph was recalled, not parsed. Either way it must be
 * what parsing gives. */
static bool recalled(struct memory *memory, const char *name, const struct us_setting *settings,
                     size_t count) {
    char *path = us_path_join(us_test_folder(), name);
    int before = memory->remembered;
    struct us_graph *kept, *parsed;
    ASSERT_OK(us_graph_load_kept(&us_toys, path, settings, count, &memory->store, &kept));
    ASSERT_OK(us_graph_load(&us_toys, path, settings, count, &parsed));
    assert_same(parsed, kept);
    us_graph_destroy(kept);
    us_graph_destroy(parsed);
    us_free(path);
    return memory->remembered == before;
}

static void write_graph(const char *more) {
    struct us_str text = {0};
    us_str_printf(&text, "understudy: 1\n%s%s", everything, more);
    us_test_write("kept.yaml", us_str_text(&text));
    us_str_finish(&text);
}

static void is_kept_until_a_file_changes(void **state) {
    (void)state;
    struct memory memory = {.store.ops = &ops};
    static const struct us_setting five = {"n", "5"}, six = {"n", "6"};
    write_part("1");
    write_graph("");
    assert_false(recalled(&memory, "kept.yaml", NULL, 0));
    assert_true(recalled(&memory, "kept.yaml", NULL, 0));
    assert_false(recalled(&memory, "kept.yaml", &five, 1));
    assert_true(recalled(&memory, "kept.yaml", &five, 1));
    assert_false(recalled(&memory, "kept.yaml", &six, 1));
    write_graph("# a comment\n");
    assert_false(recalled(&memory, "kept.yaml", NULL, 0));
    assert_true(recalled(&memory, "kept.yaml", NULL, 0));
    write_part("2");
    assert_false(recalled(&memory, "kept.yaml", NULL, 0));
    write_part("1"); /* only one version is kept */
    assert_false(recalled(&memory, "kept.yaml", NULL, 0));
    assert_true(recalled(&memory, "kept.yaml", NULL, 0));
    forget(&memory);
}

/* What settings' paths and messages start from. */
static void knows_the_working_folder(void **state) {
    (void)state;
    struct memory memory = {.store.ops = &ops};
    static const struct us_setting where = {"where", "x.####.txt"};
    char *before = getcwd(NULL, 0);
    write_part("1");
    write_graph("");
    assert_false(recalled(&memory, "kept.yaml", &where, 1));
    assert_int_equal(chdir(us_test_folder()), 0);
    assert_false(recalled(&memory, "kept.yaml", &where, 1));
    assert_true(recalled(&memory, "kept.yaml", &where, 1));
    assert_int_equal(chdir(before), 0);
    assert_true(recalled(&memory, "kept.yaml", &where, 1));
    us_free(before);
    forget(&memory);
}

static void make_link(const char *to, const char *name) {
    char *path = us_path_join(us_test_folder(), name);
    unlink(path);
    assert_int_equal(symlink(to, path), 0);
    us_free(path);
}

/* Two folders with the same graph: its paths lead to where the link leads now. */
static void follows_links(void **state) {
    (void)state;
    struct memory memory = {.store.ops = &ops};
    static const char text[] = "understudy: 1\ninclude: [a.yaml, b.yaml]\n"
                               "nodes:\n  r: {type: toy_read, path: n.txt}\n";
    static const char part[] = "nodes:\n  p: {type: toy_number}\n";
    us_test_write("v1/graph.yaml", text);
    us_test_write("v2/graph.yaml", text);
    us_test_write("v1/a.yaml", part);
    us_test_write("v2/a.yaml", part);
    make_link("a.yaml", "v1/b.yaml");
    make_link("a.yaml", "v2/b.yaml");
    make_link("v1", "now");
    assert_false(recalled(&memory, "now/graph.yaml", NULL, 0));
    assert_true(recalled(&memory, "now/graph.yaml", NULL, 0));
    make_link("v2", "now");
    assert_false(recalled(&memory, "now/graph.yaml", NULL, 0));
    assert_true(recalled(&memory, "now/graph.yaml", NULL, 0));
    us_test_write("v2/b.yaml", part); /* a file of its own now */
    assert_false(recalled(&memory, "now/graph.yaml", NULL, 0));
    assert_true(recalled(&memory, "now/graph.yaml", NULL, 0));
    forget(&memory);
}

static void roots_are_asked_each_time(void **state) {
    (void)state;
    struct memory memory = {.store.ops = &ops};
    us_test_write("rooted.yaml", "understudy: 1\nroots: [.]\n"
                                 "nodes:\n  r: {type: toy_read, path: in/n.txt}\n");
    recalled(&memory, "rooted.yaml", NULL, 0);
    assert_int_equal(memory.count, 0);
    forget(&memory);
}

static void damage_is_silent(void **state) {
    (void)state;
    struct memory memory = {.store.ops = &ops};
    write_part("1");
    write_graph("");
    recalled(&memory, "kept.yaml", NULL, 0);
    assert_int_equal(memory.count, 1);
    size_t size = memory.facts[0].size;
    for (size_t i = 0; i < size; i += size / 50) {
        memory.facts[0].bytes[i] ^= 0x20;
        assert_false(recalled(&memory, "kept.yaml", NULL, 0));
        assert_true(recalled(&memory, "kept.yaml", NULL, 0));
    }
    memory.facts[0].size = 5;
    assert_false(recalled(&memory, "kept.yaml", NULL, 0));
    forget(&memory);
}

/* A graph that stopped being right says why, though it was right when it was kept. */
static void errors_are_the_parser_s(void **state) {
    (void)state;
    struct memory memory = {.store.ops = &ops};
    struct us_graph *graph;
    write_part("1");
    write_graph("");
    recalled(&memory, "kept.yaml", NULL, 0);
    write_part("many");
    char *path = us_path_join(us_test_folder(), "kept.yaml");
    struct us_error *error = us_graph_load_kept(&us_toys, path, NULL, 0, &memory.store, &graph);
    assert_non_null(error);
    assert_null(graph);
    assert_int_equal(error->pos.line, 2);
    assert_non_null(strstr(error->pos.file, "part.yaml"));
    ASSERT_ERROR(error, "wanted a whole number");
    us_free(path);
    forget(&memory);
}

static void pipes_are_read_once(void **state) {
    (void)state;
    struct memory memory = {.store.ops = &ops};
    static const char text[] = "understudy: 1\nnodes:\n  a: {type: toy_number}\n";
    int ends[2];
    char path[64];
    struct us_graph *graph;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, sizeof text - 1), sizeof text - 1);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    ASSERT_OK(us_graph_load_kept(&us_toys, path, NULL, 0, &memory.store, &graph));
    assert_int_equal(memory.count, 0);
    us_graph_destroy(graph);
    close(ends[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_whole),
        cmocka_unit_test(survives_real_graphs),
        cmocka_unit_test(survives_examples),
        cmocka_unit_test(refuses_damage),
        cmocka_unit_test(survives_forgery),
        cmocka_unit_test(refuses_other_types),
        cmocka_unit_test(is_kept_until_a_file_changes),
        cmocka_unit_test(knows_the_working_folder),
        cmocka_unit_test(follows_links),
        cmocka_unit_test(roots_are_asked_each_time),
        cmocka_unit_test(damage_is_silent),
        cmocka_unit_test(errors_are_the_parser_s),
        cmocka_unit_test(pipes_are_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
