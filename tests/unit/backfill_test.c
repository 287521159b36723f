/* What goes in between while devices, slots or memory are kept for another. */
#include "runtime/exec/scheduler.h"
#include "tests/support/check.h"

/* A task of 100 s holds one of what there are four of, and what wants all four waits. How many of
 * 40 tasks of 3 s go in between until it can start? */
static int go_between(struct resources r, struct demand one, struct demand all, float known,
                      double really) {
    struct scheduler s;
    struct start held, start, running[4];
    double ends[4];
    size_t count = 0;
    int between = 0;
    scheduler_init(&s, &r);
    const uint32_t small = scheduler_queue(&s, one, 0, 1), big = scheduler_queue(&s, all, 0, 1);
    scheduler_push(&s, small, (struct ready_task){.urgency = 200, .seconds = 100});
    assert_true(scheduler_next(&s, &held));
    scheduler_push(&s, big, (struct ready_task){.urgency = 100, .seconds = 100, .task = 1});
    for (uint32_t i = 2; i < 42; i++) {
        scheduler_push(&s, small, (struct ready_task){.seconds = known, .task = i});
    }
    for (int half = 0; half < 200; half++) {
        s.now = 0.5 * half;
        for (size_t k = 0; k < count; k++) {
            if (ends[k] <= s.now) {
                scheduler_ended(&s, &running[k]);
                running[k] = running[--count];
                ends[k--] = ends[count];
            }
        }
        while (scheduler_next(&s, &start)) {
            assert_int_equal(start.queue, small);
            running[count] = start;
            ends[count++] = s.now + really;
            between++;
        }
    }
    while (count) { /* those that took longer than they did before */
        scheduler_ended(&s, &running[--count]);
        assert_false(scheduler_next(&s, &start));
    }
    scheduler_ended(&s, &held);
    assert_true(scheduler_next(&s, &start));
    assert_int_equal(start.queue, big);
    scheduler_finish(&s);
    return between;
}

static void short_tasks_go_between(void **state) {
    (void)state;
    struct resources gpus = {.slots = 64, .free_slots = 64, .device_count = 4};
    for (int i = 0; i < 4; i++) {
        gpus.devices[i].memory = SIZE_MAX;
    }
    struct demand one = {.threads = 1, .devices = 1, .allowed = UINT64_MAX}, all = one;
    all.devices = 4;
    assert_int_equal(go_between(gpus, one, all, 3, 3), 40);
    assert_int_equal(go_between(gpus, one, all, 0, 3), 0);   /* nobody knows how long they take */
    assert_int_equal(go_between(gpus, one, all, 60, 3), 0);  /* more than half of the wait */
    assert_int_equal(go_between(gpus, one, all, 3, 500), 3); /* wrong, but not for long */
    const struct resources slots = {.slots = 4, .free_slots = 4};
    one = all = (struct demand){.threads = 1};
    all.threads = -1;
    assert_int_equal(go_between(slots, one, all, 3, 3), 40);
    assert_int_equal(go_between(slots, one, all, 0, 3), 0);
    const struct resources host = {.slots = 9, .free_slots = 9, .host = 40, .free_host = 40};
    one = all = (struct demand){.threads = 1, .host_bytes = 10};
    all.host_bytes = 40;
    assert_int_equal(go_between(host, one, all, 3, 3), 40);
    assert_int_equal(go_between(host, one, all, 0, 3), 0);
}

/* As long as something that it waits for has no known end, or should have ended, nothing goes in
 * between. */
static void ends_are_to_be_known(void **state) {
    (void)state;
    struct resources r = {.slots = 8, .free_slots = 8, .device_count = 3};
    struct scheduler s;
    struct start held, a, b, next;
    const struct demand one = {.threads = 1, .devices = 1, .allowed = UINT64_MAX};
    struct demand all = one;
    all.devices = 3;
    for (int i = 0; i < 3; i++) {
        r.devices[i].memory = SIZE_MAX;
    }
    for (int i = 0; i < 2; i++) {
        const float known = i ? 100 : 0;
        scheduler_init(&s, &r);
        const uint32_t small = scheduler_queue(&s, one, 0, 1), big = scheduler_queue(&s, all, 0, 1);
        scheduler_push(&s, small, (struct ready_task){.urgency = 200, .seconds = known});
        assert_true(scheduler_next(&s, &held));
        scheduler_push(&s, big, (struct ready_task){.urgency = 100, .task = 1});
        for (uint32_t k = 2; k < 9; k++) {
            scheduler_push(&s, small, (struct ready_task){.seconds = 3, .task = k});
        }
        assert_int_equal(scheduler_next(&s, &a), known > 0);
        if (known > 0) {
            assert_true(scheduler_next(&s, &b));
            s.now = 10;
            scheduler_ended(&s, &a);
            assert_false(scheduler_next(&s, &next)); /* b is late */
            scheduler_ended(&s, &b);
            assert_true(scheduler_next(&s, &next));
            assert_int_equal(next.queue, small);
        }
        scheduler_finish(&s);
    }
}

/* A batch is cut to what is over in half of the wait. */
static void a_batch_goes_between_in_part(void **state) {
    (void)state;
    struct resources r = {.slots = 8, .free_slots = 8, .device_count = 2};
    struct scheduler s;
    struct start start;
    r.devices[0].memory = r.devices[1].memory = SIZE_MAX;
    scheduler_init(&s, &r);
    struct demand one = {.threads = 1, .devices = 1, .allowed = UINT64_MAX}, both = one;
    both.devices = 2;
    const uint32_t held = scheduler_queue(&s, one, 0, 1), big = scheduler_queue(&s, both, 0, 1),
                   batch = scheduler_queue(&s, one, 7, 8);
    scheduler_push(&s, held, (struct ready_task){.urgency = 200, .seconds = 100});
    scheduler_push(&s, big, (struct ready_task){.urgency = 100, .seconds = 100, .task = 1});
    assert_true(scheduler_next(&s, &start));
    for (uint32_t i = 2; i < 10; i++) {
        scheduler_push(&s, batch, (struct ready_task){.seconds = 15, .task = i});
    }
    assert_true(scheduler_next(&s, &start));
    assert_int_equal(start.queue, batch);
    assert_int_equal(start.count, 3);
    s.now = 45;
    scheduler_ended(&s, &start);
    assert_true(scheduler_next(&s, &start));
    assert_int_equal(start.count, 1);
    s.now = 80;
    scheduler_ended(&s, &start);
    assert_false(scheduler_next(&s, &start));
    scheduler_finish(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_tasks_go_between),
        cmocka_unit_test(ends_are_to_be_known),
        cmocka_unit_test(a_batch_goes_between_in_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
