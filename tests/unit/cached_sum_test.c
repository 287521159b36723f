/* What a run tells of tasks that the plan found cached. */
#include <stdio.h>

#include "cache/cache.h"
#include "runtime/api/run.h"
#include "tests/support/check.h"
#include "tests/support/graph_text.h"

struct told {
    size_t cached_events, by_node, sum, done;
};

static void listen(void *context, const struct us_event *event) {
    struct told *told = context;
    told->done += event->kind == US_EVENT_DONE;
    if (event->kind == US_EVENT_CACHED) {
        told->cached_events++;
        *(event->node ? &told->by_node : &told->sum) += event->count ? event->count : 1;
    }
}

/* Three nodes of ten frames; the last one adds `plus`, from frame 8 on `plus_later`. */
static struct told run(const char *cache, int plus, int plus_later, bool in_sum) {
    char text[400], folder[512];
    snprintf(text, sizeof text,
             "nodes:\n"
             "  a: {type: toy_number, frames: 1-10}\n"
             "  b: {type: toy_add, values: [a, a]}\n"
             "  c: {type: toy_add, values: [a, b], plus: {1: %d, 7: %d, 8: %d}}\n"
             "outputs: [a, b, c]\n",
             plus, plus, plus_later);
    snprintf(folder, sizeof folder, "%s/%s", us_test_folder(), cache);
    struct told told = {0};
    struct us_graph *graph = us_test_graph(text);
    struct us_store *store;
    struct us_run *run;
    struct us_summary summary;
    const struct us_run_options options = {
        .threads = 1, .event = listen, .context = &told, .cached_in_sum = in_sum};
    ASSERT_OK(us_cache_open(folder, &store));
    ASSERT_OK(us_run_create(graph, store, &options, &run));
    ASSERT_OK(us_run_execute(run, &summary));
    assert_int_equal(summary.cached, told.by_node + told.sum);
    assert_int_equal(summary.ran, told.done);
    us_run_destroy(run);
    us_cache_close(store);
    us_graph_destroy(graph);
    return told;
}

static void in_sum_or_by_node(void **state) {
    (void)state;
    for (int in_sum = 0; in_sum < 2; in_sum++) {
        const char *cache = in_sum ? "sum" : "node";
        struct told told = run(cache, 0, 0, in_sum);
        assert_int_equal(told.done, 30);
        told = run(cache, 0, 5, in_sum); /* three frames of c run, seven do not */
        assert_int_equal(told.done, 3);
        assert_int_equal(told.by_node, in_sum ? 7 : 27);
        assert_int_equal(told.sum, in_sum ? 20 : 0);
        assert_int_equal(told.cached_events, in_sum ? 2 : 3);
        told = run(cache, 0, 5, in_sum);
        assert_int_equal(told.done, 0);
        assert_int_equal(told.cached_events, in_sum ? 1 : 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_sum_or_by_node)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
