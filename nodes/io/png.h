/* PNG in memory, through libpng. Written bytes depend on the pixels alone (no time, no text).
 * Source of the format: PNG Specification, W3C, second edition. */
#ifndef US_NODES_IO_PNG_H
#define US_NODES_IO_PNG_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

struct us_png {
    int32_t width, height;
    int channels;    /* 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA (alpha is not premultiplied) */
    int bits;        /* 8 or 16 */
    uint8_t *pixels; /* rows without padding, top to bottom; 16 bits: uint16_t of this host */
};

/* `bytes` is us_malloc'ed. Fails on sizes PNG cannot hold. */
struct us_error *us_png_encode(const struct us_png *png, uint8_t **bytes,
                               size_t *size) US_NODISCARD;

/* Palettes become RGB, transparency entries alpha, 1, 2 and 4 bits 8. `png->pixels` is us_free'd by
 * the caller. Fails on damaged bytes (US_CORRUPT) and on more than 2^28 pixels. */
struct us_error *us_png_decode(const uint8_t *bytes, size_t size, struct us_png *png) US_NODISCARD;

#endif
