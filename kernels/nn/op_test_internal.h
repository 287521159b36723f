#ifndef US_KERNELS_NN_OP_TEST_INTERNAL_H
#define US_KERNELS_NN_OP_TEST_INTERNAL_H

#include "kernels/nn/op_call.h"

/* Inputs of an operation in doubles, as pointers into one run of values. */
struct nn_reference_inputs {
    const double *x, *x2, *weights;
};

/* Forward in doubles, from the definitions. */
void nn_op_reference(const struct us_nn_op_call *call, const struct nn_reference_inputs *in,
                     double *y);

/* The total of the losses, in doubles; `soft` [count][size][size] are the soft masks, or NULL. */
double nn_loss_reference(const struct us_nn_loss_call *call, const double *image,
                         const double *soft);
void nn_soft_mask_reference(const struct us_nn_loss_call *call, double *soft);

/* Random values from -1 to 1, rounded to bfloat16 where asked. */
void nn_op_test_fill(float *values, size_t count, uint32_t stream, bool bf16);
/* ||a - b|| / ||b||; infinite when something in a is not finite. */
double nn_op_test_error(const float *a, const double *b, size_t count);

/* The parts of the self-test beside the operations of networks: the error, or a status. */
enum us_nn_status nn_op_test_losses(const struct us_nn_op_engine *engine, double *error);
enum us_nn_status nn_op_test_optimizer(const struct us_nn_op_engine *engine,
                                       enum us_nn_optimizer_kind kind, double *error);
enum us_nn_status nn_op_test_augment(const struct us_nn_op_engine *engine, double *error);

#endif
