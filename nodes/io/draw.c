#include "nodes/io/draw.h"

#include <string.h>

/* From space to tilde; nine rows a glyph, each row one base-32 digit (0-9, a-v) whose five bits are
 * the pixels from left to right. The last two rows are for descenders. */
static const char *const font[] = {
    "000000000", "444440400", "aaa000000", "aavavaa00", "4fke5u400", "op248j300", "cik8lid00",
    "448000000", "248884200", "842224800", "04lel4000", "044v44000", "00000c480", "000v00000",
    "00000cc00", "01248g000", "ehjlphe00", "4c4444e00", "eh1248v00", "v2421he00", "26aiv2200",
    "vgu11he00", "68guhhe00", "v12488800", "ehhehhe00", "ehhf12c00", "0cc0cc000", "0cc0c4800",
    "248g84200", "00v0v0000", "842124800", "eh1240400", "eh1dlle00", "ehhvhhh00", "uhhuhhu00",
    "ehggghe00", "sihhhis00", "vgguggv00", "vgguggg00", "ehgnhhf00", "hhhvhhh00", "e44444e00",
    "72222ic00", "hikokih00", "ggggggv00", "hrllhhh00", "hhpljhh00", "ehhhhhe00", "uhhuggg00",
    "ehhhlid00", "uhhukih00", "fgge11u00", "v44444400", "hhhhhhe00", "hhhhha400", "hhhllla00",
    "hha4ahh00", "hhha44400", "v1248gv00", "e88888e00", "0g8421000", "e22222e00", "4ah000000",
    "000000v00", "842000000", "00e1fhf00", "ggmphhu00", "00egghe00", "11djhhf00", "00ehvge00",
    "698s88800", "00fhhhf1e", "ggmphhh00", "40c444e00", "2062222ic", "ggikoki00", "c44444e00",
    "00qllhh00", "00mphhh00", "00ehhhe00", "00mphhugg", "00djhhf11", "00mpggg00", "00ege1u00",
    "88s889600", "00hhhjd00", "00hhha400", "00hhlla00", "00ha4ah00", "00hhhhf1e", "00v248v00",
    "244844200", "444444400", "844244800", "008l20000",
};
static const char *const box = "vhhhhhv00";

static int32_t clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

void us_draw_rect(struct us_canvas canvas, int32_t x, int32_t y, int32_t width, int32_t height,
                  struct us_rgb8 color) {
    int32_t x1 = clamp(x + width, 0, canvas.width), y1 = clamp(y + height, 0, canvas.height);
    for (int32_t v = clamp(y, 0, canvas.height); v < y1; v++) {
        for (int32_t u = clamp(x, 0, canvas.width); u < x1; u++) {
            memcpy(canvas.pixels + 3 * ((size_t)v * (size_t)canvas.width + (size_t)u), &color, 3);
        }
    }
}

/* Bresenham's algorithm, all octants. */
void us_draw_line(struct us_canvas canvas, int32_t x0, int32_t y0, int32_t x1, int32_t y1,
                  struct us_rgb8 color) {
    int32_t dx = x1 > x0 ? x1 - x0 : x0 - x1, step_x = x1 > x0 ? 1 : -1;
    int32_t dy = y1 > y0 ? y0 - y1 : y1 - y0, step_y = y1 > y0 ? 1 : -1;
    int32_t error = dx + dy;
    for (;;) {
        us_draw_rect(canvas, x0, y0, 1, 1, color);
        if (x0 == x1 && y0 == y1) {
            return;
        }
        int32_t twice = 2 * error;
        if (twice >= dy) {
            error += dy;
            x0 += step_x;
        }
        if (twice <= dx) {
            error += dx;
            y0 += step_y;
        }
    }
}

static void draw_glyph(struct us_canvas canvas, int32_t x, int32_t y, int32_t scale,
                       const char *glyph, struct us_rgb8 color) {
    for (int32_t row = 0; row < US_TEXT_HEIGHT; row++) {
        int bits = glyph[row] <= '9' ? glyph[row] - '0' : glyph[row] - 'a' + 10;
        for (int32_t column = 0; column < 5; column++) {
            if (bits & (16 >> column)) {
                us_draw_rect(canvas, x + column * scale, y + row * scale, scale, scale, color);
            }
        }
    }
}

void us_draw_text(struct us_canvas canvas, int32_t x, int32_t y, int32_t scale, const char *text,
                  struct us_rgb8 color) {
    for (; *text; text++, x += US_TEXT_ADVANCE * scale) {
        const char *glyph = *text >= ' ' && *text <= '~' ? font[*text - ' '] : box;
        draw_glyph(canvas, x, y, scale, glyph, color);
    }
}

int32_t us_text_width(const char *text, int32_t scale) {
    size_t length = strlen(text);
    return length ? ((int32_t)length * US_TEXT_ADVANCE - 1) * scale : 0;
}
