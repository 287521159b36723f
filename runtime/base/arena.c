#include "runtime/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/base/mem.h"

struct us_arena_block {
    struct us_arena_block *next;
    size_t size, used;
    _Alignas(16) unsigned char bytes[];
};

enum { BLOCK_SIZE = 64 * 1024, HUGE_PAGE = 2 << 20 };

void us_arena_finish(struct us_arena *arena) {
    us_arena_rewind(arena, (struct us_arena_mark){0});
}

static void add_block(struct us_arena *arena, struct us_arena_block *block, size_t size) {
    block->next = arena->head;
    block->size = size;
    block->used = 0;
    arena->head = block;
}

void us_arena_reserve(struct us_arena *arena, size_t size) {
    if (size < HUGE_PAGE / 2) {
        return;
    }
    const size_t whole = (sizeof(struct us_arena_block) + size + HUGE_PAGE - 1) / HUGE_PAGE;
    struct us_arena_block *block = us_try_alloc_aligned(HUGE_PAGE, whole * HUGE_PAGE);
    if (block) {
        (void)madvise(block, whole * HUGE_PAGE, MADV_HUGEPAGE);
        add_block(arena, block, whole * HUGE_PAGE - sizeof *block);
    }
}

void *us_arena_alloc(struct us_arena *arena, size_t size) {
    size_t rounded = (size + 15) & ~(size_t)15;
    struct us_arena_block *block = arena->head;
    if (!block || block->size - block->used < rounded) {
        size_t wanted = rounded > BLOCK_SIZE ? rounded : BLOCK_SIZE;
        block = us_malloc(sizeof *block + wanted);
        add_block(arena, block, wanted);
    }
    void *memory = block->bytes + block->used;
    block->used += rounded;
    memset(memory, 0, rounded);
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
        struct us_arena_block *next = arena->head->next;
        us_free(arena->head);
        arena->head = next;
    }
    if (arena->head) {
        arena->head->used = mark.used;
    }
}
