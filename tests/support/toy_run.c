#include "tests/support/toy_run.h"

#include "cache/cache.h"
#include "tests/support/check.h"

struct us_summary us_toy_run(const struct us_registry *registry, const char *graph,
                             const struct us_setting *setting, const char *cache,
                             const struct us_run_options *options) {
    struct us_graph *loaded;
    struct us_store *store;
    struct us_run *run;
    struct us_summary summary;
    ASSERT_OK(us_graph_load(registry, graph, setting, setting ? 1 : 0, &loaded));
    ASSERT_OK(us_cache_open(cache, &store));
    ASSERT_OK(us_run_create(loaded, store, options, &run));
    ASSERT_OK(us_run_execute(run, &summary));
    us_run_destroy(run);
    us_cache_close(store);
    us_graph_destroy(loaded);
    return summary;
}

void us_toy_wants_one(const void *params, struct us_needs *needs) {
    (void)params;
    needs->device = US_DEVICE_PREFERRED;
}

void us_toy_wants_all(const void *params, struct us_needs *needs) {
    (void)params;
    needs->device = US_DEVICE_ALL;
}
