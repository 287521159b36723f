/* The network's encodings of scene-linear light. Invertible up to float rounding, monotonic,
 * defined for every float (negative values are the mirror image about black). NaN stays NaN.
 * The arithmetic is ours throughout, so the bytes do not depend on the C library.
 *
 * "log": the lin-log shape of ACEScct (Academy S-2016-001: a straight toe that meets a log2 curve
 * with equal slope), rescaled for a net whose outputs lie in 0 to 1 and whose subject is a face:
 *
 *     y = B + C x                          |x| <= 2^-5,  C = A / (2^-5 ln 2)
 *     y = B + A (1 / ln 2 + 5 + log2 x)     x  >  2^-5
 *     y = 2 B - y(-x)                       x  <  0
 *
 * with B = US_LOG_BLACK = 0.03 and A = US_LOG_STOP = 0.0763 of the range to a stop. ACEScct itself
 * (0.057 a stop, break at 2^-7) spends much of its range on shadows below skin and above 2^7.8;
 * this one bends at 2^-5, so that slope follows a display's more evenly over what a lit face holds:
 *
 *     x    0     0.01   0.05   0.18   0.5    1      4      16     64
 *     y    0.030 0.065  0.192  0.333  0.445  0.522  0.674  0.827  0.979
 */
#ifndef US_KERNELS_ENCODING_H
#define US_KERNELS_ENCODING_H

#include <stddef.h>

#define US_LOG_BLACK 0.03f
#define US_LOG_STOP 0.0763f

/* Both may work in place. */
void us_log_encode(const float *linear, float *encoded, size_t count);
void us_log_decode(const float *encoded, float *linear, size_t count);

/* IEC 61966-2-1 sRGB; the mirror image for negatives; not clipped. Both may work in place. */
void us_srgb_encode(const float *linear, float *encoded, size_t count);
void us_srgb_decode(const float *encoded, float *linear, size_t count);

/* The same on a device, enqueued on `stream` (a cudaStream_t). */
void us_log_encode_cuda(const float *linear, float *encoded, size_t count, void *stream);
void us_log_decode_cuda(const float *encoded, float *linear, size_t count, void *stream);
void us_srgb_encode_cuda(const float *linear, float *encoded, size_t count, void *stream);
void us_srgb_decode_cuda(const float *encoded, float *linear, size_t count, void *stream);

#endif
