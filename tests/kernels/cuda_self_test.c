/* The self-test that doctor runs on devices, on the emulation: it passes there, and names what is
 * off. */
#include "tests/support/check.h"

#include <cuda_runtime.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/conv_plan.h"
#include "kernels/cuda/device_internal.h"

struct results {
    int count, bad;
    char first[200];
};

static void note(void *context, const char *name, const char *error) {
    struct results *results = context;
    results->count++;
    results->bad += error != NULL;
    if (error && !results->first[0]) {
        snprintf(results->first, sizeof results->first, "%s: %s", name, error);
    }
}

static void passes(void **state) {
    (void)state;
    struct results results = {0};
    assert_int_equal(cuda_self_test(0, note, &results), 0);
    assert_string_equal(results.first, "");
    assert_true(results.count >= 1 + 4 * 6);
    assert_int_equal(results.bad, 0);
}

static void no_such_device(void **state) {
    (void)state;
    struct results results = {0};
    assert_true(cuda_self_test(99, note, &results) > 0);
    assert_memory_equal(results.first, "device: ", 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(passes), cmocka_unit_test(no_such_device)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
