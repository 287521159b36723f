#include "kernels/augment.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/nn/philox.h"

enum { PADDING = 3 };

typedef float lanes __attribute__((vector_size(16), aligned(4)));

/* Random numbers of one slot, in the order they are asked for. */
struct numbers {
    uint64_t seed, step;
    uint32_t stream, slot, drawn, words[4];
};

static uint32_t next_word(struct numbers *n) {
    if (n->drawn % 4 == 0) {
        us_philox(n->seed, n->stream, n->step, (uint64_t)n->slot << 32 | n->drawn / 4, n->words);
    }
    return n->words[n->drawn++ % 4];
}

static double unit(struct numbers *n) {
    return (double)us_philox_unit(next_word(n));
}
static double both_ways(struct numbers *n, double range) {
    return (2 * unit(n) - 1) * range;
}
static double bell(struct numbers *n) {
    return (unit(n) + unit(n) + unit(n)) / 1.5 - 1;
}

static struct numbers numbers_of(uint64_t seed, uint32_t stream, uint64_t step, uint32_t slot) {
    return (struct numbers){.seed = seed, .step = step, .stream = stream, .slot = slot};
}

/* The first word of a slot picks the face; the draw starts at the second group of four. */
size_t us_augment_pick(size_t count, uint64_t seed, uint32_t stream, uint64_t step, uint32_t slot) {
    struct numbers n = numbers_of(seed, stream, step, slot);
    return (size_t)(((uint64_t)next_word(&n) * count) >> 32);
}

static void draw_affine(const struct us_augment_ranges *r, int size, struct numbers *n,
                        float affine[6]) {
    const double degree = 0.017453292519943295, middle = size / 2.0;
    const double angle = both_ways(n, r->rotation_degrees) * degree;
    const double scale = pow(1 + r->scale, both_ways(n, 1));
    const double x = middle + both_ways(n, r->shift) * size;
    const double y = middle + both_ways(n, r->shift) * size;
    const double mirror = unit(n) < r->flip ? -1 : 1;
    const double a = cos(angle) * scale, b = sin(angle) * scale;
    const double m[6] = {mirror * a, -b, x - mirror * a * middle + b * middle,
                         mirror * b, a,  y - mirror * b * middle - a * middle};
    for (int i = 0; i < 6; i++) {
        affine[i] = (float)m[i];
    }
}

static void draw_warp(const struct us_augment_ranges *r, int size, struct numbers *n,
                      struct us_augment_draw *draw) {
    const int cells = 2 << (next_word(n) % 3);
    draw->cells = r->warp > 0 ? cells : 0;
    memset(draw->moves, 0, sizeof draw->moves);
    for (int y = 1; y < draw->cells; y++) {
        for (int x = 1; x < draw->cells; x++) {
            draw->moves[y][x][0] = (float)(bell(n) * r->warp * size / cells);
            draw->moves[y][x][1] = (float)(bell(n) * r->warp * size / cells);
        }
    }
}

/* Hue turns about the grey axis (Rodrigues), saturation moves away from or towards it. */
static void draw_colour(const struct us_augment_ranges *r, struct numbers *n,
                        struct us_augment_draw *draw) {
    const double angle = both_ways(n, r->hue_degrees) * 0.017453292519943295;
    const double saturation = 1 + both_ways(n, r->saturation);
    const double value = both_ways(n, r->value);
    const double c = cos(angle), s = sin(angle) / sqrt(3.0), third = 1 / 3.0;
    const double same = c + (1 - c) * third, left = (1 - c) * third - s,
                 right = (1 - c) * third + s;
    const double turn[3][3] = {{same, left, right}, {right, same, left}, {left, right, same}};
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            draw->colour[i][j] = (float)(saturation * turn[i][j] + (1 - saturation) * third);
        }
        draw->colour[i][3] = (float)value;
    }
    draw->recolour = r->hue_degrees > 0 || r->saturation > 0 || r->value > 0;
}

void us_augment_draw(const struct us_augment_ranges *ranges, int size, uint64_t seed,
                     uint32_t stream, uint64_t step, uint32_t slot, struct us_augment_draw *draw) {
    struct numbers n = numbers_of(seed, stream, step, slot);
    n.drawn = 4;
    draw_affine(ranges, size, &n, draw->affine);
    const double exposure = both_ways(&n, ranges->light);
    for (int i = 0; i < 3; i++) {
        draw->light[i] = (float)(exposure + both_ways(&n, ranges->light / 4));
    }
    draw_colour(ranges, &n, draw);
    draw_warp(ranges, size, &n, draw);
}

static void cubic_weights(float t, float w[4]) {
    w[0] = ((-0.5f * t + 1.0f) * t - 0.5f) * t;
    w[1] = (1.5f * t - 2.5f) * t * t + 1.0f;
    w[2] = ((-1.5f * t + 2.0f) * t + 0.5f) * t;
    w[3] = (0.5f * t - 0.5f) * t * t;
}

static float limited(float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
}

/* `padded` repeats the edge PADDING pixels outwards, so that clamped taps stay inside it. */
static lanes sample(const lanes *padded, int size, float x, float y) {
    const ptrdiff_t stride = size + 2 * PADDING;
    x = limited(x - 0.5f, -1.0f, (float)size) + PADDING;
    y = limited(y - 0.5f, -1.0f, (float)size) + PADDING;
    const int ix = (int)x, iy = (int)y;
    float wx[4], wy[4];
    cubic_weights(x - (float)ix, wx);
    cubic_weights(y - (float)iy, wy);
    const lanes *tap = padded + (iy - 1) * stride + (ix - 1);
    lanes sum = {0};
    for (int j = 0; j < 4; j++, tap += stride) {
        sum += wy[j] * (wx[0] * tap[0] + wx[1] * tap[1] + wx[2] * tap[2] + wx[3] * tap[3]);
    }
    return sum;
}

static int within(int i, int size) {
    return i < 0 ? 0 : i >= size ? size - 1 : i;
}

static void unpack(const uint16_t *face, int size, lanes *padded) {
    const int stride = size + 2 * PADDING;
    for (int y = 0; y < size; y++) {
        lanes *row = padded + (ptrdiff_t)(y + PADDING) * stride;
        us_half_to_float(face + (size_t)y * (size_t)size * 4, (float *)(row + PADDING),
                         (size_t)size * 4);
        for (int x = 0; x < PADDING; x++) {
            row[x] = row[PADDING];
            row[PADDING + size + x] = row[PADDING + size - 1];
        }
    }
    for (int y = -PADDING; y < size + PADDING; y++) {
        if (y != within(y, size)) {
            memcpy(padded + (ptrdiff_t)(y + PADDING) * stride,
                   padded + (ptrdiff_t)(within(y, size) + PADDING) * stride,
                   (size_t)stride * sizeof *padded);
        }
    }
}

/* One row of the warp: the nodes interpolated down to this height, nodes x and y. */
static void warp_row(const struct us_augment_draw *draw, int size, int y,
                     float line[US_AUGMENT_NODES][2]) {
    const float at = ((float)y + 0.5f) * (float)draw->cells / (float)size;
    const int node = (int)at;
    float w[4];
    cubic_weights(at - (float)node, w);
    memset(line, 0, US_AUGMENT_NODES * sizeof *line);
    for (int j = 0; j < 4; j++) {
        const int from = within(node - 1 + j, draw->cells + 1);
        for (int x = 0; x <= draw->cells; x++) {
            line[x][0] += w[j] * draw->moves[from][x][0];
            line[x][1] += w[j] * draw->moves[from][x][1];
        }
    }
}

static void warp_at(const struct us_augment_draw *draw, int size, int x,
                    float line[US_AUGMENT_NODES][2], float move[2]) {
    const float at = ((float)x + 0.5f) * (float)draw->cells / (float)size;
    const int node = (int)at;
    float w[4];
    cubic_weights(at - (float)node, w);
    move[0] = move[1] = 0;
    for (int j = 0; j < 4; j++) {
        const int from = within(node - 1 + j, draw->cells + 1);
        move[0] += w[j] * line[from][0];
        move[1] += w[j] * line[from][1];
    }
}

static lanes recoloured(const struct us_augment_draw *draw, lanes c) {
    lanes out = c;
    for (int i = 0; i < 3; i++) {
        const float *m = draw->colour[i];
        out[i] = m[0] * c[0] + m[1] * c[1] + m[2] * c[2] + m[3];
    }
    return out;
}

static void store(float *planes, size_t at, size_t area, lanes c) {
    planes[at] = c[0];
    planes[at + area] = c[1];
    planes[at + 2 * area] = c[2];
}

static void make_row(const struct us_augment_job *job, int size, int y, const lanes *padded) {
    const struct us_augment_draw *draw = &job->draw;
    const float *m = draw->affine;
    const lanes light = {draw->light[0], draw->light[1], draw->light[2], 0};
    const size_t area = (size_t)size * (size_t)size;
    float line[US_AUGMENT_NODES][2];
    if (draw->cells) {
        warp_row(draw, size, y, line);
    }
    for (int x = 0; x < size; x++) {
        const size_t at = (size_t)y * (size_t)size + (size_t)x;
        const float px = (float)x + 0.5f, py = (float)y + 0.5f;
        const lanes target = light + sample(padded, size, m[0] * px + m[1] * py + m[2],
                                            m[3] * px + m[4] * py + m[5]);
        lanes input = target;
        if (draw->cells) {
            float move[2];
            warp_at(draw, size, x, line, move);
            const float wx = px + move[0], wy = py + move[1];
            input = light + sample(padded, size, m[0] * wx + m[1] * wy + m[2],
                                   m[3] * wx + m[4] * wy + m[5]);
        }
        store(job->target, at, area, target);
        store(job->input, at, area, draw->recolour ? recoloured(draw, input) : input);
        job->mask[at] = limited(target[3], 0, 1);
    }
}

size_t us_augment_scratch(int size) {
    const size_t side = (size_t)(size + 2 * PADDING);
    return side * side * 4;
}

void us_augment_run(const struct us_augment_job *jobs, size_t count, int size, int threads,
                    float *scratch) {
    const ptrdiff_t total = (ptrdiff_t)count, each = (ptrdiff_t)us_augment_scratch(size);
#pragma omp parallel num_threads(threads)
    {
        lanes *padded = (lanes *)(void *)(scratch + omp_get_thread_num() * each);
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < total; i++) {
            unpack(jobs[i].face, size, padded);
            for (int y = 0; y < size; y++) {
                make_row(&jobs[i], size, y, padded);
            }
        }
    }
}
