#ifndef US_KERNELS_BLUR_INTERNAL_H
#define US_KERNELS_BLUR_INTERNAL_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/both_internal.h"

#define BLUR_LEAST 0.05 /* a smaller sigma copies */

US_BOTH int32_t blur_radius(double sigma) {
    return sigma < BLUR_LEAST ? 0 : (int32_t)(3.5 * fmin(sigma, 1e6) + 0.5);
}
US_BOTH size_t blur_scratch(int32_t width, int32_t height, double sigma) {
    size_t taps = 2 * (size_t)blur_radius(sigma) + 1;
    return (size_t)width * (size_t)height + 2 * taps + (size_t)width;
}

#endif
