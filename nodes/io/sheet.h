/* Laying pictures out on a sheet: rows of tiles with labels, composed in scene-linear light. */
#ifndef US_NODES_IO_SHEET_H
#define US_NODES_IO_SHEET_H

#include "nodes/io/draw.h"
#include "runtime/image/image.h"

/* Text and frames are drawn into `labels`; where that is not black, it hides the pictures. */
struct us_sheet {
    struct us_view planes[3];
    struct us_canvas labels;
};

struct us_error *us_sheet_create(int32_t width, int32_t height,
                                 struct us_sheet *sheet) US_NODISCARD;
void us_sheet_finish(struct us_sheet *sheet);

/* Scales the display window of `image` (R, G, B or Y; crops encoded for the net are decoded) into a
 * tile, times 2^exposure. Pixels outside the data window are black. */
struct us_error *us_sheet_place(struct us_sheet *sheet, const struct us_image *image, int32_t x,
                                int32_t y, int32_t width, int32_t height,
                                double exposure) US_NODISCARD;

/* A PNG (sRGB, 8 bits) or an EXR (half, linear): us_malloc'ed bytes. */
struct us_error *us_sheet_encode(const struct us_sheet *sheet, bool exr, uint8_t **bytes,
                                 size_t *size) US_NODISCARD;

#endif
