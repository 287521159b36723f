/* Resampling of planes through an affine map, in doubles, once.
 *
 * Coordinates are continuous: sample (i, j) of a view covers [i, i+1) x [j, j+1), centre at +0.5.
 * Samples outside the source repeat its edge. The filter is stretched where the map minifies, so
 * that it stays an anti-aliasing filter. Sources: Keys 1981 (cubic), Turkowski 1990 (Lanczos),
 * Heckbert 1989 (resampling of affine maps). */
#ifndef US_KERNELS_RESAMPLE_H
#define US_KERNELS_RESAMPLE_H

#include "kernels/view.h"

enum us_filter { US_FILTER_NEAREST, US_FILTER_LINEAR, US_FILTER_CUBIC, US_FILTER_LANCZOS3 };

/* For every destination centre p the source is read at A p, A = {a, b, c, d, e, f}:
 * x' = a x + b y + c, y' = d x + e y + f. `count` planes of one geometry each side. */
void us_resample_affine(const struct us_view *source, const struct us_view *destination, int count,
                        const double destination_to_source[6], enum us_filter filter);
/* The same on a device: planes in its memory, enqueued on `stream` (a cudaStream_t); at most
 * US_RESAMPLE_PLANES planes. `destination_to_source` is the host's. */
enum { US_RESAMPLE_PLANES = 4 };
void us_resample_affine_cuda(const struct us_view *source, const struct us_view *destination,
                             int count, const double destination_to_source[6],
                             enum us_filter filter, void *stream);

#endif
