/* The time that a run takes, over events of a made-up clock. */
#include "tools/eta.h"

#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/toy_nodes.h"

enum { TYPES = 16 };

/* The toys, of which toy_sum's steps extend its work as a training's do. */
static const struct us_node_type *types[TYPES];
static struct us_node_type extending;
static struct us_param *params;
static struct us_registry registry;

static void make_registry(void) {
    registry = us_toys;
    assert_true(us_toys.count <= TYPES);
    for (size_t i = 0; i < us_toys.count; i++) {
        types[i] = us_toys.types[i];
        if (strcmp(types[i]->name, "toy_sum") == 0) {
            extending = *types[i];
            types[i] = &extending;
        }
    }
    size_t count = 0;
    while (extending.params[count].name) {
        count++;
    }
    params = us_malloc((count + 1) * sizeof *params);
    memcpy(params, extending.params, (count + 1) * sizeof *params);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(params[i].name, "steps") == 0) {
            params[i].role = US_EXTENDING;
        }
    }
    extending.params = params;
    registry.types = types;
}

/* A graph of one frame, a training over it, and a frame below it; planned, and never run. */
struct planned {
    struct us_store *store;
    struct us_graph *graph;
    struct us_run *run;
    struct us_eta *eta;
};

static struct planned plan(const char *cache, int steps) {
    struct planned p;
    struct us_str text = {0};
    us_str_printf(&text,
                  "understudy: 1\nnodes:\n"
                  "  one: {type: toy_number, value: %d, frames: 1-1}\n"
                  "  train: {type: toy_sum, value: one, steps: %d}\n"
                  "  below: {type: toy_add, values: [one, train]}\n"
                  "outputs: [below]\n",
                  steps, steps);
    char *path = us_path_join(us_test_folder(), "eta.yaml");
    char *folder = us_path_join(us_test_folder(), cache);
    const struct us_run_options options = {.threads = 1};
    ASSERT_OK(us_write_file(path, us_str_text(&text), text.length));
    ASSERT_OK(us_cache_open(folder, &p.store));
    ASSERT_OK(us_graph_load(&registry, path, NULL, 0, &p.graph));
    ASSERT_OK(us_run_create(p.graph, p.store, &options, &p.run));
    p.eta = us_eta_create(p.graph, p.store, p.run, &options);
    us_str_finish(&text);
    us_free(path);
    us_free(folder);
    return p;
}

static void finish(struct planned *p) {
    us_eta_destroy(p->eta);
    us_run_destroy(p->run);
    us_graph_destroy(p->graph);
    us_cache_close(p->store);
}

static void tell(struct planned *p, enum us_event_kind kind, const char *node, double value,
                 double now) {
    const struct us_event event = {.kind = kind,
                                   .node = us_graph_find(p->graph, node),
                                   .frame = {0, strcmp(node, "train") == 0 ? 0 : 1},
                                   .fraction = value,
                                   .seconds = value};
    us_eta_event(p->eta, &event, now);
}

static double left(struct planned *p, double now, bool *at_least) {
    return us_eta_left(p->eta, now, at_least);
}

static double train_seconds(const struct planned *p) {
    return us_eta_node_plan(p->eta, us_graph_find(p->graph, "train")).seconds;
}

/* The training takes 5 s to begin, 2 s of which it tells about; then `pace` seconds for all of it,
 * and 1 s to end. Nothing is known of it before. */
static void first_run(struct planned *p, double pace) {
    bool at_least;
    tell(p, US_EVENT_START, "one", 0, 100);
    assert_true(left(p, 100.5, &at_least) < 0);
    tell(p, US_EVENT_DONE, "one", 1, 101);
    tell(p, US_EVENT_START, "train", 0, 101);
    tell(p, US_EVENT_PROGRESS, "train", 0, 104);
    assert_true(left(p, 105, &at_least) < 0); /* all that is known is that it begins */
    tell(p, US_EVENT_PROGRESS, "train", 0.01, 106);
    tell(p, US_EVENT_PROGRESS, "train", 0.26, 106 + pace / 4);
    ASSERT_NEAR(left(p, 106 + pace / 4, &at_least), pace * 0.74, 1e-6);
    assert_true(at_least); /* of what is below it nothing is known */
    tell(p, US_EVENT_PROGRESS, "train", 0.99, 106 + pace * 0.98);
    const double end = 106 + pace * 0.99 + 1;
    tell(p, US_EVENT_DONE, "train", end - 101, end);
    tell(p, US_EVENT_START, "below", 0, end);
    tell(p, US_EVENT_DONE, "below", 0.5, end + 0.5);
    us_eta_learn(p->eta, &(struct us_summary){.ran = 3, .seconds = end + 0.5 - 100});
}

static void test_first_run(void **state) {
    (void)state;
    struct planned p = plan("first", 100);
    assert_true(us_eta_plan(p.eta)->estimate.unknown);
    first_run(&p, 100);
    finish(&p);
}

/* Ten times the steps take ten times the pace, and begin and end once. */
static void test_fixed_part(void **state) {
    (void)state;
    struct planned p = plan("fixed", 100);
    first_run(&p, 10);
    finish(&p);
    p = plan("fixed", 100);
    ASSERT_NEAR(train_seconds(&p), 5 + 10 * 0.99 + 1, 1e-6);
    assert_false(us_eta_plan(p.eta)->estimate.unknown);
    finish(&p);
    p = plan("fixed", 1000);
    ASSERT_NEAR(train_seconds(&p), 5 + 1 - 0.1 + 100, 1e-6);
    finish(&p);
}

/* What went on from its middle is remembered as if it had not. */
static void test_went_on(void **state) {
    (void)state;
    struct planned p = plan("went_on", 100);
    tell(&p, US_EVENT_START, "train", 0, 0);
    tell(&p, US_EVENT_PROGRESS, "train", 0.5, 3);
    tell(&p, US_EVENT_PROGRESS, "train", 0.51, 4);
    tell(&p, US_EVENT_PROGRESS, "train", 0.91, 44);
    tell(&p, US_EVENT_DONE, "train", 54, 54);
    us_eta_learn(p.eta, &(struct us_summary){.ran = 1, .seconds = 54});
    finish(&p);
    p = plan("went_on", 100);
    ASSERT_NEAR(train_seconds(&p), 4 + 100, 1e-6);
    finish(&p);
}

int main(void) {
    make_registry();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_run),
        cmocka_unit_test(test_fixed_part),
        cmocka_unit_test(test_went_on),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    us_free(params);
    return failed;
}
