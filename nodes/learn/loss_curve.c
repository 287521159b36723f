#include "nodes/learn/loss_curve.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nodes/io/draw.h"
#include "nodes/io/png.h"
#include "nodes/learn/training.h"
#include "runtime/base/mem.h"

enum { WIDTH = 960, HEIGHT = 480, LEFT = 84, RIGHT = 24, TOP = 56, BOTTOM = 64 };

static const struct us_rgb8 paper = {255, 255, 255}, ink = {40, 40, 40}, grid = {225, 225, 225};
static const struct us_rgb8 bold[2] = {{205, 92, 20}, {25, 100, 180}};
static const struct us_rgb8 faint[2] = {{246, 216, 194}, {200, 220, 240}};
static const char *const names[2] = {"source", "destination"};

struct plot {
    struct us_canvas canvas;
    const float *losses;
    uint64_t steps;
    double low, high; /* log10 of the loss at the bottom and the top */
};

static double log_of(double loss) {
    return log10(loss > 1e-6 ? fmin(loss, 1e9) : 1e-6);
}

static int x_of(const struct plot *p, double step) {
    const double span = p->steps > 1 ? (double)p->steps : 1;
    return LEFT + (int)lround(step / span * (WIDTH - LEFT - RIGHT));
}

static int y_of(const struct plot *p, double loss) {
    const double part = (log_of(loss) - p->low) / (p->high - p->low);
    const double limited = part < 0 ? 0 : part > 1 ? 1 : part;
    return HEIGHT - BOTTOM - (int)lround(limited * (HEIGHT - TOP - BOTTOM));
}

static void find_range(struct plot *p) {
    double low = 1e9, high = -1e9;
    for (uint64_t i = 0; i < 2 * p->steps; i++) {
        const double value = log_of((double)p->losses[i]);
        low = fmin(low, value);
        high = fmax(high, value);
    }
    if (p->steps == 0) {
        low = high = 0;
    }
    p->low = low - 0.05;
    p->high = fmax(high + 0.05, p->low + 0.2);
}

static void draw_loss_axis(const struct plot *p) {
    static const double marks[] = {1, 2, 3, 5, 7};
    for (int decade = (int)floor(p->low); decade <= (int)ceil(p->high); decade++) {
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
            const double loss = marks[i] * pow(10, decade);
            const bool named = p->high - p->low < 1.2 || i == 0 || marks[i] == 3;
            if (log_of(loss) < p->low || log_of(loss) > p->high || !named) {
                continue;
            }
            char text[32];
            const int y = y_of(p, loss);
            snprintf(text, sizeof text, "%g", loss);
            us_draw_line(p->canvas, LEFT, y, WIDTH - RIGHT, y, grid);
            us_draw_text(p->canvas, LEFT - 8 - us_text_width(text, 2), y - US_TEXT_HEIGHT, 2, text,
                         ink);
        }
    }
}

/* A round number of steps that gives 4 to 10 marks. */
static double mark_distance(double steps) {
    const double rough = steps / 8, decade = pow(10, floor(log10(fmax(rough, 1))));
    const double part = rough / decade;
    return decade * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

static void draw_step_axis(const struct plot *p) {
    const double distance = mark_distance((double)p->steps);
    for (double step = 0; step <= (double)p->steps; step += distance) {
        char text[32];
        const int x = x_of(p, step), bottom = HEIGHT - BOTTOM;
        snprintf(text, sizeof text, "%.0f", step);
        const int half = us_text_width(text, 2) / 2;
        const int at = x + half > WIDTH ? WIDTH - 2 * half : x - half;
        us_draw_line(p->canvas, x, TOP, x, bottom, grid);
        us_draw_line(p->canvas, x, bottom, x, bottom + 5, ink);
        us_draw_text(p->canvas, at, bottom + 10, 2, text, ink);
    }
    us_draw_text(p->canvas, (WIDTH - us_text_width("step", 2)) / 2, HEIGHT - 24, 2, "step", ink);
}

static void draw_frame(const struct plot *p) {
    const int bottom = HEIGHT - BOTTOM, right = WIDTH - RIGHT;
    us_draw_line(p->canvas, LEFT, TOP, LEFT, bottom, ink);
    us_draw_line(p->canvas, LEFT, bottom, right, bottom, ink);
}

static void draw_steps(const struct plot *p, int side) {
    for (uint64_t s = 1; s < p->steps; s++) {
        us_draw_line(p->canvas, x_of(p, (double)s),
                     y_of(p, (double)p->losses[2 * s - 2 + (uint64_t)side]), x_of(p, (double)s + 1),
                     y_of(p, (double)p->losses[2 * s + (uint64_t)side]), faint[side]);
    }
}

/* A running sum keeps a million steps cheap. */
static void draw_mean(const struct plot *p, int side) {
    double sum = 0;
    int last_x = 0, last_y = 0;
    for (uint64_t s = 0; s < p->steps; s++) {
        sum += (double)p->losses[2 * s + (uint64_t)side];
        if (s >= US_LOSS_WINDOW) {
            sum -= (double)p->losses[2 * (s - US_LOSS_WINDOW) + (uint64_t)side];
        }
        const double mean = sum / (double)(s < US_LOSS_WINDOW ? s + 1 : US_LOSS_WINDOW);
        const int x = x_of(p, (double)s + 1), y = y_of(p, mean);
        if (s > 0) {
            us_draw_line(p->canvas, last_x, last_y, x, y, bold[side]);
            us_draw_line(p->canvas, last_x, last_y + 1, x, y + 1, bold[side]);
        }
        last_x = x;
        last_y = y;
    }
}

static double last_mean(const struct plot *p, int side) {
    double sum = 0;
    const uint64_t from = p->steps > US_LOSS_WINDOW ? p->steps - US_LOSS_WINDOW : 0;
    for (uint64_t s = from; s < p->steps; s++) {
        sum += (double)p->losses[2 * s + (uint64_t)side];
    }
    return p->steps ? sum / (double)(p->steps - from) : 0;
}

static void draw_legend(const struct plot *p) {
    int x = LEFT;
    us_draw_text(p->canvas, 12, 16, 2, "loss", ink);
    for (int side = 0; side < 2; side++) {
        char text[64];
        snprintf(text, sizeof text, "%s %.4f", names[side], last_mean(p, side));
        us_draw_rect(p->canvas, x, 20, 24, 8, bold[side]);
        us_draw_text(p->canvas, x + 32, 16, 2, text, ink);
        x += 64 + us_text_width(text, 2);
    }
    us_draw_text(p->canvas, x, 16, 2, "(mean of 100 steps)", ink);
}

struct us_error *us_loss_curve(const float *losses, uint64_t steps, uint8_t **bytes, size_t *size) {
    uint8_t *pixels = us_malloc((size_t)WIDTH * HEIGHT * 3);
    struct plot p = {.canvas = {pixels, WIDTH, HEIGHT}, .losses = losses, .steps = steps};
    us_draw_rect(p.canvas, 0, 0, WIDTH, HEIGHT, paper);
    find_range(&p);
    draw_loss_axis(&p);
    draw_step_axis(&p);
    for (int side = 0; side < 2; side++) {
        draw_steps(&p, side);
    }
    for (int side = 0; side < 2; side++) {
        draw_mean(&p, side);
    }
    draw_frame(&p);
    draw_legend(&p);
    const struct us_png png = {WIDTH, HEIGHT, 3, 8, pixels};
    struct us_error *error = us_png_encode(&png, bytes, size);
    us_free(pixels);
    return error;
}
