/* Drawing into an 8-bit RGB picture: rectangles, lines and text in a 5 x 9 pixel font of our own.
 * Everything is clipped to the picture. */
#ifndef US_NODES_IO_DRAW_H
#define US_NODES_IO_DRAW_H

#include <stddef.h>
#include <stdint.h>

struct us_canvas {
    uint8_t *pixels; /* RGB, rows without padding; the caller's */
    int32_t width, height;
};

struct us_rgb8 {
    uint8_t r, g, b;
};

/* Of one line of text at scale 1; a character takes 6 pixels of width. */
enum { US_TEXT_HEIGHT = 9, US_TEXT_ADVANCE = 6 };

void us_draw_rect(struct us_canvas canvas, int32_t x, int32_t y, int32_t width, int32_t height,
                  struct us_rgb8 color);
/* Both ends included. */
void us_draw_line(struct us_canvas canvas, int32_t x0, int32_t y0, int32_t x1, int32_t y1,
                  struct us_rgb8 color);
/* (x, y) is the top-left corner; every font pixel becomes scale x scale. Printable ASCII; any other
 * byte draws a box. */
void us_draw_text(struct us_canvas canvas, int32_t x, int32_t y, int32_t scale, const char *text,
                  struct us_rgb8 color);
int32_t us_text_width(const char *text, int32_t scale);

#endif
