/* Colour statistics of weighted pixels, and linear maps that bring one set's to another's. */
#ifndef US_KERNELS_COLOUR_H
#define US_KERNELS_COLOUR_H

#include "kernels/view.h"

/* Sums over pixels; they add, so that several images can be averaged. Zeroed is empty. */
struct us_colour_sums {
    double weight, value[3], product[3][3];
};

/* x -> m x + offset, per pixel. */
struct us_colour_map {
    double m[3][3], offset[3];
};

enum us_colour_method {
    US_COLOUR_NONE,
    US_COLOUR_MEAN,     /* a gain a channel: ratio of the means */
    US_COLOUR_REINHARD, /* mean and deviation a channel (Reinhard et al. 2001, in linear light) */
    US_COLOUR_MKL, /* mean and covariance: the linear Monge-Kantorovitch map (Pitie, Kokaram 2007)
                    */
};

/* Adds pixels with a weight above 0; pixels that are not finite count nothing. */
void us_colour_gather(const struct us_view rgb[3], struct us_view weight,
                      struct us_colour_sums *sums);
/* `sums` += share x `more` normalised to weight 1; nothing when `more` is empty. */
void us_colour_blend(struct us_colour_sums *sums, const struct us_colour_sums *more, double share);
/* The map that gives `from` the statistics of `to`; identity when either is empty or has no light.
 * Gains are held within 1/16 to 16. `strength` 0 to 1 goes from identity to the whole map. */
void us_colour_solve(const struct us_colour_sums *from, const struct us_colour_sums *to,
                     enum us_colour_method method, double strength, struct us_colour_map *map);
void us_colour_apply(const struct us_colour_map *map, const struct us_view rgb[3]);

/* The same on a device, enqueued on `stream` (a cudaStream_t): `sums` (set, not added to) and
 * us_colour_scratch_cuda(height) further sums lie in its memory, `map` in the host's. */
size_t us_colour_scratch_cuda(int32_t height);
void us_colour_gather_cuda(const struct us_view rgb[3], struct us_view weight,
                           struct us_colour_sums *sums, struct us_colour_sums *scratch,
                           void *stream);
void us_colour_apply_cuda(const struct us_colour_map *map, const struct us_view rgb[3],
                          void *stream);

#endif
