#include "runtime/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"

struct us_arena_block {
    struct us_arena_block *next;
    size_t size, used;
    size_t touched; /* bytes that were handed out before; beyond, a mapped block is zero */
    struct us_mapping mapping; /* empty: us_malloc'ed */
    _Alignas(16) unsigned char bytes[];
};

enum { BLOCK_SIZE = 64 * 1024, LARGE = 1 << 20 };

void us_arena_finish(struct us_arena *arena) {
    us_arena_rewind(arena, (struct us_arena_mark){0});
}

void us_arena_reserve(struct us_arena *arena, size_t size) {
    struct us_mapping mapping;
    struct us_arena_block *block =
        size < LARGE ? NULL : us_try_map_huge(sizeof *block + size, &mapping);
    if (block) {
        block->mapping = mapping;
        block->size = size;
        block->next = arena->head;
        arena->head = block;
    }
}

static void add_block(struct us_arena *arena, size_t size) {
    struct us_arena_block *block = us_malloc(sizeof *block + size);
    *block = (struct us_arena_block){.next = arena->head, .size = size, .touched = size};
    arena->head = block;
}

void *us_arena_alloc(struct us_arena *arena, size_t size) {
    size_t rounded = (size + 15) & ~(size_t)15;
    struct us_arena_block *block = arena->head;
    if (!block || block->size - block->used < rounded) {
        add_block(arena, rounded > BLOCK_SIZE ? rounded : BLOCK_SIZE);
        block = arena->head;
    }
    unsigned char *memory = block->bytes + block->used;
    if (block->used < block->touched) {
        const size_t dirty = block->touched - block->used;
        memset(memory, 0, dirty < rounded ? dirty : rounded);
    }
    block->used += rounded;
    block->touched = block->used > block->touched ? block->used : block->touched;
    return memory;
}

char *us_arena_strndup(struct us_arena *arena, const char *text, size_t length) {
    char *copy = us_arena_alloc(arena, length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *us_arena_strdup(struct us_arena *arena, const char *text) {
    return us_arena_strndup(arena, text, strlen(text));
}

char *us_arena_printf(struct us_arena *arena, const char *format, ...) {
    char brief[256];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(brief, sizeof brief, format, again);
    va_end(again);
    char *text = us_arena_alloc(arena, (size_t)length + 1);
    if ((size_t)length < sizeof brief) {
        memcpy(text, brief, (size_t)length);
    } else {
        vsnprintf(text, (size_t)length + 1, format, args);
    }
    va_end(args);
    return text;
}

struct us_arena_mark us_arena_mark(const struct us_arena *arena) {
    return (struct us_arena_mark){.head = arena->head, .used = arena->head ? arena->head->used : 0};
}

void us_arena_rewind(struct us_arena *arena, struct us_arena_mark mark) {
    while (arena->head != mark.head) {
        struct us_arena_block *block = arena->head;
        const struct us_mapping mapping = block->mapping;
        arena->head = block->next;
        if (mapping.size) {
            us_unmap(&mapping);
        } else {
            us_free(block);
        }
    }
    if (arena->head) {
        arena->head->used = mark.used;
    }
}
