/* The mask of a merge. */
#ifndef US_NODES_COMP_MERGE_MASK_INTERNAL_H
#define US_NODES_COMP_MERGE_MASK_INTERNAL_H

#include "nodes/comp/merge.h"

/* Fills merge->cover (0 outside the footprint, rising to 1 within the feather's half width of its
 * border) and merge->mask. */
struct us_error *us_merge_build_mask(struct us_merge *merge) US_NODISCARD;
/* The crop's matte; `what` names the crop in the message. */
struct us_error *us_merge_crop_matte(const struct us_image *crop, const char *what,
                                     const struct us_channel **matte) US_NODISCARD;

#endif
