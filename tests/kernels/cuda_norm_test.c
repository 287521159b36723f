#include "kernels/nn/head_cuda.h"
#include "kernels/nn/norm_cuda.h"
#include "kernels/nn/shape_ops_cuda.h"
#include "tests/kernels/cuda_check.h"

/* Samples of pixels with 8 k channels, some of them padding that holds 0. */
struct samples {
    int n, pixels, padded, real;
    float *scales;
    void *scratch;
};

static void norm_reference(const void *context, const double *x, double *y) {
    const struct samples *s = context;
    const int count = s->pixels * s->padded;
    for (int n = 0; n < s->n; n++) {
        double sum = 0;
        for (int i = 0; i < count; i++) {
            sum += x[n * count + i] * x[n * count + i];
        }
        for (int i = 0; i < count; i++) {
            y[n * count + i] = x[n * count + i] / sqrt(sum / (s->pixels * s->real) + 1e-6);
        }
    }
}

static cudaError_t norm(enum nn_cuda_type type, const void *context, const void *x, void *y) {
    const struct samples *s = context;
    return nn_cuda_norm_forward(type, x, y, s->scales, s->n, (size_t)(s->pixels * s->padded),
                                (size_t)(s->pixels * s->real), s->scratch, NULL);
}

static cudaError_t norm_back(enum nn_cuda_type type, const void *context, const void *gradient,
                             const void *more, const void *x, const void *y, void *x_gradient) {
    const struct samples *s = context;
    (void)x;
    return nn_cuda_norm_backward(type, gradient, more, y, s->scales, x_gradient, s->n,
                                 (size_t)(s->pixels * s->padded), (size_t)(s->pixels * s->real),
                                 s->scratch, NULL);
}

static void check_norm(struct mode *m) {
    const int cases[][4] = {{2, 5, 8, 5}, {3, 1, 8, 8}, {1, 37, 16, 13}};
    for (int i = 0; i < 3; i++) {
        struct samples s = {cases[i][0], cases[i][1], cases[i][2], cases[i][3], NULL, NULL};
        const size_t count = (size_t)(s.n * s.pixels * s.padded);
        s.scales = device_block((size_t)s.n * sizeof(float));
        s.scratch = device_block(nn_cuda_norm_scratch(s.n));
        float *x = some(m->type, 1, count), *pull = some(m->type, 2, count);
        for (size_t k = 0; k < count; k++) {
            x[k] = (int)k % s.padded < s.real ? x[k] : 0;
            pull[k] = (int)k % s.padded < s.real ? pull[k] : 0;
        }
        const struct device_op op = {.inputs = count,
                                     .outputs = count,
                                     .takes_more = true,
                                     .reference = norm_reference,
                                     .forward = norm,
                                     .backward = norm_back};
        check_op(m, &op, &s, x, pull);
        RELEASE(s.scales, s.scratch);
        free(x), free(pull);
    }
}

static void test_norm(void **state) {
    (void)state;
    in_every_mode(check_norm);
}

/* Sums over rows of (gradient + more) times the slope at y, all in doubles. */
static void check_bias_gradient_of(struct mode *m, size_t rows, int channels, bool with_slope) {
    const size_t count = rows * (size_t)channels;
    float *g = some(m->type, 3, count), *y = some(m->type, 4, count);
    double *wanted = calloc((size_t)channels, sizeof *wanted);
    void *gradient = device_values(m->type, g, count), *at = device_values(m->type, y, count);
    void *scratch = device_block(nn_cuda_bias_scratch(rows, channels));
    void *out = with_slope ? device_output(m->type, count) : NULL;
    void *sums = device_output(NN_CUDA_F32, (size_t)channels);
    ASSERT_CUDA(nn_cuda_bias_gradient(m->type, gradient, gradient, with_slope ? at : NULL, 0.25f,
                                      out, sums, rows, channels, scratch, NULL));
    float *written = with_slope ? taken(m, m->type, out, count) : NULL;
    for (size_t i = 0; i < count; i++) {
        const double v = 2 * (double)g[i] * (with_slope && y[i] <= 0 ? 0.25 : 1.0);
        wanted[i % (size_t)channels] += v;
        assert_true(!written || fabs((double)written[i] - v) < 1e-6);
    }
    float *got = taken(m, NN_CUDA_F32, sums, (size_t)channels);
    for (int c = 0; c < channels; c++) {
        ASSERT_NEAR((double)got[c] / sqrt((double)rows), wanted[c] / sqrt((double)rows), 1e-5);
    }
    RELEASE(gradient, at, scratch);
    free(g), free(y), free(wanted), free(written), free(got);
}

static void check_bias_gradient(struct mode *m) {
    check_bias_gradient_of(m, 1, 8, true);
    check_bias_gradient_of(m, 35, 24, true);
    check_bias_gradient_of(m, 6007, 16, false); /* several chunks */
    check_bias_gradient_of(m, 65000, 8, false); /* a chunk for each run of them */
    check_bias_gradient_of(m, 300, 328, true);  /* several blocks side by side */
    if (m->type == NN_CUDA_BF16) {
        check_bias_gradient_of(m, 17000, 256, false); /* more chunks than runs take at once */
    }
}

/* The gradient has the bits of the two operations one after the other. */
static void check_shuffle_bias_of(struct mode *m, const struct nn_cuda_map *map, bool with_more) {
    const size_t rows = (size_t)(map->n * map->h * map->w),
                 count = 4 * rows * (size_t)map->channels;
    const int channels = 4 * map->channels;
    float *g = some(m->type, 7, count), *y = some(m->type, 8, count);
    void *gradient = device_values(m->type, g, count), *at = device_values(m->type, y, count);
    void *more = with_more ? at : NULL, *scratch[2], *out[2], *sums[2];
    for (int i = 0; i < 2; i++) {
        scratch[i] = device_block(nn_cuda_bias_scratch(rows, channels));
        out[i] = device_output(m->type, count);
        sums[i] = device_output(NN_CUDA_F32, (size_t)channels);
    }
    ASSERT_CUDA(nn_cuda_shuffle_bias_gradient(m->type, gradient, more, at, 0.25f, out[0], sums[0],
                                              map, scratch[0], NULL));
    ASSERT_CUDA(nn_cuda_shuffle_backward(m->type, gradient, more, at, 0.25f, out[1], map, NULL));
    ASSERT_CUDA(nn_cuda_bias_gradient(m->type, out[1], NULL, NULL, 1, NULL, sums[1], rows, channels,
                                      scratch[1], NULL));
    float *got = taken(m, m->type, out[0], count), *wanted = taken(m, m->type, out[1], count);
    float *bias = taken(m, NN_CUDA_F32, sums[0], (size_t)channels);
    float *expected = taken(m, NN_CUDA_F32, sums[1], (size_t)channels);
    assert_memory_equal(got, wanted, count * sizeof *got);
    for (int c = 0; c < channels; c++) {
        ASSERT_NEAR((double)bias[c] / sqrt((double)rows), (double)expected[c] / sqrt((double)rows),
                    m->tolerance);
    }
    RELEASE(gradient, at, scratch[0], scratch[1]);
    free(g), free(y), free(got), free(wanted), free(bias), free(expected);
}

static void check_shuffle_bias(struct mode *m) {
    const struct nn_cuda_map maps[] = {{1, 1, 1, 8}, {2, 3, 5, 24}, {3, 40, 17, 8}, {1, 9, 1, 88}};
    for (int i = 0; i < 4; i++) {
        check_shuffle_bias_of(m, &maps[i], i % 2 == 0);
        check_shuffle_bias_of(m, &maps[i], i % 2 == 1);
    }
}

static void test_bias_gradient(void **state) {
    (void)state;
    in_every_mode(check_bias_gradient);
    in_every_mode(check_shuffle_bias);
}

static void head_reference(const void *context, const double *x, double *y) {
    const struct nn_cuda_head *s = context;
    const int f = s->factor, height = s->h * f, width = s->w * f;
    for (int i = 0; i < s->n * s->channels * height * width; i++) {
        const int at = i % width, row = i / width % height, c = i / (width * height) % s->channels;
        const int n = i / (width * height * s->channels);
        const int pixel = (n * s->h + row / f) * s->w + at / f;
        const int group = row % f * f + at % f;
        y[i] = 1 / (1 + exp(-x[pixel * s->padded + group * s->channels + c]));
    }
}

static cudaError_t head(enum nn_cuda_type type, const void *context, const void *x, void *y) {
    return nn_cuda_head_forward(type, x, NULL, y, context, NULL);
}

static cudaError_t head_back(enum nn_cuda_type type, const void *context, const void *gradient,
                             const void *more, const void *x, const void *y, void *x_gradient) {
    (void)x, (void)more;
    return nn_cuda_head_backward(type, gradient, y, x_gradient, context, NULL);
}

static void check_head(struct mode *m) {
    const struct nn_cuda_head cases[] = {
        {2, 3, 16, 3, 5, 2}, {2, 1, 8, 5, 3, 1},  {1, 3, 8, 7, 2, 1},  {1, 1, 8, 2, 3, 2},
        {2, 1, 24, 2, 3, 1}, {2, 2, 16, 3, 2, 2}, {1, 5, 16, 2, 3, 1}, {1, 1, 8, 37, 41, 1}};
    for (int i = 0; i < 8; i++) {
        const struct nn_cuda_head *s = &cases[i];
        const struct device_op op = {
            .inputs = (size_t)(s->n * s->h * s->w * s->padded),
            .outputs = (size_t)(s->n * s->channels * s->h * s->w * s->factor * s->factor),
            .wide_output = true,
            .reference = head_reference,
            .forward = head,
            .backward = head_back};
        float *x = some(m->type, 5, op.inputs), *pull = some(NN_CUDA_F32, 6, op.outputs);
        check_op(m, &op, s, x, pull);
        free(x), free(pull);
    }
}

static void check_head_bias(struct mode *m) {
    const struct nn_cuda_head s = {1, 3, 16, 3, 2, 2};
    float *x = some(m->type, 7, 6 * 16), *bias = some(NN_CUDA_F32, 8, 16);
    void *in = device_values(m->type, x, 6 * 16), *b = device_bytes(bias, 16 * sizeof *bias);
    void *out = device_output(NN_CUDA_F32, 3 * 24);
    ASSERT_CUDA(nn_cuda_head_forward(m->type, in, b, out, &s, NULL));
    for (int i = 0; i < 6 * 16; i++) {
        x[i] += bias[i % 16];
    }
    double *wanted = reference_of(head_reference, &s, x, 6 * 16, 3 * 24);
    float *got = taken(m, NN_CUDA_F32, out, 3 * 24);
    near_all(got, wanted, 3 * 24, 2e-6);
    RELEASE(in, b);
    free(x), free(bias), free(wanted), free(got);
}

static void test_head(void **state) {
    (void)state;
    in_every_mode(check_head);
    in_every_mode(check_head_bias);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_bias_gradient),
        cmocka_unit_test(test_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
