/* Parts of images as float planes, in plate coordinates, and how a matte is found in an image. */
#ifndef US_NODES_COMP_REGION_H
#define US_NODES_COMP_REGION_H

#include "runtime/image/image.h"

/* True when a and b overlap; `out` is what they share. */
bool us_window_intersect(const struct us_window *a, const struct us_window *b,
                         struct us_window *out);
/* "(x_min, y_min)-(x_max, y_max)" for messages; returns `text`. */
char *us_window_text(const struct us_window *window, char text[64]);

/* Reads `region` of a full-resolution channel; samples outside the data window are `outside`. The
 * plane has the region's size. */
void us_region_read(const struct us_image *image, const struct us_channel *channel,
                    const struct us_window *region, float outside, struct us_view plane);
/* Writes the part of `region` that lies in the data window, in the channel's own type: half
 * saturates at +-65504. With `where` only samples at which it is above 0 are touched. */
void us_region_write(const struct us_image *image, struct us_channel *channel,
                     const struct us_window *region, struct us_view plane,
                     const struct us_view *where);

/* The full-resolution channel that is the matte: understudy.matte.A (what
 * composite adds to a plate that has a matte.A), else matte.A, else A, else the only channel there
 * is. Fails, naming the channels there are. */
struct us_error *us_matte_find(const struct us_image *image,
                               struct us_channel **channel) US_NODISCARD;
/* R, G and B at full resolution as half or float; fails otherwise, naming the channels. */
struct us_error *us_rgb_find(const struct us_image *image,
                             struct us_channel *channels[3]) US_NODISCARD;

/* Light from and to a crop's encoding, "log" or "linear", in place. */
struct us_error *us_encoding_decode(const char *encoding, const struct us_view *planes,
                                    int count) US_NODISCARD;
struct us_error *us_encoding_encode(const char *encoding, const struct us_view *planes,
                                    int count) US_NODISCARD;

#endif
