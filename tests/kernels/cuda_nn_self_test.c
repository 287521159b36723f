/* The trainings that doctor compares, with the emulation as the device. */
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

#include "kernels/cuda/trainer_api.h"
#include "kernels/nn/engine_internal.h"
#include "kernels/nn/self_test.h"

struct results {
    int count;
    char first[300];
};

static void note(void *context, const char *name, const char *error) {
    struct results *results = context;
    results->count++;
    if (error && !results->first[0]) {
        snprintf(results->first, sizeof results->first, "%s: %s", name, error);
    }
}

static void the_emulation_agrees(void **state) {
    (void)state;
    struct results results = {0};
    nn_set_cuda_engine(&us_cuda_trainer_table);
    assert_int_equal(us_nn_self_test(1, note, &results), 0);
    assert_string_equal(results.first, "");
    assert_int_equal(results.count, 4);
}

/* A device whose weights are not those that were asked for. */
static enum us_nn_status create_other(const struct us_nn_trainer_config *config,
                                      struct us_nn_trainer **trainer) {
    struct us_nn_trainer_config other = *config;
    other.seed++;
    return us_cuda_trainer_table.trainer->create(&other, trainer);
}

static void what_differs_is_named(void **state) {
    (void)state;
    struct results results = {0};
    struct nn_trainer_type type = *us_cuda_trainer_table.trainer;
    type.create = create_other;
    const struct us_cuda_trainer_api wrong = {.trainer = &type};
    nn_set_cuda_engine(&wrong);
    assert_int_equal(us_nn_self_test(1, note, &results), 4);
    assert_non_null(strstr(results.first, "training df-ud: the loss of step 1 is "));
}

/* A device that draws a little differently each time. */
static enum us_nn_status infer_other(struct us_nn_trainer *trainer, enum us_nn_side decoder,
                                     const float *faces, int count, float *images, float *masks) {
    static int times;
    const enum us_nn_status status =
        us_cuda_trainer_table.trainer->infer(trainer, decoder, faces, count, images, masks);
    images[0] += 1e-6f * (float)++times;
    return status;
}

static void other_bits_are_noticed(void **state) {
    (void)state;
    struct results results = {0};
    struct nn_trainer_type type = *us_cuda_trainer_table.trainer;
    type.infer = infer_other;
    const struct us_cuda_trainer_api unsteady = {.trainer = &type};
    nn_set_cuda_engine(&unsteady);
    assert_int_equal(us_nn_self_test(1, note, &results), 4);
    assert_non_null(strstr(results.first, "the same training again gives other bits"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_emulation_agrees),
                                       cmocka_unit_test(what_differs_is_named),
                                       cmocka_unit_test(other_bits_are_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
