/* What is around a discriminator on the device, against its definition in doubles. */
#include "kernels/cuda/judge.h"
#include "kernels/nn/adversarial_loss_cuda.h"
#include "kernels/nn/loss_cuda.h"
#include "kernels/nn/memory.h"
#include "tests/kernels/cuda_check.h"

static double read_double(struct mode *m, void *block) {
    double value;
    ASSERT_CUDA(cudaMemcpy(&value, block, sizeof value, cudaMemcpyDeviceToHost));
    add_to_digest(m, &value, sizeof value);
    return value;
}

/* --- cross entropies --- */

static double entropy_at(double x, double t, double *slope) {
    const double p = 1 / (1 + exp(-x));
    *slope = p - t;
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x))) - x * t;
}

static void compare_entropy(struct mode *m, const struct nn_cuda_entropy *e, const float *logits,
                            const double *got_sum, const float *got) {
    double sum = 0.25; /* what it is added to */
    for (size_t i = 0; i < 2 * e->half; i++) {
        const int made = i >= e->half;
        double slope = 0;
        if (e->weight[made] != 0) {
            sum += e->weight[made] * entropy_at((double)logits[i], (double)e->target[made], &slope);
        }
        ASSERT_NEAR((double)got[i], (double)e->scale[made] * slope, 1e-6);
    }
    ASSERT_CLOSE(*got_sum, sum, 1e-6);
    (void)m;
}

static void check_entropy_of(struct mode *m, size_t half, bool both) {
    const struct nn_cuda_entropy e = {.half = half,
                                      .target = {both ? 1 : 0, both ? 0 : 1},
                                      .scale = {both ? 0.5f : 0, 0.75f},
                                      .weight = {both ? 2.0 / (double)half : 0, 1.5}};
    const double start = 0.25;
    float *logits = some(NN_CUDA_F32, 3, 2 * half);
    for (size_t i = 0; i < 2 * half; i++) {
        logits[i] *= i % 5 == 0 ? 90 : 4;
    }
    logits[0] = both ? 0 : NAN; /* which nobody looks at */
    void *at = device_values(NN_CUDA_F32, logits, 2 * half);
    void *sum = device_bytes(&start, sizeof start);
    void *scratch = device_block(nn_cuda_cross_entropy_scratch(half));
    void *gradient = device_output(NN_CUDA_F32, 2 * half);
    ASSERT_CUDA(nn_cuda_cross_entropy(&e, at, gradient, true, sum, scratch, NULL));
    const double added = read_double(m, sum);
    ASSERT_CUDA(nn_cuda_cross_entropy(&e, at, gradient, false, sum, scratch, NULL));
    ASSERT_CLOSE(read_double(m, sum), added - start, 1e-12);
    float *got = taken(m, NN_CUDA_F32, gradient, 2 * half);
    compare_entropy(m, &e, logits, &added, got);
    RELEASE(at, sum, scratch);
    free(logits), free(got);
}

static void check_entropy(struct mode *m) {
    static const size_t halves[] = {1, 7, 511, 513, 3001};
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
        check_entropy_of(m, halves[i], true);
        check_entropy_of(m, halves[i], false);
    }
}

static void test_cross_entropies(void **state) {
    (void)state;
    in_every_mode(check_entropy);
}

static void test_a_logit_that_is_not_finite_shows(void **state) {
    (void)state;
    const struct nn_cuda_entropy e = {
        .half = 2, .target = {1, 0}, .scale = {1, 1}, .weight = {1, 1}};
    const float logits[4] = {1, 2, NAN, 3};
    float gradient[4];
    double sum;
    void *at = device_bytes(logits, sizeof logits), *out = device_block(sizeof gradient);
    void *total = device_block(sizeof sum);
    void *scratch = device_block(nn_cuda_cross_entropy_scratch(e.half));
    ASSERT_CUDA(nn_cuda_cross_entropy(&e, at, out, false, total, scratch, NULL));
    ASSERT_CUDA(cudaMemcpy(gradient, out, sizeof gradient, cudaMemcpyDeviceToHost));
    ASSERT_CUDA(cudaMemcpy(&sum, total, sizeof sum, cudaMemcpyDeviceToHost));
    assert_true(isnan(sum) && isnan(gradient[2]) && isfinite(gradient[1]) && isfinite(gradient[3]));
    RELEASE(at, out, total, scratch);
}

/* --- painting, and what keeps it calm --- */

struct scene {
    int size, count;
    size_t area, values; /* values: of all images */
    float *image, *target, *soft, *judged, *gradient;
    void *on_device[4]; /* the first four */
    struct nn_cuda_painting painting;
};

static struct scene scene_of(int size, int count, bool masked) {
    struct scene s = {.size = size, .count = count, .area = (size_t)(size * size)};
    s.values = 3 * s.area * (size_t)count;
    s.image = some(NN_CUDA_F32, 1, s.values);
    s.target = some(NN_CUDA_F32, 2, s.values);
    s.soft = some(NN_CUDA_F32, 3, s.values / 3);
    s.judged = some(NN_CUDA_F32, 4, s.values);
    s.gradient = some(NN_CUDA_F32, 5, s.values);
    for (size_t i = 0; i < s.values / 3; i++) {
        s.soft[i] = masked ? fabsf(s.soft[i]) : 1;
    }
    s.on_device[0] = device_values(NN_CUDA_F32, s.image, s.values);
    s.on_device[1] = device_values(NN_CUDA_F32, s.target, s.values);
    s.on_device[2] = device_values(NN_CUDA_F32, s.soft, s.values / 3);
    s.on_device[3] = device_values(NN_CUDA_F32, s.judged, s.values);
    s.painting = (struct nn_cuda_painting){.image = s.on_device[0],
                                           .target = s.on_device[1],
                                           .soft = masked ? s.on_device[2] : NULL,
                                           .size = size,
                                           .count = count};
    return s;
}

static void scene_finish(struct scene *s) {
    release_all(s->on_device, 4);
    free(s->image), free(s->target), free(s->soft), free(s->judged), free(s->gradient);
}

static void compare_paint(struct mode *m, const struct scene *s) {
    void *truth = device_output(NN_CUDA_F32, s->values);
    void *made = device_output(NN_CUDA_F32, s->values);
    ASSERT_CUDA(nn_cuda_paint(&s->painting, truth, made, NULL));
    float *true_values = taken(m, NN_CUDA_F32, truth, s->values);
    float *made_values = taken(m, NN_CUDA_F32, made, s->values);
    for (size_t i = 0; i < s->values; i++) {
        const double soft = (double)s->soft[i / (3 * s->area) * s->area + i % s->area];
        ASSERT_NEAR((double)true_values[i], (double)s->target[i] * soft, 1e-7);
        ASSERT_NEAR((double)made_values[i], (double)s->image[i] * soft, 1e-7);
    }
    free(true_values), free(made_values);
}

static const struct nn_cuda_calm usual = {.variation_scale = 0.25f,
                                          .outside_scale = 0.75f,
                                          .variation_weight = 0.01,
                                          .outside_weight = 0.03};

/* The weighted sum over all planes; `gradient` is the whole one, what was there before included. */
static double pull_of(const struct scene *s, double *gradient) {
    const struct nn_cuda_calm *c = &usual;
    double sum = 0;
    for (size_t i = 0; i < s->values; i++) {
        const size_t at = i / (3 * s->area) * s->area + i % s->area;
        const double soft = (double)s->soft[at], outside = 1 - soft;
        const double d = outside * ((double)s->image[i] - (double)s->target[i]);
        sum += c->outside_weight * d * d;
        gradient[i] += (double)s->gradient[i] + (double)s->judged[i] * soft +
                       2 * (double)c->outside_scale * outside * d;
    }
    for (size_t i = 0; i < s->values; i++) {
        const size_t x = i % (size_t)s->size, y = i % s->area / (size_t)s->size;
        const size_t last = (size_t)s->size - 1;
        const size_t next[2] = {x < last ? i + 1 : i, y < last ? i + (size_t)s->size : i};
        for (int k = 0; k < 2; k++) {
            const double d = (double)s->image[next[k]] - (double)s->image[i];
            sum += c->variation_weight * d * d;
            gradient[next[k]] += 2 * (double)c->variation_scale * d;
            gradient[i] -= 2 * (double)c->variation_scale * d;
        }
    }
    return sum;
}

static void compare_pull(struct mode *m, const struct scene *s) {
    double *wanted = calloc(s->values, sizeof *wanted);
    const double wanted_sum = pull_of(s, wanted);
    void *gradient = device_output(NN_CUDA_F32, s->values);
    void *sum = device_block(sizeof(double));
    void *scratch = device_block(nn_cuda_pull_scratch(s->size, s->count));
    ASSERT_CUDA(
        cudaMemcpy(gradient, s->gradient, s->values * sizeof(float), cudaMemcpyHostToDevice));
    ASSERT_CUDA(nn_cuda_pull(&s->painting, &usual, s->on_device[3], gradient, sum, scratch, NULL));
    ASSERT_CLOSE(read_double(m, sum), wanted_sum, 1e-6);
    float *got = taken(m, NN_CUDA_F32, gradient, s->values);
    near_all(got, wanted, s->values, 1e-6);
    RELEASE(sum, scratch);
    free(wanted), free(got);
}

static void check_faces(struct mode *m) {
    static const int sizes[] = {1, 2, 5, 33, 65};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int masked = 0; masked < 2; masked++) {
            struct scene s = scene_of(sizes[i], sizes[i] > 60 ? 1 : 3, masked);
            compare_paint(m, &s);
            compare_pull(m, &s);
            scene_finish(&s);
        }
    }
}

static void test_painting_and_calm(void **state) {
    (void)state;
    in_every_mode(check_faces);
}

static void test_too_many_faces_are_refused(void **state) {
    (void)state;
    const struct nn_cuda_painting many = {.size = 4, .count = 30000};
    assert_int_equal(nn_cuda_pull(&many, &usual, NULL, NULL, NULL, NULL, NULL),
                     cudaErrorInvalidValue);
}

/* --- soft mattes --- */

static double blurred(const double *in, int size, int x, int y, bool rows) {
    const double sigma = size > 32 ? size / 32.0 : 1;
    const int radius = (int)ceil(3 * sigma);
    double sum = 0, taps = 0;
    for (int k = -radius; k <= radius; k++) {
        const int middle = rows ? x : y;
        const int at = middle + k < 0 ? 0 : middle + k >= size ? size - 1 : middle + k;
        const double tap = exp(-(double)(k * k) / (2 * sigma * sigma));
        sum += tap * in[rows ? y * size + at : at * size + x];
        taps += tap;
    }
    return sum / taps;
}

static void check_soft_of(struct mode *m, int size, int count) {
    const size_t area = (size_t)(size * size), values = area * (size_t)count;
    float *masks = some(NN_CUDA_F32, 6, values);
    for (size_t i = 0; i < values; i++) {
        masks[i] = 0.3f + 0.6f * masks[i] + (i % area > area / 2 ? 0.4f : -0.1f);
    }
    void *at = device_values(NN_CUDA_F32, masks, values);
    void *half = device_output(NN_CUDA_F32, values), *soft = device_output(NN_CUDA_F32, values);
    ASSERT_CUDA(nn_cuda_soft_mask(at, size, count, half, soft, NULL));
    float *got = taken(m, NN_CUDA_F32, soft, values);
    double *whole = as_doubles(masks, values), *row = malloc(area * sizeof *row);
    for (int n = 0; n < count; n++) {
        const double *in = whole + (size_t)n * area;
        for (int i = 0; i < size * size; i++) {
            row[i] = blurred(in, size, i % size, i / size, true);
        }
        for (int i = 0; i < size * size; i++) {
            const double v = blurred(row, size, i % size, i / size, false);
            const double wanted = v > 0.5 ? 1 : v < 0 ? 0 : 2 * v;
            ASSERT_NEAR((double)got[(size_t)n * area + (size_t)i], wanted, 1e-5);
        }
    }
    RELEASE(at, half);
    free(masks), free(got), free(whole), free(row);
}

static void check_soft(struct mode *m) {
    check_soft_of(m, 1, 1);
    check_soft_of(m, 5, 3);
    check_soft_of(m, 33, 2);
    check_soft_of(m, 65, 1);
}

static void test_soft_mattes(void **state) {
    (void)state;
    in_every_mode(check_soft);
}

/* --- what a step makes of them --- */

static void test_terms_take_the_judgement(void **state) {
    (void)state;
    const struct nn_cuda_judgement judgement = {.made_as_true = 0.5, .own = 0.7, .calm = 0.125};
    struct us_nn_loss_terms terms = {.square = 2, .adversarial = NAN, .total = 3, .judge = NAN};
    void *from = device_bytes(&judgement, sizeof judgement);
    void *to = device_bytes(&terms, sizeof terms);
    ASSERT_CUDA(nn_cuda_adversarial_terms(from, to, NULL));
    ASSERT_CUDA(cudaMemcpy(&terms, to, sizeof terms, cudaMemcpyDeviceToHost));
    assert_true(terms.adversarial == 0.625 && terms.judge == 0.7 && terms.total == 3.625);
    assert_true(terms.square == 2);
    RELEASE(from, to);
}

static void test_sums_are_finite_together(void **state) {
    (void)state;
    for (int bad = -1; bad < 3; bad++) {
        double sums[3] = {1.5, 2.5, 0};
        if (bad >= 0) {
            sums[bad] = bad == 1 ? HUGE_VAL : (double)NAN;
        }
        double *at = device_bytes(sums, sizeof sums);
        ASSERT_CUDA(cu_judge_together(at, at + 1, 2, NULL));
        ASSERT_CUDA(cudaMemcpy(sums, at, sizeof sums, cudaMemcpyDeviceToHost));
        for (int i = 0; i < 3; i++) {
            assert_true(isfinite(sums[i]) == (bad < 0));
        }
        assert_true(bad >= 0 || (sums[0] == 1.5 && sums[1] == 2.5 && sums[2] == 0));
        RELEASE(at);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cross_entropies),
        cmocka_unit_test(test_a_logit_that_is_not_finite_shows),
        cmocka_unit_test(test_painting_and_calm),
        cmocka_unit_test(test_too_many_faces_are_refused),
        cmocka_unit_test(test_soft_mattes),
        cmocka_unit_test(test_terms_take_the_judgement),
        cmocka_unit_test(test_sums_are_finite_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
