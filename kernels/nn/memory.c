#include "kernels/nn/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LARGE = 4 << 20 };

/* Layers step through large blocks in long strides: huge pages, where there are any, spare most of
 * the walks through page tables. */
static void want_huge_pages(char *block, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    char *first = block + (page - (uintptr_t)block % page) % page;
    (void)madvise(first, (size_t)(block + bytes - first) / page * page, MADV_HUGEPAGE);
}

void *us_nn_alloc(size_t bytes) {
    if (bytes > SIZE_MAX - 64) {
        return NULL;
    }
    const size_t rounded = bytes ? (bytes + 63) / 64 * 64 : 64;
    void *block = aligned_alloc(64, rounded);
    if (block && rounded >= LARGE) {
        want_huge_pages(block, rounded);
    }
    if (block) {
        memset(block, 0, rounded);
    }
    return block;
}

void us_nn_free(void *block) {
    free(block);
}
