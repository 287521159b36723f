#include "kernels/nn/loss_cuda.h"
#include "kernels/nn/loss_internal.h"
#include "kernels/nn/memory.h"
#include "tests/kernels/cuda_check.h"

/* Planes of one identity: image and target have three planes a face, the others one. */
struct scene {
    int size, count;
    size_t area;
    float *image, *target, *mask, *target_mask, *priority;
};

static float *waves(uint32_t stream, int size, int planes) {
    const size_t count = (size_t)(planes * size * size);
    float *values = some(NN_CUDA_F32, stream, count);
    for (size_t i = 0; i < count; i++) {
        const float x = (float)(i % (size_t)size), y = (float)(i / (size_t)size);
        values[i] = 0.5f + 0.25f * sinf(0.4f * x + 0.23f * y) + 0.1f * values[i];
    }
    return values;
}

static struct scene scene_of(int size, int count) {
    return (struct scene){.size = size,
                          .count = count,
                          .area = (size_t)(size * size),
                          .image = waves(1, size, 3 * count),
                          .target = waves(2, size, 3 * count),
                          .mask = waves(3, size, count),
                          .target_mask = waves(4, size, count),
                          .priority = waves(5, size, count)};
}

static void scene_finish(struct scene *s) {
    free(s->image), free(s->target), free(s->mask), free(s->target_mask), free(s->priority);
}

struct answer {
    struct us_nn_loss_terms terms;
    float *image, *mask; /* gradients, or NULL */
};

static void answer_finish(struct answer *a) {
    free(a->image), free(a->mask);
}

static struct answer on_device(struct mode *m, const struct scene *s,
                               const struct us_nn_loss_weights *weights, float scale,
                               bool gradients) {
    const size_t masks = s->area * (size_t)s->count, planes = 3 * masks;
    float *host[] = {s->image, s->target, s->mask, s->target_mask, s->priority};
    void *blocks[5];
    for (int i = 0; i < 5; i++) {
        blocks[i] = device_values(NN_CUDA_F32, host[i], i < 2 ? planes : masks);
    }
    const struct nn_cuda_loss_images images = {
        .image = blocks[0],
        .mask = blocks[2],
        .target = blocks[1],
        .target_mask = blocks[3],
        .priority = weights->priority > 0 ? blocks[4] : NULL,
        .image_gradient = gradients ? device_output(NN_CUDA_F32, planes) : NULL,
        .mask_gradient = gradients ? device_output(NN_CUDA_F32, masks) : NULL,
    };
    struct answer a = {0};
    void *terms = device_block(sizeof a.terms);
    void *scratch = device_block(nn_cuda_loss_scratch(s->size, s->count));
    ASSERT_CUDA(nn_cuda_loss(weights, s->size, s->count, scale, &images, terms, scratch, NULL));
    ASSERT_CUDA(cudaMemcpy(&a.terms, terms, sizeof a.terms, cudaMemcpyDeviceToHost));
    add_to_digest(m, &a.terms, sizeof a.terms);
    if (gradients) {
        a.image = taken(m, NN_CUDA_F32, images.image_gradient, planes);
        a.mask = taken(m, NN_CUDA_F32, images.mask_gradient, masks);
    }
    release_all(blocks, 5);
    RELEASE(terms, scratch);
    return a;
}

/* In doubles, from the definitions in loss.h. */

static void soft_mask(const struct scene *s, int face, double *out) {
    const double sigma = s->size > 32 ? s->size / 32.0 : 1;
    const int radius = (int)ceil(3 * sigma);
    for (int i = 0; i < s->size * s->size; i++) {
        double sum = 0, weights = 0;
        for (int dy = -radius; dy <= radius; dy++) {
            for (int dx = -radius; dx <= radius; dx++) {
                const int y = (int)fmin(fmax(i / s->size + dy, 0), s->size - 1);
                const int x = (int)fmin(fmax(i % s->size + dx, 0), s->size - 1);
                const double weight = exp(-(dx * dx + dy * dy) / (2 * sigma * sigma));
                sum += weight *
                       (double)s->target_mask[(size_t)face * s->area + (size_t)(y * s->size + x)];
                weights += weight;
            }
        }
        out[i] = 2 * fmin(0.5, fmax(sum / weights, 0));
    }
}

/* The mean of SSIM over all places of the window in x and y [size][size]. */
static double mean_ssim(const double *x, const double *y, int size, int window) {
    const int inner = size - window + 1;
    double taps[64], total = 0, sum = 0;
    for (int k = 0; k < window; k++) {
        taps[k] = exp(-pow(k - (window - 1) / 2.0, 2) / 4.5);
        sum += taps[k];
    }
    for (int i = 0; i < inner * inner; i++) {
        double m[5] = {0}; /* of x, y, xx, yy, xy */
        for (int k = 0; k < window * window; k++) {
            const int at = (i / inner + k / window) * size + i % inner + k % window;
            const double w = taps[k / window] * taps[k % window] / (sum * sum);
            m[0] += w * x[at], m[1] += w * y[at];
            m[2] += w * x[at] * x[at], m[3] += w * y[at] * y[at], m[4] += w * x[at] * y[at];
        }
        const double xx = m[2] - m[0] * m[0], yy = m[3] - m[1] * m[1], xy = m[4] - m[0] * m[1];
        total += (2 * m[0] * m[1] + 1e-4) * (2 * xy + 9e-4) /
                 ((m[0] * m[0] + m[1] * m[1] + 1e-4) * (xx + yy + 9e-4));
    }
    return total / (inner * inner);
}

struct problem {
    const struct scene *scene;
    struct us_nn_loss_weights weights;
    const double *soft; /* [count][area], or NULL */
    int plane;          /* whose part is computed, or -1: all */
};

/* The part of one plane of the image in the total, x being the plane. */
static double plane_part(const struct problem *p, const double *x, int plane) {
    const struct scene *s = p->scene;
    const struct us_nn_loss_weights *w = &p->weights;
    const double each = 1 / (3.0 * s->count * (double)s->area);
    double *a = malloc(s->area * sizeof *a), *b = malloc(s->area * sizeof *b), sum = 0;
    for (size_t i = 0; i < s->area; i++) {
        const size_t mask = (size_t)(plane / 3) * s->area + i;
        const double soft = p->soft ? p->soft[mask] : 1;
        a[i] = x[i] * soft;
        b[i] = (double)s->target[(size_t)plane * s->area + i] * soft;
        sum += each * (double)w->square * (a[i] - b[i]) * (a[i] - b[i]);
        sum += each * fabs(a[i] - b[i]) *
               ((double)w->absolute + (double)w->priority * (double)s->priority[mask]);
    }
    const int windows = s->size >= 256 ? 2 : 1;
    for (int k = 0; k < windows && w->dssim > 0; k++) {
        const int window = s->size < 32 ? 3 : (int)(s->size / (k ? 23.2 : 11.6));
        sum += (double)w->dssim / windows / (3.0 * s->count) *
               (1 - mean_ssim(a, b, s->size, window)) / 2;
    }
    free(a), free(b);
    return sum;
}

/* Its derivative by pixel i. */
static double slope_of(const struct problem *p, double *x, size_t i) {
    const double kept = x[i], step = 1e-5;
    x[i] = kept + step;
    const double above = plane_part(p, x, p->plane);
    x[i] = kept - step;
    const double below = plane_part(p, x, p->plane);
    x[i] = kept;
    return (above - below) / (2 * step);
}

static double total_reference(const struct problem *p) {
    const struct scene *s = p->scene;
    double sum = 0;
    for (int plane = 0; plane < 3 * s->count; plane++) {
        double *x = as_doubles(s->image + (size_t)plane * s->area, s->area);
        sum += plane_part(p, x, plane);
        free(x);
    }
    for (size_t i = 0; i < s->area * (size_t)s->count; i++) {
        sum += (double)p->weights.mask * pow((double)(s->mask[i] - s->target_mask[i]), 2) /
               ((double)s->area * s->count);
    }
    return sum;
}

static void check_against_reference(struct mode *m, int size, int count, float scale,
                                    const struct us_nn_loss_weights *weights) {
    struct scene s = scene_of(size, count);
    double *soft = malloc(s.area * (size_t)count * sizeof *soft);
    for (int i = 0; i < count; i++) {
        soft_mask(&s, i, soft + (size_t)i * s.area);
    }
    struct problem p = {&s, *weights, weights->masked ? soft : NULL, 0};
    struct answer a = on_device(m, &s, weights, scale, true);
    ASSERT_NEAR(a.terms.total, total_reference(&p), 2e-5);
    for (p.plane = 0; p.plane < 3 * count; p.plane += 2) {
        const size_t base = (size_t)p.plane * s.area;
        double *x = as_doubles(s.image + base, s.area);
        const double unit = (double)scale * 10 / (3.0 * count * (double)s.area);
        for (size_t i = (size_t)p.plane; i < s.area; i += 13) {
            ASSERT_NEAR((double)a.image[base + i] / unit, (double)scale * slope_of(&p, x, i) / unit,
                        1e-3);
        }
        free(x);
    }
    for (size_t i = 0; i < s.area * (size_t)count; i++) {
        const double slope = 2 * (double)(weights->mask * scale) / ((double)s.area * count);
        ASSERT_NEAR((double)a.mask[i], slope * (double)(s.mask[i] - s.target_mask[i]), 1e-7);
    }
    answer_finish(&a);
    free(soft);
    scene_finish(&s);
}

static void check_small(struct mode *m) {
    if (m->type != NN_CUDA_F32) {
        return; /* losses are always in float */
    }
    const struct us_nn_loss_weights usual = us_nn_loss_usual();
    check_against_reference(m, 25, 1, 1, &usual);
    const struct us_nn_loss_weights pixels = {
        .square = 10, .absolute = 2, .priority = 3, .mask = 1};
    check_against_reference(m, 35, 2, 0.5f, &pixels);
    const struct us_nn_loss_weights bare = {.dssim = 10, .absolute = 1};
    check_against_reference(m, 37, 1, 1, &bare);
}

static void test_against_the_definition(void **state) {
    (void)state;
    in_every_mode(check_small);
}

/* Wide and two windows, several tiles, against the CPU's, which has tests of its own. */
static void check_large_of(struct mode *m, int size, int count) {
    struct scene s = scene_of(size, count);
    struct us_nn_loss_weights weights = us_nn_loss_usual();
    weights.priority = 3;
    struct nn_loss loss;
    assert_int_equal(nn_loss_init(&loss, &weights, size, count, 1), US_NN_OK);
    float *gradient = malloc(3 * (size_t)count * s.area * sizeof *gradient);
    float *mask_gradient = malloc((size_t)count * s.area * sizeof *mask_gradient);
    const struct nn_loss_images images = {s.image,    s.mask,   s.target,     s.target_mask,
                                          s.priority, gradient, mask_gradient};
    const struct us_nn_loss_terms wanted = nn_loss_run(&loss, &images);
    struct answer a = on_device(m, &s, &weights, 1, true);
    ASSERT_NEAR(a.terms.dssim, wanted.dssim, 1e-5);
    ASSERT_NEAR(a.terms.square, wanted.square, 1e-5);
    ASSERT_NEAR(a.terms.absolute, wanted.absolute, 1e-5);
    ASSERT_NEAR(a.terms.mask, wanted.mask, 1e-5);
    const double unit = 10 / (3.0 * count * (double)s.area);
    for (size_t i = 0; i < 3 * (size_t)count * s.area; i++) {
        ASSERT_NEAR((double)a.image[i] / unit, (double)gradient[i] / unit, 1e-3);
    }
    if (size < 256) {
        assert_true(on_device(m, &s, &weights, 1, false).terms.total == a.terms.total);
    }
    nn_loss_finish(&loss);
    answer_finish(&a);
    free(gradient), free(mask_gradient);
    scene_finish(&s);
}

static void check_large(struct mode *m) {
    if (m->type == NN_CUDA_F32) {
        check_large_of(m, 131, 1);
        check_large_of(m, 256, 1); /* a tile as wide as the plane */
        check_large_of(m, 258, 1); /* rows that lie at no multiple of 16 bytes */
        check_large_of(m, 272, 1); /* odd and wider than what weighs: sanitizers count its taps */
    }
}

static void test_against_the_cpu(void **state) {
    (void)state;
    in_every_mode(check_large);
}

static void test_sizes_out_of_range_are_refused(void **state) {
    (void)state;
    const struct us_nn_loss_weights weights = us_nn_loss_usual();
    const struct nn_cuda_loss_images none = {0};
    assert_int_equal(nn_cuda_loss(&weights, 3, 1, 1, &none, NULL, NULL, NULL),
                     cudaErrorInvalidValue);
    assert_int_equal(nn_cuda_loss(&weights, 64, 0, 1, &none, NULL, NULL, NULL),
                     cudaErrorInvalidValue);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_definition),
        cmocka_unit_test(test_against_the_cpu),
        cmocka_unit_test(test_sizes_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
