/* The frame of an OpenEXR file in memory: header, parts, chunk tables. Our own parser and writer,
 * so that every attribute passes through byte for byte and hostile headers end in a clear error.
 * Source: "OpenEXR File Layout" and "Technical Introduction to OpenEXR" (openexr.com). */
#ifndef US_NODES_IO_EXR_FORMAT_H
#define US_NODES_IO_EXR_FORMAT_H

#include "runtime/base/str.h"
#include "runtime/image/image.h"

/* The numbers stand in files. */
enum us_exr_compression {
    US_EXR_NONE,
    US_EXR_RLE,
    US_EXR_ZIPS,
    US_EXR_ZIP,
    US_EXR_PIZ,
    US_EXR_PXR24,
    US_EXR_B44,
    US_EXR_B44A,
    US_EXR_DWAA,
    US_EXR_DWAB,
    US_EXR_COMPRESSIONS
};

/* "none", "rle", ... in the enum's order; NULL-terminated. */
extern const char *const us_exr_compression_names[US_EXR_COMPRESSIONS + 1];
/* Scan lines in a chunk. */
int32_t us_exr_chunk_lines(enum us_exr_compression compression);
bool us_exr_lossless(enum us_exr_compression compression);

struct us_exr_channel {
    char *name;
    enum us_sample sample;
    bool perceptual;
    int32_t x_sampling, y_sampling;
};

struct us_exr_part {
    char *name, *type; /* NULL when the header has none */
    struct us_window data_window, display_window;
    float pixel_aspect;
    enum us_exr_compression compression;
    bool tiled, deep;
    int32_t tile_width, tile_height; /* when tiled */
    int level_mode, level_rounding;
    struct us_exr_channel *channels; /* in file order */
    size_t channel_count;
    struct us_attribute *attributes; /* all but those above */
    size_t attribute_count;
    size_t chunk_count, first_chunk; /* of all levels; index of its first entry in the table */
    unsigned seen;                   /* of the required attributes */
};

struct us_exr_file {
    const uint8_t *bytes; /* borrowed */
    size_t size;
    bool multipart;
    struct us_exr_part *parts;
    size_t part_count;
    size_t table; /* where the chunk tables start */
};

/* Reads the header and checks it against the file's size and our limits: 2^28 samples a channel,
 * 1024 channels, 256 parts, 64 MiB an attribute. Call us_exr_file_finish also after an error. */
struct us_error *us_exr_file_parse(const uint8_t *bytes, size_t size,
                                   struct us_exr_file *file) US_NODISCARD;
void us_exr_file_finish(struct us_exr_file *file);

/* Where chunk `index` of a part starts; 0 when the table has no such chunk. */
uint64_t us_exr_chunk_offset(const struct us_exr_file *file, const struct us_exr_part *part,
                             size_t index);

/* A single-part header for `image`, tiled (one level) when tile_width > 0, channels as the image
 * has them. `mark` notes which required attributes had to be made up, so that reading drops them
 * again. Fails on names and windows that EXR forbids. */
struct us_exr_header {
    enum us_exr_compression compression;
    int32_t tile_width, tile_height;
    bool mark;
};
struct us_error *us_exr_header_write(const struct us_image *image,
                                     const struct us_exr_header *header,
                                     struct us_str *out) US_NODISCARD;

/* Name of the string attribute that `mark` writes. */
#define US_EXR_MADE_UP "understudy.madeUp"

/* Samples of one axis from `low` to `high` that `sampling` divides: how many, and the first. */
int32_t us_exr_samples(int32_t low, int32_t high, int32_t sampling);
int32_t us_exr_first_sample(int32_t low, int32_t sampling);

#endif
