/* What a face crop carries besides pixels, as attributes of its image (so that the EXR file in the
 * cache, opened anywhere, says all of it).
 *
 * Channels of a crop: R, G, B (float, encoded) and matte.A (the face, 0 to 1, from the landmark
 * hull). Its data window is [0, size). */
#ifndef US_NODES_FACE_CROP_INFO_H
#define US_NODES_FACE_CROP_INFO_H

#include <stdbool.h>

#include "runtime/image/image.h"

struct us_crop_info {
    bool found;        /* false: no face in this frame, pixels are black and the matte 0 */
    char encoding[16]; /* "log" or "linear" */
    char coverage[16]; /* "half", "full", "whole", "head" */
    double matrix[6];  /* plate pixel -> crop pixel, {a, b, c, d, e, f} as in kernels/resample.h */
    struct us_window plate_data_window, plate_display_window;
    int landmark_count;
    float *landmarks;       /* x, y pairs in crop pixels; us_malloc'ed */
    float yaw, pitch, roll; /* head pose, degrees; 0 when unknown */
};

void us_crop_info_write(struct us_image *crop, const struct us_crop_info *info);
/* Fails when the image is no crop ("use a face_crop node"). Finish frees the landmarks. */
struct us_error *us_crop_info_read(const struct us_image *crop,
                                   struct us_crop_info *info) US_NODISCARD;
void us_crop_info_finish(struct us_crop_info *info);

/* The inverse of an affine map; false when it is singular. */
bool us_affine_invert(const double m[6], double inverse[6]);
/* a after b: x -> a(b(x)). */
void us_affine_compose(const double a[6], const double b[6], double out[6]);
void us_affine_apply(const double m[6], double x, double y, double *out_x, double *out_y);

#endif
