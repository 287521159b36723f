#include "nodes/learn/preview_sheet.h"

#include "nodes/io/draw.h"
#include "nodes/io/png.h"
#include "nodes/learn/face_score.h"
#include "runtime/base/mem.h"

enum { COLUMNS = 8, GAP = 4, TITLE = 32, CELL_MIN = 96 };

static const struct us_rgb8 paper = {24, 24, 24}, ink = {235, 235, 235};

/* `shown` is [3][size][size], 0 to 1; every pixel becomes zoom x zoom. */
static void draw_face(struct us_canvas canvas, int x0, int y0, const float *shown, int size,
                      int zoom) {
    const int area = size * size;
    for (int i = 0; i < area; i++) {
        const struct us_rgb8 colour = {(uint8_t)(shown[i] * 255 + 0.5f),
                                       (uint8_t)(shown[i + area] * 255 + 0.5f),
                                       (uint8_t)(shown[i + 2 * area] * 255 + 0.5f)};
        us_draw_rect(canvas, x0 + i % size * zoom, y0 + i / size * zoom, zoom, zoom, colour);
    }
}

static int label_width(const struct us_preview_row *rows, size_t count) {
    int widest = 0;
    for (size_t i = 0; i < count; i++) {
        const int width = us_text_width(rows[i].label, 2);
        widest = width > widest ? width : widest;
    }
    return widest + 16;
}

static void draw_row(struct us_canvas canvas, const struct us_preview_row *row,
                     const char *encoding, int size, int zoom, int left, int top, float *shown) {
    const size_t values = 3 * (size_t)size * (size_t)size;
    const int cell = size * zoom;
    us_draw_text(canvas, 8, top + (cell - 2 * US_TEXT_HEIGHT) / 2, 2, row->label, ink);
    for (size_t i = 0; row->faces && i < row->count && i < COLUMNS; i++) {
        us_display_values(encoding, row->faces + i * values, shown, values);
        draw_face(canvas, left + (int)i * (cell + GAP), top, shown, size, zoom);
    }
}

struct us_error *us_preview_sheet(const char *title, const char *encoding, int size,
                                  const struct us_preview_row *rows, size_t row_count,
                                  uint8_t **bytes, size_t *byte_count) {
    const int zoom = size >= CELL_MIN ? 1 : (CELL_MIN + size - 1) / size, cell = size * zoom;
    const int left = label_width(rows, row_count);
    const int sheet = left + COLUMNS * (cell + GAP), head = 16 + us_text_width(title, 2);
    const int width = sheet > head ? sheet : head;
    const int height = TITLE + (int)row_count * (cell + GAP);
    uint8_t *pixels = us_try_alloc_pixels((size_t)width * (size_t)height * 3);
    float *shown = us_try_alloc_pixels(3 * (size_t)size * (size_t)size * sizeof *shown);
    struct us_error *error = NULL;
    if (!pixels || !shown) {
        error = us_fail(US_RETRY, "no memory for a preview of %d x %d", width, height);
    } else {
        const struct us_canvas canvas = {pixels, width, height};
        us_draw_rect(canvas, 0, 0, width, height, paper);
        us_draw_text(canvas, 8, 8, 2, title, ink);
        for (size_t i = 0; i < row_count; i++) {
            draw_row(canvas, &rows[i], encoding, size, zoom, left, TITLE + (int)i * (cell + GAP),
                     shown);
        }
        const struct us_png png = {width, height, 3, 8, pixels};
        error = us_png_encode(&png, bytes, byte_count);
    }
    us_free(pixels);
    us_free(shown);
    return error;
}
