/* The bytes of a pack's table. */
#ifndef US_CACHE_PACK_INTERNAL_H
#define US_CACHE_PACK_INTERNAL_H

#include <stddef.h>

enum { PACK_ROW = 48, PACK_BLOCK = 64, PACK_FENCE = 32, PACK_DROP = 24, PACK_TRAILER = 64 };
static const char pack_magic[8] = {'U', 'S', 'P', 'A', 'C', 'K', '1', '\n'};

/* Names are padded with zeros to a multiple of 8. */
static inline size_t pack_padded(size_t bytes) {
    return (bytes + 7) & ~(size_t)7;
}

#endif
