/* EXR files to images and back: scan-line and tiled, single- and multi-part, every compression.
 *
 * Attributes pass through by name, type and bytes, except those that are fields of struct us_image
 * or describe storage: channels, chunkCount, compression, dataWindow, displayWindow, lineOrder,
 * pixelAspectRatio, tiles, type. Written bytes depend on the image and the options alone. */
#ifndef US_NODES_IO_EXR_FILE_H
#define US_NODES_IO_EXR_FILE_H

#include "nodes/io/exr_format.h"

struct us_exr_read_options {
    const char *part;            /* name or number; NULL: the first */
    const char *const *channels; /* names of channels or of layers; NULL: all */
    size_t channel_count;
};

/* Level 0 of tiled parts. Errors say which chunk is damaged or missing; US_CORRUPT for damage.
 * `options` may be NULL. */
struct us_error *us_exr_decode(const uint8_t *bytes, size_t size,
                               const struct us_exr_read_options *options,
                               struct us_image **image) US_NODISCARD;
/* The same from a file; errors name it. */
struct us_error *us_exr_read(const char *path, const struct us_exr_read_options *options,
                             struct us_image **image) US_NODISCARD;

struct us_exr_write_options {
    enum us_exr_compression compression;
    int32_t tile_width, tile_height; /* 0: scan lines */
    bool mark;                       /* see us_exr_header_write */
};

/* us_malloc'ed bytes. Fails on what EXR forbids: empty windows, names of no or over 255 bytes. */
struct us_error *us_exr_encode(const struct us_image *image,
                               const struct us_exr_write_options *options, uint8_t **bytes,
                               size_t *size) US_NODISCARD;
/* Writes a file: as before or complete, never half (us_write_file). */
struct us_error *us_exr_write(const char *path, const struct us_image *image,
                              const struct us_exr_write_options *options) US_NODISCARD;

#endif
