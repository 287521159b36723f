/* The network's encodings of scene-linear light. Exactly invertible up to float rounding,
 * monotonic, defined for every float (negative values are mirrored).
 *
 * "log": an ACEScct-like curve scaled so that 0 -> US_LOG_BLACK and 1.0 lands near 0.6;
 * linear below a toe, logarithmic above; values above 1 stay below 1.0 up to 2^6 or so. */
#ifndef US_KERNELS_ENCODING_H
#define US_KERNELS_ENCODING_H

#include <stddef.h>

void us_log_encode(const float *linear, float *encoded, size_t count);
void us_log_decode(const float *encoded, float *linear, size_t count);

/* IEC 61966-2-1 sRGB; the mirror image for negatives; not clipped. */
void us_srgb_encode(const float *linear, float *encoded, size_t count);
void us_srgb_decode(const float *encoded, float *linear, size_t count);

#endif
