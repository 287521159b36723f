/* The only malloc of the project.
 *
 * us_malloc and friends never return NULL: small allocations that fail end the program with status
 * 75 and one line. Pixel and tensor memory goes through us_try_alloc_pixels, which can fail. */
#ifndef US_RUNTIME_BASE_MEM_H
#define US_RUNTIME_BASE_MEM_H

#include <stddef.h>

void *us_malloc(size_t size) __attribute__((malloc, returns_nonnull));
void *us_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *us_realloc(void *block, size_t size) __attribute__((returns_nonnull));
char *us_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *us_strndup(const char *text, size_t length) __attribute__((malloc, returns_nonnull));
void us_free(void *block);

/* 64-byte aligned, not zeroed; NULL when there is no memory. Freed with us_free. */
void *us_try_alloc_pixels(size_t size) __attribute__((malloc));

struct us_mapping {
    void *at;
    size_t size; /* 0: none */
};
/* Zeroed memory of the system's own, on huge pages where it has them, which is touched the first
 * time at a fraction of the cost; NULL when there is none. Given back by us_unmap. */
void *us_try_map_huge(size_t size, struct us_mapping *mapping);
void us_unmap(const struct us_mapping *mapping);

/* Grows `*items` so that index `count` exists: doubles the capacity. `size` is one item's. */
void us_grow(void *items_address, size_t *capacity, size_t count, size_t size);

#endif
