#include "runtime/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void *us_try_alloc_aligned(size_t alignment, size_t size) {
    if (size > SIZE_MAX - alignment) {
        return NULL;
    }
    size_t rounded = (size + alignment - 1) & ~(alignment - 1);
    return aligned_alloc(alignment, rounded ? rounded : alignment);
}

void *us_try_alloc_pixels(size_t size) {
    return us_try_alloc_aligned(64, size);
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
