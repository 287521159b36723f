#include "nodes/io/exr_pack.h"

#include <libdeflate.h>
#include <string.h>

#include "runtime/base/mem.h"

void us_exr_packer_finish(struct us_exr_packer *packer) {
    us_free(packer->scratch[0]);
    us_free(packer->scratch[1]);
    libdeflate_free_compressor(packer->deflate);
    libdeflate_free_decompressor(packer->inflate);
    *packer = (struct us_exr_packer){0};
}

uint8_t *us_exr_scratch(struct us_exr_packer *packer, int which, size_t size) {
    if (packer->scratch_size[which] < size) {
        us_free(packer->scratch[which]);
        packer->scratch[which] = us_try_alloc_pixels(size);
        packer->scratch_size[which] = packer->scratch[which] ? size : 0;
    }
    return packer->scratch[which];
}

size_t us_exr_block_bytes(const struct us_exr_block *block) {
    size_t total = 0;
    for (size_t i = 0; i < block->lane_count; i++) {
        const struct us_exr_lane *lane = &block->lanes[i];
        total += (size_t)lane->width * (size_t)lane->height * us_sample_size(lane->sample);
    }
    return total;
}

/* In a chunk the lines follow each other, and in each line the channels that have samples there. */
void us_exr_unpack_stored(const struct us_exr_block *block, const uint8_t *from) {
    for (int64_t y = block->window.y_min; y <= block->window.y_max; y++) {
        for (size_t i = 0; i < block->lane_count; i++) {
            const struct us_exr_lane *lane = &block->lanes[i];
            if (y % lane->y_sampling != 0) {
                continue;
            }
            size_t bytes = (size_t)lane->width * us_sample_size(lane->sample);
            if (lane->rows && bytes) {
                int64_t row = (y - us_exr_first_sample(block->window.y_min, lane->y_sampling)) /
                              lane->y_sampling;
                memcpy(lane->rows + (size_t)row * lane->stride, from, bytes);
            }
            from += bytes;
        }
    }
}

static void pack_stored(const struct us_exr_block *block, struct us_str *out) {
    for (int64_t y = block->window.y_min; y <= block->window.y_max; y++) {
        for (size_t i = 0; i < block->lane_count; i++) {
            const struct us_exr_lane *lane = &block->lanes[i];
            if (y % lane->y_sampling == 0) {
                int64_t row = (y - us_exr_first_sample(block->window.y_min, lane->y_sampling)) /
                              lane->y_sampling;
                us_str_append_bytes(out, lane->rows + (size_t)row * lane->stride,
                                    (size_t)lane->width * us_sample_size(lane->sample));
            }
        }
    }
}

struct us_error *us_exr_unpack(struct us_exr_packer *packer, const struct us_exr_block *block,
                               const uint8_t *packed, size_t size) {
    size_t bytes = us_exr_block_bytes(block);
    if (size == bytes) {
        us_exr_unpack_stored(block, packed);
        return NULL;
    }
    if (size > bytes || !size) {
        return us_fail(US_CORRUPT, "it has %zu bytes, its pixels only %zu", size, bytes);
    }
    switch (block->compression) {
    case US_EXR_NONE:
        return us_fail(US_CORRUPT, "it has %zu bytes, its pixels %zu", size, bytes);
    case US_EXR_RLE:
    case US_EXR_ZIPS:
    case US_EXR_ZIP:
        return us_exr_zip_unpack(packer, block, packed, size);
    default:
        return us_exr_core_unpack(block, packed, size);
    }
}

struct us_error *us_exr_pack(struct us_exr_packer *packer, const struct us_exr_block *block,
                             struct us_str *out) {
    size_t bytes = us_exr_block_bytes(block), start = out->length;
    switch (bytes ? block->compression : US_EXR_NONE) {
    case US_EXR_NONE:
        pack_stored(block, out);
        return NULL;
    case US_EXR_RLE:
    case US_EXR_ZIPS:
    case US_EXR_ZIP:
        US_TRY(us_exr_zip_pack(packer, block, out));
        break;
    default:
        US_TRY(us_exr_core_pack(block, out));
    }
    if (out->length - start >= bytes) {
        out->length = start;
        pack_stored(block, out);
    }
    return NULL;
}

void us_exr_one_chunk_file(const struct us_exr_block *block, const uint8_t *packed, size_t size,
                           struct us_str *out) {
    struct us_channel *channels = us_calloc(block->lane_count + 1, sizeof *channels);
    for (size_t i = 0; i < block->lane_count; i++) {
        const struct us_exr_lane *lane = &block->lanes[i];
        channels[i] = (struct us_channel){.name = (char *)(uintptr_t)lane->name,
                                          .sample = lane->sample,
                                          .perceptual = lane->perceptual,
                                          .x_sampling = lane->x_sampling,
                                          .y_sampling = lane->y_sampling};
    }
    const struct us_image image = {.data_window = block->window,
                                   .display_window = block->window,
                                   .pixel_aspect = 1.0f,
                                   .channels = channels,
                                   .channel_count = block->lane_count};
    struct us_exr_header header = {.compression = block->compression};
    if (block->tiled) {
        header.tile_width = us_window_width(&block->window);
        header.tile_height = us_window_height(&block->window);
    }
    struct us_error *error = us_exr_header_write(&image, &header, out);
    if (error) {
        US_BUG("made-up header: %s", error->text);
    }
    us_free(channels);
    uint64_t offset = out->length + 8;
    us_str_append_bytes(out, &offset, packed ? 8 : 0);
    int32_t leader[5] = {0, 0, 0, 0, (int32_t)size};
    leader[3] = block->tiled ? 0 : block->window.y_min;
    us_str_append_bytes(out, block->tiled ? leader : leader + 3,
                        !packed        ? 0
                        : block->tiled ? sizeof leader
                                       : 2 * sizeof *leader);
    us_str_append_bytes(out, packed, packed ? size : 0);
}
