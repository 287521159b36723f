/* The pixel work of color_match on a GPU. */
#ifndef US_NODES_COMP_MATCH_DEVICE_H
#define US_NODES_COMP_MATCH_DEVICE_H

#include "kernels/colour.h"
#include "nodes/device/gpu.h"

/* One side of a match: a crop of R, G, B and matte.A, and how its light is encoded. */
struct us_match_side {
    const struct us_image *image;
    const char *encoding, *name; /* of the input, for messages */
};

/* Sums of both sides' light, weighted by both mattes; crops of one size. */
struct us_error *us_match_gather_on_device(struct us_gpu *gpu, const struct us_match_side sides[2],
                                           struct us_colour_sums sums[2]) US_NODISCARD;
/* Puts the side's colour through the map into `out`, a copy of its image whose R, G and B are
 * float; they stay on the device too. */
struct us_error *us_match_apply_on_device(struct us_gpu *gpu, const struct us_match_side *side,
                                          const struct us_colour_map *map,
                                          struct us_image *out) US_NODISCARD;

#endif
