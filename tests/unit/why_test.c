/* Why a task runs: everything that is not as it was is named, whatever kind of thing it is. */
#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "nodes/registry.h"
#include "runtime/api/run.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"

enum { TYPES = 64 };

static const struct us_node_type *types[TYPES];
static struct us_node_type newer;

/* All node types, matte_edit a version later. */
static struct us_registry with_newer_matte(void) {
    struct us_registry registry = us_nodes;
    assert_true(us_nodes.count <= TYPES);
    for (size_t i = 0; i < us_nodes.count; i++) {
        types[i] = us_nodes.types[i];
        if (strcmp(types[i]->name, "matte_edit") == 0) {
            newer = *types[i];
            newer.version++;
            types[i] = &newer;
        }
    }
    registry.types = types;
    return registry;
}

/* Plans (and runs) a graph of a plate and a matte with these parameters; gives why the task
 * `label` runs, "cached" when it does not. The caller frees it. */
static char *why(const struct us_registry *registry, const char *plate, const char *matte,
                 const char *label, bool run_it) {
    struct us_str text = {0};
    us_str_printf(&text,
                  "understudy: 1\nnodes:\n"
                  "  plate: {type: synth_plate, frames: 1-2, identity: a, width: 64, height: 64, "
                  "samples: 1%s}\n"
                  "  matte: {type: matte_edit, matte: plate, channel: R%s}\noutputs: [matte]\n",
                  plate, matte);
    char *path = us_path_join(us_test_folder(), "why.yaml"),
         *cache = us_path_join(us_test_folder(), "cache");
    ASSERT_OK(us_write_file(path, us_str_text(&text), text.length));
    struct us_store *store;
    struct us_graph *graph;
    struct us_run *run;
    struct us_summary summary;
    const struct us_run_options options = {.threads = 1};
    ASSERT_OK(us_cache_open(cache, &store));
    ASSERT_OK(us_graph_load(registry, path, NULL, 0, &graph));
    ASSERT_OK(us_run_create(graph, store, &options, &run));
    char *found = NULL;
    for (size_t i = 0; i < us_run_plan_count(run); i++) {
        const struct us_plan_entry entry = us_run_plan_entry(run, i);
        if (strcmp(entry.label, label) == 0) {
            found = us_strdup(entry.run ? entry.why : "cached");
        }
    }
    if (run_it) {
        ASSERT_OK(us_run_execute(run, &summary));
    }
    us_run_destroy(run);
    us_graph_destroy(graph);
    us_cache_close(store);
    us_free(path);
    us_free(cache);
    us_str_finish(&text);
    return found;
}

static void check_why(const struct us_registry *registry, const char *plate, const char *matte,
                      const char *label, const char *wanted) {
    char *found = why(registry, plate, matte, label, false);
    assert_non_null(found);
    assert_string_equal(found, wanted);
    us_free(found);
}

static void test_all_that_differs(void **state) {
    (void)state;
    us_free(why(&us_nodes, "", ", erode_px: 1, gain: 2", "matte@1", true));
    check_why(&us_nodes, "", ", erode_px: 1, gain: 2", "matte@1", "cached");
    check_why(&us_nodes, "", ", erode_px: 2, feather_px: 3", "matte@1",
              "erode_px 1 → 2, feather_px 0 → 3, gain 2 → 1");
    check_why(&us_nodes, ", seed: 7", ", erode_px: 2, gain: 2", "matte@2",
              "erode_px 1 → 2, input 'matte' changed: plate@2");
    check_why(&us_nodes, ", seed: 7", ", erode_px: 1, gain: 2", "matte@2",
              "input 'matte' changed: plate@2");
}

static void test_animated(void **state) {
    (void)state;
    check_why(&us_nodes, "", ", erode_px: {1: 1, 2: 3}, feather_px: {1: 1, 2: 2}, gain: 2",
              "matte@1", "feather_px 0 → 1");
    check_why(&us_nodes, "", ", erode_px: {1: 1, 2: 3}, feather_px: {1: 1, 2: 2}, gain: 2",
              "matte@2", "erode_px 1 → 3, feather_px 0 → 2");
}

static void test_version(void **state) {
    (void)state;
    const struct us_registry registry = with_newer_matte();
    char wanted[128];
    snprintf(wanted, sizeof wanted, "matte_edit version %d → %d, erode_px 1 → 2", newer.version - 1,
             newer.version);
    check_why(&registry, "", ", erode_px: 2, gain: 2", "matte@1", wanted);
}

static void test_many(void **state) {
    (void)state;
    char *found =
        why(&us_nodes,
            ", seed: 3, other: c, face_height: 0.5, focal_mm: 50, speech: 0, light: night, "
            "grain: 1, highlights: 4",
            "", "plate@1", false);
    size_t commas = 0;
    for (const char *at = found; (at = strstr(at, ", ")); at++) {
        commas++;
    }
    assert_int_equal(commas, 5);
    assert_non_null(strstr(found, " and 2 more"));
    us_free(found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_differs),
        cmocka_unit_test(test_animated),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
