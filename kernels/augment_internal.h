/* What the CPU's and the device's augmentation share: the draws, and the places a warp moves to. */
#ifndef US_KERNELS_AUGMENT_INTERNAL_H
#define US_KERNELS_AUGMENT_INTERNAL_H

#include <math.h>

#include "kernels/augment.h"
#include "kernels/nn/philox.h"

/* Random numbers of one slot, in the order they are asked for. */
struct numbers {
    uint64_t seed, step;
    uint32_t stream, slot, drawn, words[4];
};

US_SHARED_INLINE uint32_t next_word(struct numbers *n) {
    if (n->drawn % 4 == 0) {
        us_philox(n->seed, n->stream, n->step, (uint64_t)n->slot << 32 | n->drawn / 4, n->words);
    }
    return n->words[n->drawn++ % 4];
}

US_SHARED_INLINE double unit(struct numbers *n) {
    return (double)us_philox_unit(next_word(n));
}
US_SHARED_INLINE double both_ways(struct numbers *n, double range) {
    return (2 * unit(n) - 1) * range;
}
US_SHARED_INLINE double bell(struct numbers *n) {
    return (unit(n) + unit(n) + unit(n)) / 1.5 - 1;
}

US_SHARED_INLINE struct numbers numbers_of(uint64_t seed, uint32_t stream, uint64_t step,
                                           uint32_t slot) {
    struct numbers n = {seed, step, stream, slot, 0, {0}};
    return n;
}

/* Where in the numbers of a slot each part of its draw begins. */
enum { AFFINE_WORD = 4, LIGHT_WORD = 9, CELLS_WORD = 16, NODE_WORD = 17 };
enum { NODE_WORDS = 6 }; /* of each inner node of the warp, row by row */

/* As if the words before had been asked for. */
US_SHARED_INLINE void skip_to(struct numbers *n, uint32_t word) {
    n->drawn = word;
    if (word % 4 != 0) {
        us_philox(n->seed, n->stream, n->step, (uint64_t)n->slot << 32 | word / 4, n->words);
    }
}

/* The first word of a slot picks the face; the draw starts at the second group of four. */
US_SHARED_INLINE size_t pick_face(size_t count, uint64_t seed, uint32_t stream, uint64_t step,
                                  uint32_t slot) {
    struct numbers n = numbers_of(seed, stream, step, slot);
    return (size_t)(((uint64_t)next_word(&n) * count) >> 32);
}

US_SHARED_INLINE void draw_affine(const struct us_augment_ranges *r, int size, struct numbers *n,
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

US_SHARED_INLINE void draw_light(const struct us_augment_ranges *r, struct numbers *n,
                                 float light[3]) {
    const double exposure = both_ways(n, r->light);
    for (int i = 0; i < 3; i++) {
        light[i] = (float)(exposure + both_ways(n, r->light / 4));
    }
}

/* Of the warp's grid, also where nothing moves. */
US_SHARED_INLINE int draw_cells(struct numbers *n) {
    return 2 << (next_word(n) % 3);
}

US_SHARED_INLINE void draw_node(const struct us_augment_ranges *r, int size, int cells,
                                struct numbers *n, float move[2]) {
    move[0] = (float)(bell(n) * r->warp * size / cells);
    move[1] = (float)(bell(n) * r->warp * size / cells);
}

US_SHARED_INLINE void draw_warp(const struct us_augment_ranges *r, int size, struct numbers *n,
                                struct us_augment_draw *draw) {
    const int cells = draw_cells(n);
    draw->cells = r->warp > 0 ? cells : 0;
    for (int i = 0; i < US_AUGMENT_NODES * US_AUGMENT_NODES; i++) {
        draw->moves[i / US_AUGMENT_NODES][i % US_AUGMENT_NODES][0] = 0;
        draw->moves[i / US_AUGMENT_NODES][i % US_AUGMENT_NODES][1] = 0;
    }
    for (int y = 1; y < draw->cells; y++) {
        for (int x = 1; x < draw->cells; x++) {
            draw_node(r, size, cells, n, draw->moves[y][x]);
        }
    }
}

/* Hue turns about the grey axis (Rodrigues), saturation moves away from or towards it. */
US_SHARED_INLINE void draw_colour(const struct us_augment_ranges *r, struct numbers *n,
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

US_SHARED_INLINE void draw_slot(const struct us_augment_ranges *ranges, int size, uint64_t seed,
                                uint32_t stream, uint64_t step, uint32_t slot,
                                struct us_augment_draw *draw) {
    struct numbers n = numbers_of(seed, stream, step, slot);
    skip_to(&n, AFFINE_WORD);
    draw_affine(ranges, size, &n, draw->affine);
    draw_light(ranges, &n, draw->light);
    draw_colour(ranges, &n, draw);
    draw_warp(ranges, size, &n, draw);
}

US_SHARED_INLINE void cubic_weights(float t, float w[4]) {
    w[0] = ((-0.5f * t + 1.0f) * t - 0.5f) * t;
    w[1] = (1.5f * t - 2.5f) * t * t + 1.0f;
    w[2] = ((-1.5f * t + 2.0f) * t + 0.5f) * t;
    w[3] = (0.5f * t - 0.5f) * t * t;
}

US_SHARED_INLINE float limited(float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
}

US_SHARED_INLINE int within(int i, int size) {
    return i < 0 ? 0 : i >= size ? size - 1 : i;
}

/* Column x of the warp's nodes interpolated down to the height of row y. */
US_SHARED_INLINE void warp_node(const struct us_augment_draw *draw, int size, int y, int x,
                                float line[2]) {
    const float at = ((float)y + 0.5f) * (float)draw->cells / (float)size;
    const int node = (int)at;
    float w[4];
    cubic_weights(at - (float)node, w);
    line[0] = line[1] = 0;
    for (int j = 0; j < 4 && x <= draw->cells; j++) {
        const int from = within(node - 1 + j, draw->cells + 1);
        line[0] += w[j] * draw->moves[from][x][0];
        line[1] += w[j] * draw->moves[from][x][1];
    }
}

/* One row of the warp: all columns of nodes, x and y. */
US_SHARED_INLINE void warp_row(const struct us_augment_draw *draw, int size, int y,
                               float line[US_AUGMENT_NODES][2]) {
    for (int x = 0; x < US_AUGMENT_NODES; x++) {
        warp_node(draw, size, y, x, line[x]);
    }
}

US_SHARED_INLINE void warp_at(const struct us_augment_draw *draw, int size, int x,
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

#endif
