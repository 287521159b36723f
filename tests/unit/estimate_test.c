#include "runtime/api/estimate.h"

#include <stdlib.h>

#include "tests/support/check.h"

static struct us_estimate estimate(const struct us_estimate_node *nodes, size_t count, int slots,
                                   int devices) {
    const struct us_estimate_machine machine = {slots, devices, 0};
    return us_estimate_run(nodes, count, NULL, 0, &machine);
}

static const struct us_estimate_link frames_of_0[] = {{0, false}}, all_of_0[] = {{0, true}},
                                     all_of_1[] = {{1, true}};

static void test_slots(void **state) {
    (void)state;
    const struct us_estimate_node node = {.count = 10, .seconds = 1, .threads = 1};
    struct us_estimate at = estimate(&node, 1, 2, 0);
    ASSERT_NEAR(at.seconds, 5, 1e-9);
    ASSERT_NEAR(at.work, 10, 1e-9);
    ASSERT_NEAR(at.path, 1, 1e-9);
    assert_false(at.unknown);
    ASSERT_NEAR(estimate(&node, 1, 4, 0).seconds, 3, 1e-9); /* 4 + 4 + 2 */
    const struct us_estimate_node wide = {.count = 10, .seconds = 1, .threads = 64};
    ASSERT_NEAR(estimate(&wide, 1, 4, 0).seconds, 10, 1e-9); /* cut to what there is */
    assert_true(estimate(NULL, 0, 2, 0).seconds == 0);
}

static void test_chains(void **state) {
    (void)state;
    const struct us_estimate_node frames[] = {
        {.count = 24, .seconds = 1, .threads = 1},
        {.count = 24, .seconds = 0.5, .threads = 1, .above = frames_of_0, .above_count = 1},
    };
    struct us_estimate at = estimate(frames, 2, 2, 0);
    ASSERT_NEAR(at.seconds, 18, 1.001);
    ASSERT_NEAR(at.path, 1.5, 1e-9);
    /* With as many slots as frames only the longest chain counts. */
    ASSERT_NEAR(estimate(frames, 2, 24, 0).seconds, 1.5, 1e-9);
    /* Every frame first, then all threads for one task, then every frame. */
    const struct us_estimate_node whole[] = {
        {.count = 4, .seconds = 1, .threads = 1},
        {.count = 1, .seconds = 2, .threads = 2, .above = all_of_0, .above_count = 1},
        {.count = 4, .seconds = 1, .threads = 1, .above = all_of_1, .above_count = 1},
    };
    ASSERT_NEAR(estimate(whole, 3, 2, 0).seconds, 6, 1e-9);
    ASSERT_NEAR(estimate(whole, 3, 8, 0).seconds, 4, 1e-9);
}

static void test_longest_path_first(void **state) {
    (void)state;
    /* The training has most below it: it goes first, and the small ones do not starve it. */
    const struct us_estimate_node nodes[] = {
        {.count = 4, .seconds = 1, .threads = 1},
        {.count = 1, .seconds = 3, .threads = 2},
    };
    ASSERT_NEAR(estimate(nodes, 2, 2, 0).seconds, 5, 1e-9);
}

static void test_devices(void **state) {
    (void)state;
    const struct us_estimate_node one = {.count = 8, .seconds = 1, .threads = 1, .devices = 1};
    ASSERT_NEAR(estimate(&one, 1, 4, 2).seconds, 4, 1e-9);
    ASSERT_NEAR(estimate(&one, 1, 4, 0).seconds, 2, 1e-9); /* none: on the CPU */
    const struct us_estimate_node gang[] = {
        {.count = 2, .seconds = 2, .threads = 1, .devices = US_ALL_DEVICES},
        {.count = 6, .seconds = 1, .threads = 1},
    };
    ASSERT_NEAR(estimate(gang, 2, 3, 2).seconds, 4, 1e-9); /* the others beside it */
}

static void test_at_work(void **state) {
    (void)state;
    const struct us_estimate_machine machine = {2, 0, 0};
    const struct us_estimate_node nodes[] = {
        {.count = 0, .seconds = 9, .threads = 2},
        {.count = 4, .seconds = 1, .threads = 1, .above = all_of_0, .above_count = 1},
    };
    const struct us_estimate_running training = {0, 3};
    struct us_estimate at = us_estimate_run(nodes, 2, &training, 1, &machine);
    ASSERT_NEAR(at.seconds, 5, 1e-9);
    ASSERT_NEAR(at.path, 4, 1e-9);
    ASSERT_NEAR(at.work, 3 * 2 + 4, 1e-9);
    struct us_estimate_running many[20];
    for (size_t i = 0; i < 20; i++) {
        many[i] = (struct us_estimate_running){0, (double)i};
    }
    ASSERT_NEAR(us_estimate_run(nodes, 1, many, 20, &machine).seconds, 19, 1e-9);
}

/* Two frames are left above, all are below: those whose input is there go on meanwhile. */
static void test_half_done(void **state) {
    (void)state;
    const struct us_estimate_node nodes[] = {
        {.count = 2, .seconds = 5, .threads = 1},
        {.count = 24, .seconds = 1, .threads = 1, .above = frames_of_0, .above_count = 1},
    };
    ASSERT_NEAR(estimate(nodes, 2, 3, 0).seconds, 12, 1e-9);
}

static void test_overhead_and_unknown(void **state) {
    (void)state;
    const struct us_estimate_machine machine = {1, 0, 0.01};
    struct us_estimate_node nodes[] = {
        {.count = 100, .seconds = 0.01, .threads = 1},
        {.count = 0, .seconds = -1, .threads = 1},
    };
    struct us_estimate at = us_estimate_run(nodes, 2, NULL, 0, &machine);
    ASSERT_NEAR(at.seconds, 2, 1e-6);
    assert_false(at.unknown); /* nothing of it runs */
    nodes[1].count = 5;
    at = us_estimate_run(nodes, 2, NULL, 0, &machine);
    assert_true(at.unknown);
    ASSERT_NEAR(at.seconds, 2.05, 1e-6);
}

/* 100 nodes of 10,000 frames each in a chain. */
static void test_a_million(void **state) {
    (void)state;
    enum { NODES = 100, FRAMES = 10000 };
    static struct us_estimate_node nodes[NODES];
    static struct us_estimate_link links[NODES];
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[i] = (struct us_estimate_node){.count = FRAMES, .seconds = 0.1, .threads = 1};
        links[i] = (struct us_estimate_link){i - 1, false};
        nodes[i].above = i ? &links[i] : NULL;
        nodes[i].above_count = i > 0;
    }
    const struct us_estimate at = estimate(nodes, NODES, 16, 0);
    ASSERT_NEAR(at.work, 1e5, 1e-3);
    assert_true(at.seconds >= at.work / 16 && at.seconds < 1.05 * at.work / 16);
}

/* Whatever the graph, the estimate lies between the bounds. */
static void test_bounds(void **state) {
    (void)state;
    enum { MOST = 12 };
    unsigned short seed[3] = {1, 2, 3};
    for (int round = 0; round < 500; round++) {
        struct us_estimate_node nodes[MOST];
        struct us_estimate_link links[MOST][3];
        const size_t count = 1 + (size_t)(nrand48(seed) % MOST);
        const int slots = 1 + (int)(nrand48(seed) % 5), devices = (int)(nrand48(seed) % 3);
        double one_by_one = 0;
        for (uint32_t i = 0; i < count; i++) {
            nodes[i] = (struct us_estimate_node){.count = (size_t)(nrand48(seed) % 30),
                                                 .seconds = erand48(seed),
                                                 .threads = 1 + (int)(nrand48(seed) % 6),
                                                 .devices = (int)(nrand48(seed) % 3) - 1,
                                                 .above = links[i]};
            for (int k = 0; i > 0 && k < 3; k++) {
                links[i][nodes[i].above_count++] =
                    (struct us_estimate_link){(uint32_t)nrand48(seed) % i, nrand48(seed) % 2 == 0};
            }
            one_by_one += (double)nodes[i].count * nodes[i].seconds;
        }
        const struct us_estimate at = estimate(nodes, count, slots, devices);
        assert_true(at.seconds >= at.work / slots - 1e-9);
        assert_true(at.seconds >= at.path - 1e-9);
        assert_true(at.seconds <= one_by_one + 1e-9);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_slots),
                                       cmocka_unit_test(test_chains),
                                       cmocka_unit_test(test_longest_path_first),
                                       cmocka_unit_test(test_devices),
                                       cmocka_unit_test(test_at_work),
                                       cmocka_unit_test(test_half_done),
                                       cmocka_unit_test(test_overhead_and_unknown),
                                       cmocka_unit_test(test_a_million),
                                       cmocka_unit_test(test_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
