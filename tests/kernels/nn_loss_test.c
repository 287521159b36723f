#include <math.h>
#include <string.h>

#include "kernels/nn/loss_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "tests/support/check.h"

enum { FACES = 2 };

struct scene {
    int size;
    float *image, *mask, *target, *target_mask, *image_gradient, *mask_gradient;
};

static float *smooth_noise(int size, int planes, uint32_t stream) {
    float *values = us_nn_alloc((size_t)(planes * size * size) * sizeof *values);
    for (int i = 0; i < planes * size * size; i++) {
        uint32_t words[4];
        us_philox(3, stream, 0, (uint64_t)i, words);
        const float wave = sinf((float)(i % size) * 0.4f + (float)(i / size) * 0.23f);
        values[i] = 0.5f + 0.25f * wave + 0.2f * (us_philox_unit(words[0]) - 0.5f);
    }
    return values;
}

static void scene_init(struct scene *s, int size) {
    const size_t area = (size_t)(size * size);
    s->size = size;
    s->image = smooth_noise(size, 3 * FACES, 1);
    s->target = smooth_noise(size, 3 * FACES, 2);
    s->mask = smooth_noise(size, FACES, 3);
    s->target_mask = smooth_noise(size, FACES, 4);
    s->image_gradient = us_nn_alloc(area * 3 * FACES * sizeof(float));
    s->mask_gradient = us_nn_alloc(area * FACES * sizeof(float));
    memset(s->image_gradient, 0xFF, area * 3 * FACES * sizeof(float));
    memset(s->mask_gradient, 0xFF, area * FACES * sizeof(float));
}

static void scene_finish(struct scene *s) {
    float *blocks[] = {s->image,       s->mask,           s->target,
                       s->target_mask, s->image_gradient, s->mask_gradient};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        us_nn_free(blocks[i]);
    }
}

static struct us_nn_loss_terms run(const struct scene *s, const struct us_nn_loss_weights *weights,
                                   int threads, bool gradients) {
    struct nn_loss loss;
    assert_int_equal(nn_loss_init(&loss, weights, s->size, FACES, threads), US_NN_OK);
    const struct nn_loss_images images = {
        .image = s->image,
        .mask = s->mask,
        .target = s->target,
        .target_mask = s->target_mask,
        .priority = weights->priority > 0 ? s->target_mask : NULL,
        .image_gradient = gradients ? s->image_gradient : NULL,
        .mask_gradient = gradients ? s->mask_gradient : NULL,
    };
    const struct us_nn_loss_terms terms = nn_loss_run(&loss, &images);
    nn_loss_finish(&loss);
    return terms;
}

/* Window means by the definition, in doubles. */
static double window_mean(const float *a, const float *b, int size, int y, int x, int window) {
    double sum = 0, weights = 0;
    for (int j = 0; j < window; j++) {
        for (int i = 0; i < window; i++) {
            const double dy = j - (window - 1) / 2.0, dx = i - (window - 1) / 2.0;
            const double weight = exp(-(dy * dy + dx * dx) / (2 * 1.5 * 1.5));
            const int at = (y + j) * size + x + i;
            sum += weight * (double)a[at] * (b ? (double)b[at] : 1.0);
            weights += weight;
        }
    }
    return sum / weights;
}

static double naive_dssim(const float *x, const float *y, int size, int window) {
    double sum = 0;
    const int inner = size - window + 1;
    for (int i = 0; i < inner * inner; i++) {
        const int row = i / inner, column = i % inner;
        const double mx = window_mean(x, NULL, size, row, column, window);
        const double my = window_mean(y, NULL, size, row, column, window);
        const double xx = window_mean(x, x, size, row, column, window) - mx * mx;
        const double yy = window_mean(y, y, size, row, column, window) - my * my;
        const double xy = window_mean(x, y, size, row, column, window) - mx * my;
        sum +=
            (2 * mx * my + 1e-4) / (mx * mx + my * my + 1e-4) * (2 * xy + 9e-4) / (xx + yy + 9e-4);
    }
    return (1 - sum / (inner * inner)) / 2;
}

static void test_dssim_is_its_definition(void **state) {
    (void)state;
    const int cases[][2] = {{32, 2}, {37, 5}, {20, 11}, {64, 22}, {9, 9}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int size = cases[i][0], window = cases[i][1];
        struct nn_dssim dssim;
        nn_dssim_init(&dssim, size, window);
        float *x = smooth_noise(size, 1, 5), *y = smooth_noise(size, 1, 6);
        float *scratch = us_nn_alloc(nn_dssim_scratch(&dssim) * sizeof(float));
        memset(scratch, 0xFF, nn_dssim_scratch(&dssim) * sizeof(float));
        ASSERT_NEAR(nn_dssim_plane(&dssim, x, y, 1, NULL, scratch), naive_dssim(x, y, size, window),
                    1e-4);
        ASSERT_NEAR(nn_dssim_plane(&dssim, x, x, 1, NULL, scratch), 0.0, 1e-6);
        us_nn_free(x);
        us_nn_free(y);
        us_nn_free(scratch);
    }
}

static double slope(struct scene *s, const struct us_nn_loss_weights *weights, int i, float step) {
    const float kept = s->image[i];
    s->image[i] = kept + step;
    const double above = run(s, weights, 1, false).total;
    s->image[i] = kept - step;
    const double below = run(s, weights, 1, false).total;
    s->image[i] = kept;
    return (above - below) / (2 * (double)step);
}

static void check_gradients(int size, const struct us_nn_loss_weights *weights) {
    struct scene s;
    scene_init(&s, size);
    run(&s, weights, 2, true);
    const int count = 3 * FACES * size * size;
    for (int k = 0; k < 40; k++) {
        const int i = (int)((long)k * 7919 * 13 % count);
        const double wide = slope(&s, weights, i, 0.01f), narrow = slope(&s, weights, i, 0.005f);
        const double scale = 10.0 / (3.0 * FACES * size * size);
        ASSERT_NEAR((double)s.image_gradient[i] / scale, (4 * narrow - wide) / 3 / scale, 0.03);
    }
    for (int i = 0; i < count; i++) {
        assert_true(isfinite(s.image_gradient[i]));
    }
    for (int i = 0; i < FACES * size * size; i++) {
        const double d = (double)(s.mask[i] - s.target_mask[i]);
        ASSERT_NEAR((double)s.mask_gradient[i],
                    2 * (double)weights->mask * d / (FACES * size * size), 1e-7);
    }
    scene_finish(&s);
}

static void test_gradients_of_all_terms(void **state) {
    (void)state;
    struct us_nn_loss_weights weights = us_nn_loss_usual();
    check_gradients(32, &weights);
    check_gradients(64, &weights);
    weights.masked = false;
    check_gradients(48, &weights);
    weights = (struct us_nn_loss_weights){.square = 10, .mask = 1};
    check_gradients(33, &weights);
}

static void test_absolute_error(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 32);
    const struct us_nn_loss_weights weights = {.absolute = 6};
    const struct us_nn_loss_terms terms = run(&s, &weights, 1, true);
    double sum = 0;
    const int count = 3 * FACES * 32 * 32;
    for (int i = 0; i < count; i++) {
        sum += fabs((double)(s.image[i] - s.target[i]));
        ASSERT_NEAR((double)s.image_gradient[i], (s.image[i] > s.target[i] ? 6.0 : -6.0) / count,
                    1e-9);
    }
    ASSERT_NEAR(terms.absolute, 6 * sum / count, 1e-5);
    ASSERT_NEAR(terms.total, terms.absolute, 1e-12);
    scene_finish(&s);
}

/* The scene's masks stand in for priorities. */
static void test_priority(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 32);
    const struct us_nn_loss_weights weights = {.absolute = 2, .priority = 5};
    const struct us_nn_loss_terms terms = run(&s, &weights, 2, true);
    double sum = 0;
    const int area = 32 * 32, count = 3 * FACES * area;
    for (int i = 0; i < count; i++) {
        const double weight = 2 + 5 * (double)s.target_mask[i / (3 * area) * area + i % area];
        sum += weight * fabs((double)(s.image[i] - s.target[i]));
        ASSERT_NEAR((double)s.image_gradient[i],
                    (s.image[i] > s.target[i] ? weight : -weight) / count, 1e-8);
    }
    ASSERT_NEAR(terms.absolute, sum / count, 1e-5);
    scene_finish(&s);
}

/* From 256 pixels on two windows count half each. */
static void test_two_windows(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 256);
    const struct us_nn_loss_weights weights = {.dssim = 10};
    const double total = run(&s, &weights, 2, true).dssim;
    double wanted = 0;
    for (int plane = 0; plane < 3 * FACES; plane++) {
        for (int w = 0; w < 2; w++) {
            struct nn_dssim dssim;
            nn_dssim_init(&dssim, 256, w ? 11 : 22);
            float *scratch = us_nn_alloc(nn_dssim_scratch(&dssim) * sizeof(float));
            wanted += 5.0 / (3 * FACES) *
                      nn_dssim_plane(&dssim, s.image + plane * 65536, s.target + plane * 65536, 1,
                                     NULL, scratch);
            us_nn_free(scratch);
        }
    }
    ASSERT_NEAR(total, wanted, 1e-6);
    scene_finish(&s);
}

static void test_threads_do_not_change_bits(void **state) {
    (void)state;
    struct scene a, b;
    scene_init(&a, 64);
    scene_init(&b, 64);
    const struct us_nn_loss_weights weights = us_nn_loss_usual();
    const struct us_nn_loss_terms one = run(&a, &weights, 1, true);
    const struct us_nn_loss_terms three = run(&b, &weights, 3, true);
    assert_memory_equal(&one, &three, sizeof one);
    assert_memory_equal(a.image_gradient, b.image_gradient, 3 * FACES * 64 * 64 * sizeof(float));
    scene_finish(&a);
    scene_finish(&b);
}

static void test_masked_training_ignores_outside(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 64);
    for (int i = 0; i < FACES * 64 * 64; i++) {
        s.target_mask[i] = i % 64 < 32 ? 1.0f : 0.0f;
    }
    const struct us_nn_loss_weights weights = us_nn_loss_usual();
    const double before = run(&s, &weights, 1, true).square;
    for (int i = 0; i < 3 * FACES * 64 * 64; i++) {
        assert_true(i % 64 < 48 || s.image_gradient[i] == 0);
        s.image[i] += i % 64 >= 48 ? 5.0f : 0.0f;
    }
    assert_true(run(&s, &weights, 1, false).square == before);
    scene_finish(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dssim_is_its_definition),
        cmocka_unit_test(test_gradients_of_all_terms),
        cmocka_unit_test(test_absolute_error),
        cmocka_unit_test(test_priority),
        cmocka_unit_test(test_two_windows),
        cmocka_unit_test(test_threads_do_not_change_bits),
        cmocka_unit_test(test_masked_training_ignores_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
