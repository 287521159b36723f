/* What a display-trained network sees of scene-linear light: exposed and sRGB-encoded. */
#ifndef US_KERNELS_EXPOSE_H
#define US_KERNELS_EXPOSE_H

#include "kernels/view.h"

/* `planes` were sampled through `map` (sample -> frame) from a frame of width x height. */
struct us_exposure {
    double map[6];
    int32_t width, height;
    double stops;    /* above the middle */
    float low, high; /* what black and white become */
};

/* Blackens what lies outside the frame, puts the geometric mean of the luminance at 0.18 and
 * `stops` above that, clips at 1, encodes, and writes [height][width][3]. */
void us_expose(const struct us_view planes[3], const struct us_exposure *exposure, float *out);
/* The same on a device, enqueued on `stream` (a cudaStream_t); `exposure` is the host's; `scratch`
 * holds us_expose_scratch_cuda(width, height) doubles. */
size_t us_expose_scratch_cuda(int32_t width, int32_t height);
void us_expose_cuda(const struct us_view planes[3], const struct us_exposure *exposure, float *out,
                    double *scratch, void *stream);

#endif
