/* What a run leaves behind for the next one: it says "nothing to do" only while that is true. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache.h"
#include "runtime/api/standing.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/toy_nodes.h"

static const char graph_text[] = "understudy: 1\n"
                                 "nodes:\n"
                                 "  a: {type: toy_read, path: src/a.####.txt, frames: all}\n"
                                 "  out: {type: toy_write, value: a, path: out.####.txt}\n"
                                 "outputs: [out]\n";

static char folder[256];
static int shots;

static char *path_of(const char *name) {
    return us_path_join(folder, name);
}

static void put(const char *name, const char *text) {
    char *path = path_of(name);
    ASSERT_OK(us_write_file(path, text, strlen(text)));
    us_free(path);
}

/* In place, so that the folder stays as it is: such a change is planned from the last run. */
static void overwrite(const char *name, const char *text) {
    char *path = path_of(name);
    FILE *file = fopen(path, "w");
    assert_true(file && fputs(text, file) >= 0 && fclose(file) == 0);
    us_free(path);
}

/* Waits until the stamps of all that is there can be relied on: a tick of the file system's clock.
 */
static void settle(struct us_store *store) {
    static const char *const names[] = {"shot.yaml",      "src",          "src/a.1001.txt",
                                        "src/a.1002.txt", "out.1001.txt", "out.1002.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = path_of(names[i]);
        const char *one = path;
        struct us_digest state = {0};
        for (int tries = 0; us_digest_is_zero(&state) && tries < 500; tries++) {
            store->ops->file_states(store, &one, 1, &state);
            usleep(us_digest_is_zero(&state) ? 10000 : 0);
        }
        assert_false(us_digest_is_zero(&state));
        us_free(path);
    }
}

static struct us_store *open_cache(void) {
    struct us_store *store;
    char *cache = path_of("cache");
    ASSERT_OK(us_cache_open(cache, &store));
    us_free(cache);
    return store;
}

static void make_shot(void) {
    snprintf(folder, sizeof folder, "%s/shot%d", us_test_folder(), shots++);
    put("shot.yaml", graph_text);
    put("src/a.1001.txt", "1");
    put("src/a.1002.txt", "2");
    struct us_store *store = open_cache();
    settle(store);
    us_cache_close(store);
}

static bool stands(void) {
    struct us_store *store = open_cache();
    struct us_digest name;
    struct us_str note = {0};
    const struct us_run_options options = {.threads = 1};
    char *graph = path_of("shot.yaml");
    assert_true(us_standing_name(&us_toys, graph, NULL, 0, &options, &name));
    const bool said = us_standing_recall(store, &name, &note);
    assert_true(!said || strcmp(us_str_text(&note), "note") == 0);
    us_str_finish(&note);
    us_cache_close(store);
    us_free(graph);
    return said;
}

/* Runs; `meanwhile`, or nothing, happens after the last task and before the remembering. */
static size_t run_shot(void (*meanwhile)(void)) {
    struct us_store *store = open_cache();
    struct us_graph *graph;
    struct us_run *run;
    struct us_summary summary;
    struct us_digest name;
    struct us_run_options options = {.threads = 1};
    char *file = path_of("shot.yaml");
    settle(store);
    ASSERT_OK(us_graph_load(&us_toys, file, NULL, 0, &graph));
    assert_true(us_standing_name(&us_toys, file, NULL, 0, &options, &name));
    options.standing = &name;
    ASSERT_OK(us_run_create(graph, store, &options, &run));
    ASSERT_OK(us_run_execute(run, &summary));
    if (meanwhile) {
        meanwhile();
    }
    settle(store);
    us_standing_remember(run, &name, "note", 4);
    us_run_destroy(run);
    us_cache_close(store);
    us_graph_destroy(graph);
    us_free(file);
    return summary.ran;
}

static void edit_source(void) {
    put("src/a.1002.txt", "3");
}

static void edit_output(void) {
    put("out.1002.txt", "3");
}

static void add_frame(void) {
    put("src/a.1003.txt", "3");
}

static void remove_output(void) {
    char *path = path_of("out.1001.txt");
    assert_int_equal(unlink(path), 0);
    us_free(path);
}

static void edit_graph(void) {
    put("shot.yaml", "understudy: 1\nnodes: {a: {type: toy_number}}\noutputs: [a]\n");
}

/* Any record: which ones a run stands on is not kept. */
static void drop_record(void) {
    struct us_store *store = open_cache();
    const struct us_digest key = us_digest_of("key", 3);
    bool won;
    ASSERT_OK(store->ops->put_record(store, &key, NULL, "record", 6, &won));
    assert_true(won);
    ASSERT_OK(store->ops->drop_record(store, &key));
    us_cache_close(store);
}

static void (*const changes[])(void) = {drop_record, edit_source,   edit_output,
                                        add_frame,   remove_output, edit_graph};
enum { CHANGES = sizeof changes / sizeof *changes };

static void what_changes_afterwards_is_seen(void **state) {
    (void)state;
    for (size_t i = 0; i < CHANGES; i++) {
        make_shot();
        assert_false(stands());
        assert_int_equal(run_shot(NULL), 4);
        assert_true(stands());
        changes[i]();
        assert_false(stands());
    }
}

/* The first of the same from nothing, then from what an earlier run left. */
static void what_changes_before_it_is_remembered_is_seen(void **state) {
    (void)state;
    for (size_t i = 0; i < CHANGES; i++) {
        make_shot();
        run_shot(changes[i]);
        assert_false(stands());
        make_shot();
        run_shot(NULL);
        overwrite("src/a.1001.txt", "9");
        assert_int_equal(run_shot(changes[i]), 2);
        assert_false(stands());
    }
}

struct keys {
    struct us_digest items[64];
    size_t count;
};

static struct us_error *note_key(void *context, const struct us_digest *key,
                                 const struct us_record_note *note) {
    struct keys *keys = context;
    (void)note;
    assert_true(keys->count < 64);
    keys->items[keys->count++] = *key;
    return NULL;
}

/* A plan that starts from the last run must not take for standing what lost its records since. */
static void what_lost_its_records_is_planned_anew(void **state) {
    (void)state;
    make_shot();
    assert_int_equal(run_shot(NULL), 4);
    edit_source();
    assert_int_equal(run_shot(NULL), 2);
    struct us_store *store = open_cache();
    struct keys keys = {.count = 0};
    ASSERT_OK(us_cache_each_record(store, note_key, &keys));
    assert_true(keys.count > 4);
    for (size_t i = 0; i < keys.count; i++) {
        ASSERT_OK(store->ops->drop_record(store, &keys.items[i]));
    }
    us_cache_close(store);
    overwrite("src/a.1002.txt", "4");
    assert_int_equal(run_shot(NULL), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_changes_afterwards_is_seen),
        cmocka_unit_test(what_changes_before_it_is_remembered_is_seen),
        cmocka_unit_test(what_lost_its_records_is_planned_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
