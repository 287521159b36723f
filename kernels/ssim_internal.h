#ifndef US_KERNELS_SSIM_INTERNAL_H
#define US_KERNELS_SSIM_INTERNAL_H

#include "kernels/both_internal.h"

#define SSIM_SIGMA 1.5

/* From the local means of a, b, aa, bb and ab. */
US_BOTH float ssim_at(float a, float b, float aa, float bb, float ab, double peak) {
    float c1 = (float)(0.0001 * peak * peak), c2 = (float)(0.0009 * peak * peak);
    float product = a * b, power = a * a + b * b, spread = aa + bb - power;
    float similar = (2.0f * product + c1) * (2.0f * (ab - product) + c2);
    return similar / ((power + c1) * ((spread > 0.0f ? spread : 0.0f) + c2));
}

#endif
