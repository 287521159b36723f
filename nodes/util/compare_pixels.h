/* How much two images of one size differ: over the whole frame, inside a matte and outside it. */
#ifndef US_NODES_UTIL_COMPARE_PIXELS_H
#define US_NODES_UTIL_COMPARE_PIXELS_H

#include "kernels/view.h"
#include "runtime/image/image.h"

enum us_part { US_WHOLE, US_INSIDE, US_OUTSIDE, US_PARTS };

/* Scene-linear light is measured as a display shows it (sRGB, clipped to 0 to 1), in the net's log
 * encoding, or as it is. The peak of all three is 1. */
enum us_measure_space { US_SPACE_DISPLAY, US_SPACE_LOG, US_SPACE_AS_IS };

/* Sums over pixels and channels; they add, so that frames can be pooled. */
struct us_part_sums {
    double weight;   /* of the pixels */
    double squares;  /* of the differences, mean over the channels */
    double baseline; /* of the baseline's differences */
    double similar;  /* SSIM */
    double moved;    /* change of the difference since the frame before */
    double moved_weight;
};

struct us_pixel_sums {
    struct us_part_sums parts[US_PARTS];
    size_t differing; /* pixels outside the matte whose bits differ */
    double largest;   /* difference outside the matte, as the values are */
};

struct us_pixel_compare {
    enum us_measure_space space;
    struct us_view image[3], reference[3];
    struct us_view baseline[3]; /* data is NULL: none */
    struct us_view matte;       /* 0 to 1 */
    struct us_view before[3];   /* the difference, kept from frame to frame */
    bool has_before;
};

/* Measures one frame. Turns the images into `space` and leaves the difference in `before`. */
struct us_error *us_pixels_compare(struct us_pixel_compare *compare,
                                   struct us_pixel_sums *sums) US_NODISCARD;
void us_pixel_sums_add(struct us_pixel_sums *sums, const struct us_pixel_sums *more);

/* Decibels for a sum of squares over a weight; 120 stands for equal, NaN for no weight. */
double us_psnr(double squares, double weight);

#endif
