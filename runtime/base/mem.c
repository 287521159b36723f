#include "runtime/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *need(void *block, size_t size) {
    if (!block) {
        fprintf(stderr, "understudy: error: out of memory (%zu bytes asked for)\n", size);
        exit(75);
    }
    return block;
}

void *us_malloc(size_t size) {
    return need(malloc(size ? size : 1), size);
}

void *us_calloc(size_t count, size_t size) {
    return need(calloc(count ? count : 1, size ? size : 1), count * size);
}

void *us_realloc(void *block, size_t size) {
    return need(realloc(block, size ? size : 1), size);
}

char *us_strdup(const char *text) {
    return us_strndup(text, strlen(text));
}

char *us_strndup(const char *text, size_t length) {
    char *copy = us_malloc(length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void us_free(void *block) {
    free(block);
}

void *us_try_alloc_pixels(size_t size) {
    if (size > SIZE_MAX - 63) {
        return NULL;
    }
    size_t rounded = (size + 63) & ~(size_t)63;
    return aligned_alloc(64, rounded ? rounded : 64);
}

void *us_try_map_huge(size_t size, struct us_mapping *mapping) {
    const size_t page = (size_t)2 << 20, whole = (size + page - 1) & ~(page - 1);
    *mapping = (struct us_mapping){0};
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    void *at = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        return NULL;
    }
    *mapping = (struct us_mapping){at, whole + page};
    char *aligned = (char *)at + (page - (uintptr_t)at % page) % page;
    (void)madvise(aligned, whole, MADV_HUGEPAGE);
    return aligned;
}

void us_unmap(const struct us_mapping *mapping) {
    if (mapping->size) {
        (void)munmap(mapping->at, mapping->size);
    }
}

void us_grow(void *items_address, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity) {
        return;
    }
    size_t wanted = *capacity ? *capacity * 2 : 8;
    while (wanted <= count) {
        wanted *= 2;
    }
    void *items;
    memcpy(&items, items_address, sizeof items);
    items = us_realloc(items, wanted * size);
    memcpy(items_address, &items, sizeof items);
    *capacity = wanted;
}
