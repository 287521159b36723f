/* Laying a picture over a plate through a matte: the matte's factors, and the mix itself. A mask
 * of 0 is exact: nothing there is written. */
#ifndef US_KERNELS_BLEND_H
#define US_KERNELS_BLEND_H

#include <stdbool.h>

#include "kernels/view.h"

/* A mask below this counts as 0. */
#define US_BLEND_LEAST (1.0f / 1024.0f)

/* How far a sample's centre lies inside a picture of width x height that `map` takes it to: 0
 * outside, 1 from `ramp` samples on, smoothly between. `scale` is the picture's pixels to a sample.
 */
struct us_blend_frame {
    double map[6], width, height, scale, ramp;
};
void us_blend_cover(const struct us_blend_frame *frame, struct us_view cover);

void us_blend_fill(struct us_view plane, float value);
/* Holds the samples within low to high; NaN becomes 0. */
void us_blend_clamp(struct us_view plane, float low, float high);
/* mask *= factor held within 0 to 1 (NaN: 0), or 1 - that. */
void us_blend_multiply(struct us_view mask, struct us_view factor, bool inverted);
/* weight = weight x by, what is below 0 or NaN counting 0. */
void us_blend_weigh(struct us_view weight, struct us_view by);
/* mask = mask x cover x opacity, at most 1, and 0 below US_BLEND_LEAST. */
void us_blend_settle(struct us_view mask, struct us_view cover, float opacity);
/* plate += mask (picture - plate): the picture itself where the mask is 1 or the plate is not
 * finite, the plate where the picture is not finite. */
void us_blend_mix(struct us_view plate, struct us_view picture, struct us_view mask);
/* Where a sample's centre lies in the picture, 0 to 1: across, or upwards. */
void us_blend_place(const struct us_blend_frame *frame, bool upwards, struct us_view plane);

/* The same on a device, enqueued on `stream` (a cudaStream_t); `frame` is the host's. */
void us_blend_cover_cuda(const struct us_blend_frame *frame, struct us_view cover, void *stream);
void us_blend_fill_cuda(struct us_view plane, float value, void *stream);
void us_blend_clamp_cuda(struct us_view plane, float low, float high, void *stream);
void us_blend_multiply_cuda(struct us_view mask, struct us_view factor, bool inverted,
                            void *stream);
void us_blend_weigh_cuda(struct us_view weight, struct us_view by, void *stream);
void us_blend_settle_cuda(struct us_view mask, struct us_view cover, float opacity, void *stream);
void us_blend_mix_cuda(struct us_view plate, struct us_view picture, struct us_view mask,
                       void *stream);
void us_blend_place_cuda(const struct us_blend_frame *frame, bool upwards, struct us_view plane,
                         void *stream);

#endif
