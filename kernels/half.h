/* IEEE 754 binary16 to float and back, round to nearest even; infinities and NaNs are kept.
 * Source: IEEE 754-2019 section 3.6; uses F16C where the compiler targets it. */
#ifndef US_KERNELS_HALF_H
#define US_KERNELS_HALF_H

#include <stddef.h>
#include <stdint.h>

void us_half_to_float(const uint16_t *half, float *out, size_t count);
void us_float_to_half(const float *in, uint16_t *half, size_t count);

#endif
