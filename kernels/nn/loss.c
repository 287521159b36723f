#include <math.h>
#include <omp.h>

#include "kernels/nn/loss_internal.h"
#include "kernels/nn/memory.h"

#define TERMS 4

struct us_nn_loss_weights us_nn_loss_usual(void) {
    return (struct us_nn_loss_weights){.dssim = 10, .square = 10, .mask = 10, .masked = true};
}

static size_t scratch_floats(int size) {
    return 12 * (size_t)size * (size_t)size;
}

static size_t mask_floats(int size, int count) {
    return (size_t)count * (size_t)size * (size_t)size;
}

size_t nn_loss_memory(int size, int count, int threads) {
    return (scratch_floats(size) * (size_t)threads + mask_floats(size, count)) * sizeof(float) +
           (size_t)count * 3 * TERMS * sizeof(double);
}

enum us_nn_status nn_loss_init(struct nn_loss *loss, const struct us_nn_loss_weights *weights,
                               int size, int count, int threads) {
    *loss = (struct nn_loss){.weights = *weights, .size = size, .count = count, .threads = threads};
    loss->whole = count;
    loss->windows = size >= 256 ? 2 : 1;
    nn_dssim_init(&loss->dssim[0], size, size < 32 ? 3 : (int)(size / 11.6));
    nn_dssim_init(&loss->dssim[1], size, (int)(size / 23.2));
    loss->dssim[0].range = loss->dssim[1].range = weights->range > 0 ? weights->range : 1;
    loss->scratch_stride = scratch_floats(size);
    loss->scratch = us_nn_alloc(loss->scratch_stride * (size_t)threads * sizeof(float));
    loss->soft_masks = us_nn_alloc(mask_floats(size, count) * sizeof(float));
    loss->sums = us_nn_alloc((size_t)count * 3 * TERMS * sizeof(double));
    return loss->scratch && loss->soft_masks && loss->sums ? US_NN_OK : US_NN_NO_MEMORY;
}

void nn_loss_finish(struct nn_loss *loss) {
    us_nn_free(loss->scratch);
    us_nn_free(loss->soft_masks);
    us_nn_free(loss->sums);
    *loss = (struct nn_loss){0};
}

/* One direction: out is the transpose of in filtered along its rows. */
static void blur_transposed(const float *in, int size, const float *taps, int radius, float *out) {
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            float sum = 0;
            for (int k = -radius; k <= radius; k++) {
                const int at = x + k < 0 ? 0 : x + k >= size ? size - 1 : x + k;
                sum += taps[k + radius] * in[y * size + at];
            }
            out[x * size + y] = sum;
        }
    }
}

void nn_soft_mask(const float *mask, int size, float *out, float *scratch) {
    const float sigma = size > 32 ? (float)size / 32 : 1;
    const int radius = (int)ceilf(3 * sigma);
    float taps[2 * 96 + 1] = {0}, sum = 0; /* up to 1024 px */
    for (int k = -radius; k <= radius; k++) {
        taps[k + radius] = expf(-(float)(k * k) / (2 * sigma * sigma));
        sum += taps[k + radius];
    }
    for (int k = 0; k <= 2 * radius; k++) {
        taps[k] /= sum;
    }
    blur_transposed(mask, size, taps, radius, scratch);
    blur_transposed(scratch, size, taps, radius, out);
    for (int i = 0; i < size * size; i++) {
        out[i] = out[i] > 0.5f ? 1 : out[i] < 0 ? 0 : 2 * out[i];
    }
}

/* Squared errors and weighted absolute errors of a plane, and their gradient written (not added).
 */
static void pixel_errors(const struct nn_loss *l, const float *x, const float *y,
                         const float *priority, float *gradient, double *sums) {
    const int area = l->size * l->size;
    const float each = 1 / ((float)area * 3 * (float)l->whole);
    const float square = 2 * l->weights.square * each;
    for (int row = 0; row < l->size; row++) {
        float squares = 0, absolutes = 0;
        for (int i = row * l->size; i < (row + 1) * l->size; i++) {
            const float d = x[i] - y[i];
            const float weight =
                l->weights.absolute + (priority ? l->weights.priority * priority[i] : 0);
            squares += d * d;
            absolutes += weight * fabsf(d);
            if (gradient) {
                const float absolute = weight * each;
                gradient[i] = square * d + (d > 0 ? absolute : d < 0 ? -absolute : 0);
            }
        }
        sums[1] += (double)squares;
        sums[2] += (double)absolutes;
    }
}

static void image_plane(struct nn_loss *l, const struct nn_loss_images *im, int plane,
                        float *scratch) {
    const size_t area = (size_t)l->size * (size_t)l->size, at = (size_t)plane * area;
    const float *x = im->image + at, *y = im->target + at;
    const float *soft = l->soft_masks + (size_t)(plane / 3) * area;
    float *gradient = im->image_gradient ? im->image_gradient + at : NULL;
    float *work = scratch + 2 * area;
    if (l->weights.masked) {
        for (size_t i = 0; i < area; i++) {
            scratch[i] = x[i] * soft[i];
            scratch[area + i] = y[i] * soft[i];
        }
        x = scratch;
        y = scratch + area;
    }
    double *sums = l->sums + plane * TERMS;
    sums[0] = sums[1] = sums[2] = 0;
    const float *priority = im->priority ? im->priority + (size_t)(plane / 3) * area : NULL;
    pixel_errors(l, x, y, priority, gradient, sums);
    const float weight = l->weights.dssim / (float)l->windows / (float)(3 * l->whole);
    for (int w = 0; w < l->windows && l->weights.dssim > 0; w++) {
        sums[0] += nn_dssim_plane(&l->dssim[w], x, y, weight, gradient, work);
    }
    for (size_t i = 0; gradient && l->weights.masked && i < area; i++) {
        gradient[i] *= soft[i];
    }
}

static void mask_plane(struct nn_loss *l, const struct nn_loss_images *im, int plane) {
    const size_t area = (size_t)l->size * (size_t)l->size, at = (size_t)plane * area;
    const float *x = im->mask + at, *y = im->target_mask + at;
    const float scale = 2 * l->weights.mask / ((float)area * (float)l->whole);
    double sum = 0;
    for (size_t i = 0; i < area; i++) {
        const float d = x[i] - y[i];
        sum += (double)(d * d);
        if (im->mask_gradient) {
            im->mask_gradient[at + i] = scale * d;
        }
    }
    l->sums[plane * TERMS + 3] = sum;
}

static struct us_nn_loss_terms add_up(const struct nn_loss *l) {
    double sums[TERMS] = {0};
    for (int plane = 0; plane < 3 * l->count; plane++) {
        for (int t = 0; t < TERMS - 1; t++) {
            sums[t] += l->sums[plane * TERMS + t];
        }
        sums[3] += plane < l->count ? l->sums[plane * TERMS + 3] : 0;
    }
    const double planes = 3.0 * l->whole, area = (double)l->size * l->size;
    struct us_nn_loss_terms terms = {
        .dssim = (double)l->weights.dssim * sums[0] / planes / l->windows,
        .square = (double)l->weights.square * sums[1] / (planes * area),
        .absolute = sums[2] / (planes * area),
        .mask = (double)l->weights.mask * sums[3] / (l->whole * area),
    };
    terms.total = terms.dssim + terms.square + terms.absolute + terms.mask;
    return terms;
}

struct us_nn_loss_terms nn_loss_run(struct nn_loss *l, const struct nn_loss_images *images) {
    const size_t area = (size_t)l->size * (size_t)l->size;
#pragma omp parallel num_threads(l->threads)
    {
        float *scratch = l->scratch + (size_t)omp_get_thread_num() * l->scratch_stride;
#pragma omp for schedule(static)
        for (int i = 0; i < l->count; i++) {
            if (l->weights.masked) {
                nn_soft_mask(images->target_mask + (size_t)i * area, l->size,
                             l->soft_masks + (size_t)i * area, scratch);
            }
            mask_plane(l, images, i);
        }
#pragma omp for schedule(static)
        for (int plane = 0; plane < 3 * l->count; plane++) {
            image_plane(l, images, plane, scratch);
        }
    }
    return add_up(l);
}
