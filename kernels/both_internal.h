/* US_BOTH marks a function of the arithmetic that a kernel's .c and .cu share: one definition, so
 * that both give the same bits wherever the C library is not asked. */
#ifndef US_KERNELS_BOTH_INTERNAL_H
#define US_KERNELS_BOTH_INTERNAL_H

#ifdef __CUDACC__
#define US_BOTH static __host__ __device__ inline
#else
#define US_BOTH static inline
#endif

#endif
