#include "kernels/cuda/ops_api.h"
#include "kernels/nn/op_test.h"
#include "tests/kernels/cuda_check.h"

static int reported;

static void must_pass(void *context, const struct us_nn_op_test_result *r) {
    (void)context;
    reported++;
    if (!r->passed || r->status) {
        print_message("%s %s: status %d, error %g over %g\n", r->name, r->type, (int)r->status,
                      r->error, r->tolerance);
    }
    assert_true(r->passed && r->status == US_NN_OK);
}

/* Every operation that the module offers, in both types, against the references. */
static void test_every_operation_passes_on_a_device(void **state) {
    (void)state;
    struct us_nn_op_engine engine;
    reported = 0;
    assert_int_equal(us_cuda_ops_table.open(0, &engine), US_NN_OK);
    assert_int_equal(us_nn_op_test(&engine, must_pass, NULL), 0);
    us_cuda_ops_table.close(&engine);
    assert_int_equal(reported, 28);
    assert_int_equal(us_emulation_used(), 0);
}

static void must_fail(void *context, const struct us_nn_op_test_result *r) {
    (void)context;
    assert_true(!r->passed && r->status == US_NN_NO_MEMORY);
}

static void test_a_full_device_is_said(void **state) {
    (void)state;
    struct us_nn_op_engine engine;
    us_emulation_set_memory(64);
    assert_int_equal(us_cuda_ops_table.open(0, &engine), US_NN_OK);
    assert_int_equal(us_nn_op_test(&engine, must_fail, NULL), 28);
    us_cuda_ops_table.close(&engine);
    us_emulation_set_memory(0);
    assert_int_equal(us_emulation_used(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operation_passes_on_a_device),
        cmocka_unit_test(test_a_full_device_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
