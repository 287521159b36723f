#include "kernels/nn/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *us_nn_alloc(size_t bytes) {
    if (bytes > SIZE_MAX - 64) {
        return NULL;
    }
    const size_t rounded = bytes ? (bytes + 63) / 64 * 64 : 64;
    void *block = aligned_alloc(64, rounded);
    if (block) {
        memset(block, 0, rounded);
    }
    return block;
}

void us_nn_free(void *block) {
    free(block);
}
