#include <math.h>
#include <string.h>

#include "kernels/blur.h"
#include "kernels/morph.h"
#include "nodes/comp/merge_mask_internal.h"
#include "nodes/comp/region.h"
#include "runtime/base/mem.h"

struct us_blend_frame us_merge_frame(const struct us_merge *merge) {
    struct us_blend_frame frame = {
        .width = us_window_width(&merge->faces->data_window),
        .height = us_window_height(&merge->faces->data_window),
        .scale = merge->scale,
        .ramp = fmax(1.0, 0.5 * merge->options.feather_px),
    };
    memcpy(frame.map, merge->to_faces, sizeof frame.map);
    return frame;
}

struct us_error *us_merge_crop_matte(const struct us_image *crop, const char *what,
                                     const struct us_channel **matte) {
    *matte = us_image_channel(crop, "matte.A");
    return *matte ? NULL
                  : us_error_hint(us_fail(US_FAILED, "the %s has no channel 'matte.A'", what),
                                  "set mask: to one that does not need it");
}

/* Multiplies by the crop's matte, brought into plate space. */
static struct us_error *multiply_crop(struct us_merge *merge, const struct us_image *crop,
                                      const double map[6], const char *what) {
    const struct us_channel *matte;
    struct us_view source, brought;
    int32_t width = us_window_width(&crop->data_window);
    US_TRY(us_merge_crop_matte(crop, what, &matte));
    US_TRY(us_planes_create(width, us_window_height(&crop->data_window), 1, &source));
    struct us_error *error = us_image_read_plane(crop, "matte.A", source);
    if (!error) {
        error = us_planes_create(merge->mask.width, merge->mask.height, 1, &brought);
    }
    if (!error) {
        us_resample_affine(&source, &brought, 1, map, US_FILTER_LINEAR);
        us_blend_multiply(merge->mask, brought, false);
        us_free(brought.data);
    }
    us_free(source.data);
    return error;
}

static struct us_error *multiply_artist(struct us_merge *merge, const struct us_image *image,
                                        bool inverted) {
    struct us_channel *channel;
    struct us_view plane;
    US_TRY(us_matte_find(image, &channel));
    US_TRY(us_planes_create(merge->mask.width, merge->mask.height, 1, &plane));
    us_region_read(image, channel, &merge->region, 0.0f, plane);
    us_blend_multiply(merge->mask, plane, inverted);
    us_free(plane.data);
    return NULL;
}

static struct us_error *shape(struct us_merge *merge) {
    double grow = -merge->options.erode_px, sigma = merge->options.feather_px / 4.0;
    struct us_view mask = merge->mask;
    size_t floats = us_matte_grow_scratch(mask.width, mask.height, grow);
    size_t blur = us_blur_scratch(mask.width, mask.height, sigma);
    float *scratch = us_try_alloc_pixels((floats > blur ? floats : blur) * sizeof *scratch);
    if (!scratch) {
        return us_fail(US_RETRY, "no memory for a matte of %d x %d pixels", mask.width,
                       mask.height);
    }
    if (fabs(grow) > 0.0) {
        us_matte_grow(mask, mask, grow, scratch);
    }
    us_gaussian_blur(mask, mask, sigma, scratch);
    us_free(scratch);
    return NULL;
}

struct us_error *us_merge_build_mask(struct us_merge *merge) {
    enum us_merge_mask kind = merge->options.mask;
    struct us_blend_frame frame = us_merge_frame(merge);
    us_blend_cover(&frame, merge->cover);
    us_blend_fill(merge->mask, 1.0f);
    if (!(merge->matte && merge->options.replace)) {
        if (kind == US_MASK_LANDMARKS || kind == US_MASK_PRODUCT) {
            US_TRY(multiply_crop(merge, merge->faces, merge->to_faces, "face crop"));
        }
        if (kind == US_MASK_LEARNED || kind == US_MASK_PRODUCT) {
            US_TRY(multiply_crop(merge, merge->swap, merge->to_swap, "swap"));
        }
        US_TRY(shape(merge));
    }
    if (merge->matte) {
        US_TRY(multiply_artist(merge, merge->matte, false));
    }
    if (merge->holdout) {
        US_TRY(multiply_artist(merge, merge->holdout, true));
    }
    us_blend_settle(merge->mask, merge->cover, (float)merge->options.opacity);
    return NULL;
}
