/* Planes at other sizes, for networks that have not grown to the whole size yet. */
#ifndef US_KERNELS_NN_REDUCE_INTERNAL_H
#define US_KERNELS_NN_REDUCE_INTERNAL_H

#include <stddef.h>

/* `count` planes of size x size to to x to, a divisor: means of squares. */
void nn_reduce_planes(const float *planes, size_t count, int size, int to, float *out);
/* The other way, bilinear between the centres. */
void nn_enlarge_planes(const float *planes, size_t count, int size, int to, float *out);

#endif
