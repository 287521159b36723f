/* JPEG in memory to 8-bit pixels, through libjpeg-turbo. Source of the format: ITU-T T.81. */
#ifndef US_NODES_IO_JPEG_H
#define US_NODES_IO_JPEG_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

struct us_jpeg {
    int32_t width, height;
    int channels;    /* 1 gray, 3 RGB */
    uint8_t *pixels; /* rows without padding; us_free'd by the caller */
};

/* Fails on damaged or cut files (US_CORRUPT), on CMYK and on more than 2^28 pixels. */
struct us_error *us_jpeg_decode(const uint8_t *bytes, size_t size,
                                struct us_jpeg *jpeg) US_NODISCARD;

#endif
