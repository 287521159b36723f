/* How near faces are to what they should be, as a viewer sees them: both decoded to light, shown as
 * sRGB, clipped to 0 to 1, counted inside the matte.
 *
 * SSIM: Wang et al. 2004, Gaussian window, sigma 1.5, int(R / 11.6) samples wide, only where it
 * fits wholly, K1 = 0.01, K2 = 0.03. PSNR: of the mean squared error of all faces together. */
#ifndef US_NODES_LEARN_FACE_SCORE_H
#define US_NODES_LEARN_FACE_SCORE_H

#include "nodes/learn/dataset_file.h"

struct us_face_score {
    double ssim, psnr; /* 0 and 0 when there was no face or no matte */
    size_t faces;
};

/* `predicted` is [count][3][R][R], encoded as the data set; `indices` says of which faces. */
struct us_error *us_face_score(const struct us_dataset *dataset, const size_t *indices,
                               size_t count, const float *predicted,
                               struct us_face_score *score) US_NODISCARD;

/* [3][R][R] encoded values and the matte (may be NULL) of one face of the data set. */
void us_face_planes(const struct us_dataset *dataset, size_t index, float *planes, float *matte);

/* Encoded values to what a display shows, 0 to 1; may work in place. */
void us_display_values(const char *encoding, const float *encoded, float *shown, size_t count);

#endif
