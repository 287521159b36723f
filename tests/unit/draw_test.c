#include "nodes/io/draw.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

static const struct us_rgb8 white = {255, 255, 255};

static int lit(const uint8_t *pixels, int width, int x, int y) {
    return pixels[3 * (y * width + x)] == 255;
}

static void rectangles_are_clipped(void **state) {
    (void)state;
    uint8_t pixels[4 * 3 * 3 + 3];
    memset(pixels, 7, sizeof pixels);
    const struct us_canvas canvas = {pixels, 4, 3};
    us_draw_rect(canvas, -5, -5, 7, 7, white);
    us_draw_rect(canvas, 3, 2, 100, 100, white);
    us_draw_rect(canvas, 0, 2, -3, 1, white);
    for (int y = 0; y < 3; y++) {
        for (int x = 0; x < 4; x++) {
            assert_int_equal(lit(pixels, 4, x, y), (x < 2 && y < 2) || (x == 3 && y == 2));
        }
    }
    assert_int_equal(pixels[36], 7);
}

static void lines_reach_both_ends(void **state) {
    (void)state;
    static const int ends[][4] = {
        {0, 0, 7, 3}, {7, 3, 0, 0}, {2, 7, 5, 0}, {3, 3, 3, 3}, {7, 0, 0, 7}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        uint8_t pixels[8 * 8 * 3] = {0};
        const int *e = ends[i];
        us_draw_line((struct us_canvas){pixels, 8, 8}, e[0], e[1], e[2], e[3], white);
        assert_true(lit(pixels, 8, e[0], e[1]));
        assert_true(lit(pixels, 8, e[2], e[3]));
        int count = 0,
            longest = abs(e[2] - e[0]) > abs(e[3] - e[1]) ? abs(e[2] - e[0]) : abs(e[3] - e[1]);
        for (int p = 0; p < 64; p++) {
            count += lit(pixels, 8, p % 8, p / 8);
        }
        assert_int_equal(count, longest + 1);
    }
}

static void text_is_readable(void **state) {
    (void)state;
    static const char *const seven[] = {"#####", "....#", "...#.", "..#..",
                                        ".#...", ".#...", ".#..."};
    uint8_t pixels[16 * 24 * 3] = {0};
    us_draw_text((struct us_canvas){pixels, 16, 24}, 1, 2, 2, "7", white);
    for (int y = 0; y < 7; y++) {
        for (int x = 0; x < 5; x++) {
            assert_int_equal(lit(pixels, 16, 1 + 2 * x, 2 + 2 * y), seven[y][x] == '#');
            assert_int_equal(lit(pixels, 16, 2 + 2 * x, 3 + 2 * y), seven[y][x] == '#');
        }
    }
    assert_int_equal(us_text_width("abc", 2), 34);
    assert_int_equal(us_text_width("", 2), 0);
}

static void every_glyph_differs(void **state) {
    (void)state;
    uint8_t seen[96][6 * 9 * 3];
    for (int c = ' '; c <= 127; c++) {
        memset(seen[c - ' '], 0, sizeof *seen);
        const char text[2] = {(char)c, 0};
        us_draw_text((struct us_canvas){seen[c - ' '], 6, 9}, 0, 0, 1, text, white);
        for (int before = ' '; before < c; before++) {
            if (memcmp(seen[before - ' '], seen[c - ' '], sizeof *seen) == 0) {
                fail_msg("'%c' looks like '%c'", before, c);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rectangles_are_clipped),
        cmocka_unit_test(lines_reach_both_ends),
        cmocka_unit_test(text_is_readable),
        cmocka_unit_test(every_glyph_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
