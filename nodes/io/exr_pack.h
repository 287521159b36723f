/* Packing and unpacking one chunk (some scan lines, or a tile) of an EXR file.
 *
 * NONE, RLE, ZIPS and ZIP are ours (exr_pack.c, exr_zip.c; deflate through libdeflate). PIZ, PXR24,
 * B44 and B44A go through OpenEXRCore (exr_core.c); DWAA, DWAB and the unpacking of PIZ through the
 * C++ library (exr_dwa.cpp). Both see a clean one-chunk file that we make up, so a hostile header
 * never reaches them. */
#ifndef US_NODES_IO_EXR_PACK_H
#define US_NODES_IO_EXR_PACK_H

#include "nodes/io/exr_format.h"

/* One channel's share of a block. */
struct us_exr_lane {
    const char *name;
    enum us_sample sample;
    bool perceptual;
    int32_t x_sampling, y_sampling;
    uint8_t *rows;         /* first sample of the block; NULL: nobody wants it (unpacking only) */
    size_t stride;         /* bytes from one row of samples to the next */
    int32_t width, height; /* samples in the block */
};

struct us_exr_block {
    struct us_window window;
    enum us_exr_compression compression;
    bool tiled;
    struct us_exr_lane *lanes; /* all channels of the file, in its order */
    size_t lane_count;
    float dwa_level; /* packing DWA: the library's default is 45 */
};

/* Scratch memory and codec state, reused from block to block; one a thread. Zeroed is ready. */
struct us_exr_packer {
    uint8_t *scratch[2];
    size_t scratch_size[2];
    struct libdeflate_compressor *deflate;
    struct libdeflate_decompressor *inflate;
};
void us_exr_packer_finish(struct us_exr_packer *packer);

/* Bytes of the block unpacked. */
size_t us_exr_block_bytes(const struct us_exr_block *block);

/* Fills the lanes. A damaged chunk is US_CORRUPT. */
struct us_error *us_exr_unpack(struct us_exr_packer *packer, const struct us_exr_block *block,
                               const uint8_t *packed, size_t size) US_NODISCARD;
/* Appends the packed lanes; stored as they are when packing gains nothing. */
struct us_error *us_exr_pack(struct us_exr_packer *packer, const struct us_exr_block *block,
                             struct us_str *out) US_NODISCARD;

/* The same for pixels that are not packed; `from` has us_exr_block_bytes. */
void us_exr_unpack_stored(const struct us_exr_block *block, const uint8_t *from);

/* The codecs below these two; `packed` is smaller than the block, and `out` gets the packed bytes
 * whatever their number. */
struct us_error *us_exr_zip_unpack(struct us_exr_packer *packer, const struct us_exr_block *block,
                                   const uint8_t *packed, size_t size) US_NODISCARD;
struct us_error *us_exr_zip_pack(struct us_exr_packer *packer, const struct us_exr_block *block,
                                 struct us_str *out) US_NODISCARD;
struct us_error *us_exr_core_unpack(const struct us_exr_block *block, const uint8_t *packed,
                                    size_t size) US_NODISCARD;
struct us_error *us_exr_core_pack(const struct us_exr_block *block,
                                  struct us_str *out) US_NODISCARD;

/* Scratch memory of at least that size; NULL when there is none. */
uint8_t *us_exr_scratch(struct us_exr_packer *packer, int which, size_t size);

/* The made-up file: the header of an EXR with just this block (and its one-entry chunk table when
 * `packed` is given, with the chunk). */
void us_exr_one_chunk_file(const struct us_exr_block *block, const uint8_t *packed, size_t size,
                           struct us_str *out);

#endif
