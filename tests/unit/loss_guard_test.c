#include <math.h>

#include "nodes/learn/loss_guard.h"
#include "tests/support/check.h"

enum { STEPS = 600 };

static float losses[2 * STEPS];

/* Uneven numbers around 1, falling slowly, the same on every machine. */
static void usual_losses(void) {
    uint32_t state = 1;
    for (int i = 0; i < STEPS; i++) {
        state = state * 1664525u + 1013904223u;
        const float noise = (float)(state >> 8) / (float)(1 << 24) - 0.5f;
        losses[2 * i] = 0.5f + 0.2f * noise - 0.0002f * (float)i;
        losses[2 * i + 1] = 0.5f;
    }
}

static void raise_losses(int from, int to, float by) {
    for (int i = from; i < to; i++) {
        losses[2 * i] += by;
    }
}

static struct us_loss_guard guard_of(int window, double factor) {
    return (struct us_loss_guard){.losses = losses, .sides = 2, .window = window, .factor = factor};
}

static enum us_guard_verdict verdict(uint64_t step) {
    const struct us_loss_guard guard = guard_of(200, 8);
    return us_loss_guard_look(&guard, step).verdict;
}

static void usual_losses_are_calm(void **state) {
    (void)state;
    usual_losses();
    const struct us_loss_guard guard = guard_of(200, 8);
    for (uint64_t step = 0; step <= STEPS; step++) {
        assert_int_equal(us_loss_guard_look(&guard, step).verdict, US_GUARD_CALM);
        assert_int_equal(us_loss_guard_good(&guard, step), step);
    }
}

static void the_limit_is_median_and_deviation(void **state) {
    (void)state;
    for (int i = 0; i < STEPS; i++) { /* 0.9, 1, 1.1 in turn: median 1, deviation 0.1 */
        losses[2 * i] = 0.9f + 0.1f * (float)(i % 3);
        losses[2 * i + 1] = 0;
    }
    const struct us_loss_guard guard = guard_of(60, 8), narrow = guard_of(60, 1);
    const struct us_guard_look look = us_loss_guard_look(&guard, 300);
    ASSERT_NEAR(look.usual, 1, 1e-6);
    ASSERT_NEAR(look.high, 1 + 8 * 1.4826 * 0.1, 1e-6);
    ASSERT_NEAR(look.recent, 1, 1e-6);
    ASSERT_NEAR(us_loss_guard_look(&narrow, 300).high, 1.5, 1e-6); /* half is the least */
}

static void a_single_high_loss_is_only_suspect(void **state) {
    (void)state;
    usual_losses();
    raise_losses(400, 401, 100);
    assert_int_equal(verdict(400), US_GUARD_CALM);
    for (uint64_t step = 401; step <= 410; step++) {
        assert_int_equal(verdict(step), US_GUARD_SUSPECT);
    }
    assert_int_equal(verdict(411), US_GUARD_CALM);
}

static void a_jump_is_found_while_it_is_young(void **state) {
    (void)state;
    usual_losses();
    raise_losses(400, STEPS, 2);
    uint64_t step = 400;
    while (step < STEPS && verdict(step) != US_GUARD_JUMPED) {
        step++;
    }
    assert_in_range(step, 405, 407); /* most of the last ten */
    const struct us_loss_guard guard = guard_of(200, 8);
    const struct us_guard_look look = us_loss_guard_look(&guard, step);
    assert_true(look.usual < 1.05 && look.recent > 2.5);
    /* The weights after 400 steps made the first high loss; ten steps more are not trusted. */
    assert_int_equal(us_loss_guard_good(&guard, step), 400 - US_GUARD_RECENT);
}

static void a_fall_is_no_jump(void **state) {
    (void)state;
    usual_losses();
    raise_losses(400, STEPS, -0.3f);
    for (uint64_t step = 0; step <= STEPS; step++) {
        assert_int_equal(verdict(step), US_GUARD_CALM);
    }
}

static void too_little_is_known_at_first(void **state) {
    (void)state;
    usual_losses();
    raise_losses(10, STEPS, 100);
    for (uint64_t step = 0; step < US_GUARD_RECENT + US_GUARD_LEAST; step++) {
        assert_int_equal(verdict(step), US_GUARD_CALM);
    }
}

/* A net that grew makes other losses from then on. */
static void losses_of_another_kind_are_not_compared(void **state) {
    (void)state;
    usual_losses();
    raise_losses(400, STEPS, 100);
    struct us_loss_guard guard = guard_of(200, 8);
    guard.since = 400;
    for (uint64_t step = 390; step <= STEPS; step++) {
        assert_int_equal(us_loss_guard_look(&guard, step).verdict, US_GUARD_CALM);
        assert_int_equal(us_loss_guard_good(&guard, step), step);
    }
    raise_losses(500, STEPS, 300);
    assert_int_equal(us_loss_guard_look(&guard, 510).verdict, US_GUARD_JUMPED);
    ASSERT_NEAR(us_loss_guard_look(&guard, 510).usual, 101, 0.1);
    assert_int_equal(us_loss_guard_good(&guard, 510), 500 - US_GUARD_RECENT);
}

static void factor_0_is_off(void **state) {
    (void)state;
    usual_losses();
    raise_losses(400, STEPS, 1000);
    const struct us_loss_guard guard = guard_of(200, 0);
    assert_int_equal(us_loss_guard_look(&guard, 420).verdict, US_GUARD_CALM);
    assert_int_equal(us_loss_guard_good(&guard, 420), 420);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_losses_are_calm),
        cmocka_unit_test(the_limit_is_median_and_deviation),
        cmocka_unit_test(a_single_high_loss_is_only_suspect),
        cmocka_unit_test(a_jump_is_found_while_it_is_young),
        cmocka_unit_test(a_fall_is_no_jump),
        cmocka_unit_test(too_little_is_known_at_first),
        cmocka_unit_test(losses_of_another_kind_are_not_compared),
        cmocka_unit_test(factor_0_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
