/* Putting a swapped crop back onto its plate: geometry, mask, light, extra channels.
 *
 * Everything happens in `region`, the part of the plate that the crop's footprint touches. The mask
 * is exactly 0 outside the footprint and wherever it would be below US_BLEND_LEAST, and a sample
 * whose mask is 0 is never written. */
#ifndef US_NODES_COMP_MERGE_H
#define US_NODES_COMP_MERGE_H

#include "kernels/blend.h"
#include "kernels/resample.h"
#include "nodes/face/crop_info.h"
#include "runtime/base/hash.h"
#include "runtime/image/image.h"

enum us_merge_mask { US_MASK_PRODUCT, US_MASK_LEARNED, US_MASK_LANDMARKS, US_MASK_NONE };
enum us_merge_aovs { US_AOVS_NONE, US_AOVS_MATTE, US_AOVS_SWAP, US_AOVS_ALL };

struct us_merge_options {
    enum us_merge_mask mask;
    enum us_merge_aovs aovs;
    enum us_filter filter;
    double erode_px, feather_px, opacity, grain;
    bool replace; /* the artist's matte stands in for the mask instead of multiplying it */
};

struct us_merge {
    struct us_merge_options options;
    const struct us_image *plate, *faces, *swap;
    const struct us_image *matte, *holdout; /* or NULL */
    const struct us_crop_info *info;        /* of `faces` */
    struct us_digest seed;                  /* of the plate's content, for grain */
    struct us_window region;
    double to_faces[6], to_swap[6]; /* region sample -> sample of that image */
    double scale;                   /* crop pixels to a plate pixel */
    struct us_view mask, cover, rgb[3];
};

/* Finds the region: false in *touches when the footprint misses the plate. Fails for a matrix that
 * has no inverse. */
struct us_error *us_merge_place(struct us_merge *merge, bool *touches) US_NODISCARD;
/* Fills mask, cover and rgb (the swap's light in plate space, grain included), then writes into
 * `out`, a copy of the plate with the channels of us_merge_channels. */
struct us_error *us_merge_run(struct us_merge *merge, struct us_image *out) US_NODISCARD;
void us_merge_finish(struct us_merge *merge);

/* Where the crop lies, from samples of the region; what the grain of a channel starts from. */
struct us_blend_frame us_merge_frame(const struct us_merge *merge);
uint64_t us_merge_seed(const struct us_merge *merge, int channel);

/* Adds the extra channels, zeroed: matte.A, swap.R, swap.G, swap.B, st.x, st.y as `aovs` says, all
 * prefixed "understudy." when the plate has one of these names already. */
struct us_error *us_merge_channels(const struct us_image *plate, enum us_merge_aovs aovs,
                                   struct us_image *out) US_NODISCARD;

/* The extra channels in order: how many, and each in `out`. */
size_t us_merge_aov_count(enum us_merge_aovs aovs);
struct us_channel *us_merge_aov(const struct us_merge *merge, const struct us_image *out,
                                size_t index);

#endif
