/* Every operation of an engine against a reference in doubles, on small odd shapes. */
#ifndef US_KERNELS_NN_OP_TEST_H
#define US_KERNELS_NN_OP_TEST_H

#include "kernels/nn/op_call.h"

/* One operation: the largest ||result - reference|| / ||reference|| of its results, forward and
 * backward; backward's references are differences of the forward reference. */
struct us_nn_op_test_result {
    const char *name; /* "convolution 3x3 with residual" */
    const char *type; /* "f32" or "bf16" */
    double error, tolerance;
    enum us_nn_status status; /* US_NN_UNSUPPORTED: the engine has it not; else what went wrong */
    bool passed;              /* or unsupported */
};

typedef void us_nn_op_test_report(void *context, const struct us_nn_op_test_result *result);

/* Reports every operation; the number that failed. A second or less on a CPU. */
int us_nn_op_test(const struct us_nn_op_engine *engine, us_nn_op_test_report *report,
                  void *context);

#endif
