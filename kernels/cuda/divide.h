/* Division by a number that only the launch knows, in two instructions instead of some twenty. */
#ifndef US_KERNELS_CUDA_DIVIDE_H
#define US_KERNELS_CUDA_DIVIDE_H

#include <cuda_runtime.h>
#include <stdint.h>

/* Granlund and Montgomery (1994): with 2^(shift - 1) < by <= 2^shift and factor = 2^(31 + shift) /
 * by rounded up, n factor / 2^(31 + shift) is exact for n under 2^31. */
struct us_divisor {
    unsigned factor, shift;
};

static inline struct us_divisor us_divisor_of(unsigned by) {
    struct us_divisor d = {0, 0};
    while ((1ull << d.shift) < by) {
        d.shift++;
    }
    d.factor = (unsigned)((((uint64_t)1 << (31 + d.shift)) + by - 1) / by);
    return d;
}

/* n / by, for n under 2^31. */
__device__ static inline unsigned us_divide(unsigned n, const struct us_divisor &d) {
    return __umulhi(2 * n, d.factor) >> d.shift;
}

#endif
