/* Matrix products whose bits depend on their shapes alone, not on the number of threads. */
#ifndef US_KERNELS_NN_MULTIPLY_INTERNAL_H
#define US_KERNELS_NN_MULTIPLY_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/nn/status.h"

/* c = alpha a b + beta c, row-major, a is m x k (k x m when flipped), b is k x n (n x k), the rows
 * of c are n apart and those of a and b as wide as these are. */
struct nn_product {
    int64_t m, n, k;
    bool flip_a, flip_b;
    float alpha, beta;
    const float *a, *b;
    float *c;
};

/* Rows or columns of c are shared out among the calling thread's team, in parts of a fixed size;
 * each sum over k is one thread's. */
enum us_nn_status nn_multiply(const struct nn_product *product);

#endif
