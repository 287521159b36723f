/* RLE, ZIPS and ZIP: the bytes of a block are split into even and odd ones, differenced, then
 * packed. Source: "OpenEXR File Layout" and the format's published description of its predictor. */
#include <libdeflate.h>
#include <string.h>

#include "nodes/io/exr_pack.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { ZIP_LEVEL = 4 };

#define NO_MEMORY us_fail(US_RETRY, "no memory for a chunk of pixels")

/* bytes[i] = bytes[i-1] + bytes[i] - 128. */
static void undo_differences(uint8_t *bytes, size_t size) {
    size_t i = 1;
#ifdef __SSE2__
    /* Sixteen running sums at once: the sum of 1, 2, 4, then 8 neighbours. */
    __m128i carry = _mm_set1_epi8((char)bytes[0]);
    for (; i + 16 <= size; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(bytes + i));
        v = _mm_xor_si128(v, _mm_set1_epi8((char)-128));
        v = _mm_add_epi8(v, _mm_slli_si128(v, 1));
        v = _mm_add_epi8(v, _mm_slli_si128(v, 2));
        v = _mm_add_epi8(v, _mm_slli_si128(v, 4));
        v = _mm_add_epi8(v, _mm_slli_si128(v, 8));
        v = _mm_add_epi8(v, carry);
        _mm_storeu_si128((__m128i *)(void *)(bytes + i), v);
        carry = _mm_set1_epi8((char)bytes[i + 15]);
    }
#endif
    for (; i < size; i++) {
        bytes[i] = (uint8_t)(bytes[i - 1] + bytes[i] - 128);
    }
}

static void make_differences(const uint8_t *bytes, uint8_t *out, size_t size) {
    out[0] = bytes[0];
    for (size_t i = 1; i < size; i++) {
        out[i] = (uint8_t)(bytes[i] - bytes[i - 1] + 128);
    }
}

static void interleave(const uint8_t *even, const uint8_t *odd, uint8_t *out, size_t pairs) {
    for (size_t i = 0; i < pairs; i++) {
        out[2 * i] = even[i];
        out[2 * i + 1] = odd[i];
    }
}

static void split(const uint8_t *in, uint8_t *even, uint8_t *odd, size_t pairs) {
    for (size_t i = 0; i < pairs; i++) {
        even[i] = in[2 * i];
        odd[i] = in[2 * i + 1];
    }
}

/* Walks the rows of a block in the order they are stored; `visit` gets the row's place among all
 * samples, counted in pairs of bytes. */
static void each_row(const struct us_exr_block *block, uint8_t *halves, size_t half,
                     void (*visit)(uint8_t *row, uint8_t *even, uint8_t *odd, size_t pairs)) {
    size_t at = 0;
    for (int64_t y = block->window.y_min; y <= block->window.y_max; y++) {
        for (size_t i = 0; i < block->lane_count; i++) {
            const struct us_exr_lane *lane = &block->lanes[i];
            if (y % lane->y_sampling != 0) {
                continue;
            }
            size_t pairs = (size_t)lane->width * us_sample_size(lane->sample) / 2;
            if (lane->rows) {
                int64_t row = (y - us_exr_first_sample(block->window.y_min, lane->y_sampling)) /
                              lane->y_sampling;
                visit(lane->rows + (size_t)row * lane->stride, halves + at, halves + half + at,
                      pairs);
            }
            at += pairs;
        }
    }
}

static void row_from_halves(uint8_t *row, uint8_t *even, uint8_t *odd, size_t pairs) {
    interleave(even, odd, row, pairs);
}

static void row_to_halves(uint8_t *row, uint8_t *even, uint8_t *odd, size_t pairs) {
    split(row, even, odd, pairs);
}

/* A count below 0 is that many bytes as they are; from 0 on, the next byte count + 1 times. */
static bool rle_decode(const uint8_t *in, size_t size, uint8_t *out, size_t expected) {
    const uint8_t *end = in + size;
    size_t at = 0;
    while (in < end) {
        int count = (int8_t)*in++;
        size_t run = count < 0 ? (size_t)-count : (size_t)count + 1;
        size_t needed = count < 0 ? run : 1;
        if (run > expected - at || needed > (size_t)(end - in)) {
            return false;
        }
        if (count < 0) {
            memcpy(out + at, in, run);
        } else {
            memset(out + at, *in, run);
        }
        in += needed;
        at += run;
    }
    return at == expected;
}

static void rle_literal(const uint8_t *in, size_t count, struct us_str *out) {
    while (count) {
        size_t part = count < 127 ? count : 127;
        int8_t leader = (int8_t) - (int)part;
        us_str_append_bytes(out, &leader, 1);
        us_str_append_bytes(out, in, part);
        in += part;
        count -= part;
    }
}

static void rle_encode(const uint8_t *in, size_t size, struct us_str *out) {
    size_t literal = 0, at = 0;
    while (at < size) {
        size_t run = 1;
        while (at + run < size && run < 128 && in[at + run] == in[at]) {
            run++;
        }
        if (run >= 3) {
            rle_literal(in + literal, at - literal, out);
            uint8_t pair[2] = {(uint8_t)(run - 1), in[at]};
            us_str_append_bytes(out, pair, 2);
            literal = at + run;
        }
        at += run;
    }
    rle_literal(in + literal, size - literal, out);
}

struct us_error *us_exr_zip_unpack(struct us_exr_packer *packer, const struct us_exr_block *block,
                                   const uint8_t *packed, size_t size) {
    size_t bytes = us_exr_block_bytes(block);
    uint8_t *halves = us_exr_scratch(packer, 0, bytes);
    if (!packer->inflate) {
        packer->inflate = libdeflate_alloc_decompressor();
    }
    if (!halves || !packer->inflate) {
        return NO_MEMORY;
    }
    if (block->compression == US_EXR_RLE) {
        if (!rle_decode(packed, size, halves, bytes)) {
            return us_fail(US_CORRUPT, "its run lengths do not fit its pixels");
        }
    } else if (libdeflate_zlib_decompress(packer->inflate, packed, size, halves, bytes, NULL) !=
               LIBDEFLATE_SUCCESS) {
        return us_fail(US_CORRUPT, "its compressed bytes are damaged");
    }
    undo_differences(halves, bytes);
    each_row(block, halves, bytes / 2, row_from_halves);
    return NULL;
}

static struct us_error *deflate(struct us_exr_packer *packer, const uint8_t *bytes, size_t size,
                                struct us_str *out) {
    if (!packer->deflate) {
        packer->deflate = libdeflate_alloc_compressor(ZIP_LEVEL);
    }
    uint8_t *packed = us_exr_scratch(packer, 0, size);
    if (!packer->deflate || !packed) {
        return NO_MEMORY;
    }
    size_t got = libdeflate_zlib_compress(packer->deflate, bytes, size, packed, size);
    us_str_append_bytes(out, got ? packed : bytes, got ? got : size);
    return NULL;
}

struct us_error *us_exr_zip_pack(struct us_exr_packer *packer, const struct us_exr_block *block,
                                 struct us_str *out) {
    size_t bytes = us_exr_block_bytes(block);
    uint8_t *halves = us_exr_scratch(packer, 0, bytes);
    uint8_t *differences = us_exr_scratch(packer, 1, bytes);
    if (!halves || !differences) {
        return NO_MEMORY;
    }
    each_row(block, halves, bytes / 2, row_to_halves);
    make_differences(halves, differences, bytes);
    if (block->compression == US_EXR_RLE) {
        rle_encode(differences, bytes, out);
        return NULL;
    }
    return deflate(packer, differences, bytes, out);
}
