/* Frame numbers and durations at the ends of what they can be. */
#include <math.h>
#include <string.h>

#include "cache/cache.h"
#include "runtime/api/run.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/exec/run_internal.h"
#include "tests/support/check.h"
#include "tests/support/toy_nodes.h"
#include "tests/support/toy_run.h"

static struct us_run *plan(struct us_store *store, const char *value, struct us_graph **graph) {
    struct us_str text = {0};
    us_str_printf(&text,
                  "understudy: 1\nnodes:\n"
                  "  n: {type: toy_number, value: %s, frames: \"-2147483647--2147483646,"
                  "2147483646-2147483647\"}\n"
                  "  w: {type: toy_window, value: n, radius: 1}\noutputs: [w]\n",
                  value);
    char *path = us_path_join(us_test_folder(), "far.yaml");
    const struct us_run_options options = {.threads = 1};
    struct us_run *run;
    ASSERT_OK(us_write_file(path, us_str_text(&text), text.length));
    ASSERT_OK(us_graph_load(&us_toys, path, NULL, 0, graph));
    ASSERT_OK(us_run_create(*graph, store, &options, &run));
    us_free(path);
    us_str_finish(&text);
    return run;
}

/* Neighbours in the list of frames may be 2^32 - 3 apart. */
static void the_first_and_last_frames_have_a_history_and_neighbours(void **state) {
    (void)state;
    char *folder = us_path_join(us_test_folder(), "cache");
    struct us_store *store;
    struct us_graph *graph;
    struct us_summary summary;
    ASSERT_OK(us_cache_open(folder, &store));
    struct us_run *run = plan(store, "1", &graph);
    ASSERT_OK(us_run_execute(run, &summary));
    assert_int_equal(summary.ran, 8);
    us_run_destroy(run);
    us_graph_destroy(graph);
    run = plan(store, "2", &graph);
    assert_int_equal(us_run_plan_count(run), 8);
    for (size_t i = 0; i < 8; i++) {
        const struct us_plan_entry entry = us_run_plan_entry(run, i);
        assert_true(entry.run);
        assert_string_equal(entry.why, entry.label[0] == 'n' ? "value 1 → 2"
                                       : strcmp(entry.label, "w@2147483647") == 0
                                           ? "input 'value' changed: n@2147483646"
                                       : strcmp(entry.label, "w@2147483646") == 0
                                           ? "input 'value' changed: n@-2147483646"
                                           : "input 'value' changed: n@-2147483647");
    }
    us_run_destroy(run);
    us_graph_destroy(graph);
    us_cache_close(store);
    us_free(folder);
}

/* A line a level, each further in, would be a text that grows with the square of the way. */
static void the_way_up_a_long_chain_is_told_from_both_ends(void **state) {
    (void)state;
    enum { LINKS = 100 };
    char *folder = us_path_join(us_test_folder(), "chain"), *told;
    struct us_store *store;
    struct us_summary summary;
    ASSERT_OK(us_cache_open(folder, &store));
    for (int value = 1; value <= 2; value++) {
        struct us_str text = {0};
        us_str_printf(&text,
                      "understudy: 1\nnodes:\n  n0: {type: toy_number, value: %d, frames: '7'}\n",
                      value);
        for (int i = 1; i <= LINKS; i++) {
            us_str_printf(&text, "  n%d: {type: toy_add, values: [n%d]}\n", i, i - 1);
        }
        us_str_printf(&text, "outputs: [n%d]\n", LINKS);
        char *path = us_path_join(us_test_folder(), "chain.yaml");
        const struct us_run_options options = {.threads = 1};
        struct us_graph *graph;
        struct us_run *run;
        ASSERT_OK(us_write_file(path, us_str_text(&text), text.length));
        ASSERT_OK(us_graph_load(&us_toys, path, NULL, 0, &graph));
        ASSERT_OK(us_run_create(graph, store, &options, &run));
        if (value == 1) {
            ASSERT_OK(us_run_execute(run, &summary));
        } else {
            ASSERT_OK(us_run_explain(run, "n100", (struct us_frame){0, 7}, &told));
        }
        us_run_destroy(run);
        us_graph_destroy(graph);
        us_free(path);
        us_str_finish(&text);
    }
    assert_non_null(strstr(told, "n61@7 runs if what is above it really changes: input 'values' "
                                 "changed: n60@7\n"));
    assert_null(strstr(told, "n60@7 runs"));
    assert_non_null(strstr(told, "                and 60 more, up to\n"));
    assert_non_null(strstr(told, "                n0@7 would run: value 1 → 2\n"));
    us_free(told);
    us_cache_close(store);
    us_free(folder);
}

#define PARAMS struct train_params
PARAMS {
    int64_t number;
};
static const struct us_param train_rows[] = {
    US_INT(PARAMS, number, 1, 1, 100, "", "Which of the trainings."), US_PARAMS_END};
#undef PARAMS

static struct us_error *train_run(struct us_task *task) {
    static int trainings;
    us_toy_number(task, ++trainings);
    return NULL;
}

static const struct us_port train_outputs[] = {{.name = "model", .data = US_METRICS},
                                               {.name = NULL}};
static const struct us_node_type toy_train = {.name = "toy_train",
                                              .version = 1,
                                              .params = train_rows,
                                              .params_size = sizeof(struct train_params),
                                              .outputs = train_outputs,
                                              .volatile_result = true,
                                              .run = train_run};

/* s15 is below 15 trainings, s16 below one more, until s40, each reading the one before twice. */
static char *write_trainings(int number_of_last) {
    struct us_str text = {0};
    us_str_printf(&text, "understudy: 1\nnodes:\n  n: {type: toy_number, frames: '7'}\n");
    for (int i = 1; i <= 40; i++) {
        us_str_printf(&text, "  t%d: {type: toy_train, number: %d}\n", i,
                      i < 40 ? i : number_of_last);
    }
    us_str_printf(&text, "  s15: {type: toy_add, values: [n");
    for (int i = 1; i <= 15; i++) {
        us_str_printf(&text, ", t%d", i);
    }
    us_str_printf(&text, "]}\n");
    for (int i = 16; i <= 40; i++) {
        us_str_printf(&text, "  s%d: {type: toy_add, values: [s%d, s%d, t%d]}\n", i, i - 1, i - 1,
                      i);
    }
    us_str_printf(&text, "outputs: [s40]\n");
    char *path = us_path_join(us_test_folder(), "trainings.yaml");
    ASSERT_OK(us_write_file(path, us_str_text(&text), text.length));
    us_str_finish(&text);
    return path;
}

/* A record names 16. */
static void more_trainings_than_a_record_names(void **state) {
    (void)state;
    static const struct {
        int number_of_last;
        uint64_t ran;
    } runs[] = {{40, 67}, {40, 0}, {41, 2}, {41, 0}};
    const struct us_node_type *types[32];
    memcpy(types, us_toys.types, us_toys.count * sizeof *types);
    types[us_toys.count] = &toy_train;
    const struct us_registry registry = {types, us_toys.count + 1, us_toys.codec};
    char *cache = us_path_join(us_test_folder(), "trainings");
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char *path = write_trainings(runs[i].number_of_last);
        const struct us_run_options options = {.threads = 1};
        assert_int_equal(us_toy_run(&registry, path, NULL, cache, &options).ran, runs[i].ran);
        us_free(path);
    }
    us_free(cache);
}

static void durations_of_a_record_are_usable(void **state) {
    (void)state;
    static const struct {
        double in, out;
    } cases[] = {{2.5, 2.5}, {0, 0}, {1e12, 1e12}, {1e13, 0}, {INFINITY, 0}, {-1, 0}, {NAN, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct {
            char magic[8];
            uint32_t counts[4];
            double seconds[2];
        } bytes = {"usrec02\n", {0}, {cases[i].in, cases[i].in}};
        struct record record;
        assert_true(parse_record((const uint8_t *)&bytes, sizeof bytes, 0, &record));
        ASSERT_NEAR(record.seconds, cases[i].out, 0);
        ASSERT_NEAR(record.remake_seconds, cases[i].out, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_and_last_frames_have_a_history_and_neighbours),
        cmocka_unit_test(the_way_up_a_long_chain_is_told_from_both_ends),
        cmocka_unit_test(more_trainings_than_a_record_names),
        cmocka_unit_test(durations_of_a_record_are_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
