#include "runtime/base/arena.h"

#include <stdint.h>
#include <string.h>

#include "tests/support/check.h"

enum { RESERVED = 5 << 20, PIECE = 3000 };

static bool all_zero(const unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i]) {
            return false;
        }
    }
    return true;
}

/* Fills an arena beyond what was reserved; everything it hands out is zero and aligned. */
static void fill(struct us_arena *arena, size_t size) {
    for (size_t done = 0; done < size; done += PIECE) {
        unsigned char *piece = us_arena_alloc(arena, PIECE);
        assert_int_equal((uintptr_t)piece % 16, 0);
        assert_true(all_zero(piece, PIECE));
        memset(piece, 0xa5, PIECE);
    }
}

static void hands_out_zeros_again_and_again(void **state) {
    (void)state;
    static const size_t reserved[] = {0, 1000, RESERVED};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        struct us_arena arena = {0};
        us_arena_reserve(&arena, reserved[i]);
        char *first = us_arena_strdup(&arena, "first");
        const struct us_arena_mark mark = us_arena_mark(&arena);
        for (int turn = 0; turn < 3; turn++) {
            fill(&arena, turn == 1 ? RESERVED / 2 : 2 * RESERVED);
            us_arena_rewind(&arena, mark);
            assert_string_equal(first, "first");
        }
        us_arena_finish(&arena);
        assert_null(arena.head);
    }
}

static void one_block_serves_what_was_reserved(void **state) {
    (void)state;
    struct us_arena arena = {0};
    us_arena_reserve(&arena, RESERVED);
    const struct us_arena_block *block = arena.head;
    assert_non_null(block);
    fill(&arena, RESERVED / 2);
    assert_non_null(us_arena_alloc(&arena, RESERVED / 4));
    assert_ptr_equal(arena.head, block);
    us_arena_finish(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_out_zeros_again_and_again),
        cmocka_unit_test(one_block_serves_what_was_reserved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
