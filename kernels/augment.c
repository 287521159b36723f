#include <omp.h>
#include <string.h>

#include "kernels/augment_internal.h"
#include "kernels/half.h"

enum { PADDING = 3 };

typedef float lanes __attribute__((vector_size(16), aligned(4)));

size_t us_augment_pick(size_t count, uint64_t seed, uint32_t stream, uint64_t step, uint32_t slot) {
    return pick_face(count, seed, stream, step, slot);
}

void us_augment_draw(const struct us_augment_ranges *ranges, int size, uint64_t seed,
                     uint32_t stream, uint64_t step, uint32_t slot, struct us_augment_draw *draw) {
    draw_slot(ranges, size, seed, stream, step, slot, draw);
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
