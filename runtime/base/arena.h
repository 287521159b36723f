/* Bump allocator: everything in it lives until the arena is finished or rewound to a mark. */
#ifndef US_RUNTIME_BASE_ARENA_H
#define US_RUNTIME_BASE_ARENA_H

#include <stddef.h>

struct us_arena_block;

struct us_arena {
    struct us_arena_block *head;
};

struct us_arena_mark {
    struct us_arena_block *head;
    size_t used;
};

/* A zeroed struct us_arena is ready for use. */
void us_arena_finish(struct us_arena *arena);

/* So many bytes are about to be asked for: they come out of one block, of huge pages where that is
 * worth it, whose first touch costs hundreds of times less a byte. Never wrong, at most of no use.
 */
void us_arena_reserve(struct us_arena *arena, size_t size);
/* Zeroed memory, 16-byte aligned; never NULL. */
void *us_arena_alloc(struct us_arena *arena, size_t size) __attribute__((returns_nonnull));
char *us_arena_strdup(struct us_arena *arena, const char *text) __attribute__((returns_nonnull));
char *us_arena_strndup(struct us_arena *arena, const char *text, size_t length)
    __attribute__((returns_nonnull));
char *us_arena_printf(struct us_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull));

struct us_arena_mark us_arena_mark(const struct us_arena *arena);
void us_arena_rewind(struct us_arena *arena, struct us_arena_mark mark);

#endif
