#include "kernels/nn/op_test.h"

#include <math.h>

#include "kernels/nn/trainer.h"
#include "tests/support/check.h"

static int reported;

static void must_pass(void *context, const struct us_nn_op_test_result *r) {
    (void)context;
    reported++;
    if (!r->passed) {
        print_message("%s %s: status %d, error %g over %g\n", r->name, r->type, (int)r->status,
                      r->error, r->tolerance);
    }
    assert_true(r->passed);
    assert_true(r->status == US_NN_OK ||
                (r->status == US_NN_UNSUPPORTED && !us_nn_has_bf16() && r->type[0] == 'b'));
    assert_true(r->status != US_NN_OK || r->error >= 0);
}

static void test_every_operation_passes_on_the_cpu(void **state) {
    (void)state;
    reported = 0;
    assert_int_equal(us_nn_op_test(&us_nn_cpu_ops, must_pass, NULL), 0);
    assert_int_equal(reported, 28);
}

/* An engine that gets one value of each result a little wrong, or leaves it unwritten. */
static float fault;

static void damage(float *at) {
    if (at) {
        *at = isnan(fault) ? NAN : *at + fault;
    }
}

static enum us_nn_status bad_op(void *context, const struct us_nn_op_call *call) {
    const enum us_nn_status status = us_nn_cpu_ops.op(context, call);
    damage(call->weight_gradient ? call->weight_gradient : call->x_gradient);
    return status;
}

static enum us_nn_status bad_loss(void *context, struct us_nn_loss_call *call) {
    const enum us_nn_status status = us_nn_cpu_ops.loss(context, call);
    damage(call->image_gradient + 181);
    return status;
}

static enum us_nn_status bad_optimize(void *context, const struct us_nn_optimizer_call *call) {
    const enum us_nn_status status = us_nn_cpu_ops.optimize(context, call);
    damage(call->average + call->count - 1);
    return status;
}

static enum us_nn_status bad_augment(void *context, const struct us_nn_augment_call *call) {
    const enum us_nn_status status = us_nn_cpu_ops.augment(context, call);
    damage(call->masks);
    return status;
}

static void count_failures(void *context, const struct us_nn_op_test_result *r) {
    *(int *)context += r->status == US_NN_UNSUPPORTED;
}

static void test_every_fault_is_found(void **state) {
    (void)state;
    const struct us_nn_op_engine bad = {
        .op = bad_op, .loss = bad_loss, .optimize = bad_optimize, .augment = bad_augment};
    const float faults[] = {1, NAN};
    for (int i = 0; i < 2; i++) {
        int unsupported = 0;
        fault = faults[i];
        assert_int_equal(us_nn_op_test(&bad, count_failures, &unsupported), 28 - unsupported);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operation_passes_on_the_cpu),
        cmocka_unit_test(test_every_fault_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
