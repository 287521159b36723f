#include <string.h>

#include "nodes/learn/training_memory.h"
#include "tests/support/check.h"

static const size_t gib = (size_t)1 << 30;

static void test_what_fits_may_start(void **state) {
    (void)state;
    assert_null(us_training_fits(2 * gib, 2 * gib));
    assert_null(us_training_fits(1, 2 * gib));
}

static void test_too_much_says_by_how_much(void **state) {
    (void)state;
    struct us_error *error = us_training_fits(5 * gib + gib / 2, 2 * gib);
    assert_non_null(error);
    assert_int_equal(error->code, US_MISSING);
    assert_string_equal(error->text, "the training takes 5.5 GiB of memory, this machine has 2.0 "
                                     "GiB: 3.5 GiB too much");
    us_error_free(error);
}

static void test_the_machine_has_memory(void **state) {
    (void)state;
    assert_true(us_machine_memory() > gib / 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_fits_may_start),
                                       cmocka_unit_test(test_too_much_says_by_how_much),
                                       cmocka_unit_test(test_the_machine_has_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
