/* One plane of float pixels; kernels know nothing else about images. Memory is the caller's. */
#ifndef US_KERNELS_VIEW_H
#define US_KERNELS_VIEW_H

#include <stddef.h>
#include <stdint.h>

struct us_view {
    float *data; /* top-left sample */
    int32_t width, height;
    ptrdiff_t stride; /* floats from one row to the next */
};

static inline float *us_view_row(struct us_view view, int32_t y) {
    return view.data + (ptrdiff_t)y * view.stride;
}

#endif
