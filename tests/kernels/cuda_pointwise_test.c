#include "kernels/nn/pointwise_cuda.h"
#include "tests/kernels/cuda_check.h"

enum { CHANNELS = 24, ROWS = 3 * 5 * 7, COUNT = ROWS * CHANNELS };

/* Of x, residual [ROWS][CHANNELS] and bias [CHANNELS], in this order. */
static void bias_slope_reference(const void *context, const double *x, double *y) {
    const double slope = *(const double *)context;
    for (int i = 0; i < COUNT; i++) {
        const double v = x[i] + x[COUNT + i] + x[2 * COUNT + i % CHANNELS];
        y[i] = v > 0 ? v : v * slope;
    }
}

static void check_bias_slope(struct mode *m) {
    const double slope = (double)0.1f;
    float *x = some(m->type, 1, 2 * COUNT + CHANNELS);
    void *in = device_values(m->type, x, COUNT), *more = device_values(m->type, x + COUNT, COUNT);
    void *bias = device_bytes(x + 2 * COUNT, CHANNELS * sizeof *x);
    void *out = device_output(m->type, COUNT);
    ASSERT_CUDA(nn_cuda_bias_slope(m->type, in, bias, more, 0.1f, out, ROWS, CHANNELS, NULL));
    float *got = taken(m, m->type, out, COUNT);
    double *wanted = reference_of(bias_slope_reference, &slope, x, 2 * COUNT + CHANNELS, COUNT);
    near_all(got, wanted, COUNT, m->tolerance);
    free(got);
    ASSERT_CUDA(nn_cuda_bias_slope(m->type, in, NULL, NULL, 1, in, ROWS, CHANNELS, NULL));
    ASSERT_CUDA(cudaMemcpy(more, in, 1, cudaMemcpyDeviceToDevice));
    RELEASE(in, more, bias);
    free(x);
    free(wanted);
}

static void test_bias_slope(void **state) {
    (void)state;
    in_every_mode(check_bias_slope);
}

static void check_slope_backward(struct mode *m) {
    float *x = some(m->type, 2, 2 * COUNT + CHANNELS), *g = some(m->type, 3, COUNT);
    const double slope = (double)0.2f;
    memset(x + 2 * COUNT, 0, CHANNELS * sizeof *x);
    for (int i = 0; i < COUNT; i++) { /* differences across the kink say nothing */
        x[i] = fabsf(x[i] + x[COUNT + i]) < 1e-3f ? 0.5f - x[COUNT + i] : x[i];
    }
    double *y = reference_of(bias_slope_reference, &slope, x, 2 * COUNT + CHANNELS, COUNT);
    float *output = malloc(COUNT * sizeof *output);
    for (int i = 0; i < COUNT; i++) {
        output[i] = rounded(m->type, (float)y[i]);
    }
    void *gradient = device_values(m->type, g, COUNT), *at = device_values(m->type, output, COUNT);
    void *out = device_output(m->type, COUNT), *twice = device_output(m->type, COUNT);
    ASSERT_CUDA(nn_cuda_slope_backward(m->type, gradient, NULL, at, 0.2f, out, COUNT, NULL));
    ASSERT_CUDA(nn_cuda_slope_backward(m->type, gradient, gradient, at, 0.2f, twice, COUNT, NULL));
    float *once = taken(m, m->type, out, COUNT), *both = taken(m, m->type, twice, COUNT);
    double *wanted = differences(bias_slope_reference, &slope, x, 2 * COUNT + CHANNELS, g, COUNT);
    for (int i = 0; i < COUNT; i++) {
        ASSERT_CLOSE((double)once[i], wanted[i], m->tolerance);
        ASSERT_CLOSE((double)both[i], 2 * wanted[i], m->tolerance);
    }
    RELEASE(gradient, at);
    free(x), free(g), free(y), free(output), free(once), free(both), free(wanted);
}

static void test_slope_backward(void **state) {
    (void)state;
    in_every_mode(check_slope_backward);
}

static void check_add(struct mode *m) {
    float *a = some(m->type, 4, COUNT), *b = some(m->type, 5, COUNT);
    void *left = device_values(m->type, a, COUNT), *right = device_values(m->type, b, COUNT);
    void *out = device_output(m->type, COUNT);
    ASSERT_CUDA(nn_cuda_add(m->type, left, right, out, COUNT, NULL));
    float *got = taken(m, m->type, out, COUNT);
    for (int i = 0; i < COUNT; i++) {
        ASSERT_CLOSE((double)got[i], (double)a[i] + (double)b[i], m->tolerance);
    }
    RELEASE(left, right);
    free(a), free(b), free(got);
}

static void test_add(void **state) {
    (void)state;
    in_every_mode(check_add);
}

enum { FEW = 40 };

static void cosine_reference(const void *context, const double *x, double *y) {
    (void)context;
    for (int i = 0; i < FEW; i++) {
        y[i] = x[i] * cos(x[i]);
    }
}

static void check_cosine(struct mode *m) {
    float *x = some(m->type, 6, FEW), *g = some(m->type, 7, FEW);
    for (int i = 0; i < FEW; i++) {
        x[i] = rounded(m->type, 5 * x[i]);
    }
    void *in = device_values(m->type, x, FEW), *gradient = device_values(m->type, g, FEW);
    void *y = device_output(m->type, FEW), *back = device_output(m->type, FEW);
    ASSERT_CUDA(nn_cuda_cosine_forward(m->type, in, y, FEW, NULL));
    ASSERT_CUDA(nn_cuda_cosine_backward(m->type, gradient, gradient, in, back, FEW, NULL));
    float *forward = taken(m, m->type, y, FEW), *backward = taken(m, m->type, back, FEW);
    double *wanted = reference_of(cosine_reference, NULL, x, FEW, FEW);
    double *slopes = differences(cosine_reference, NULL, x, FEW, g, FEW);
    near_all(forward, wanted, FEW, m->tolerance);
    for (int i = 0; i < FEW; i++) {
        ASSERT_CLOSE((double)backward[i], 2 * slopes[i], m->tolerance);
    }
    RELEASE(in, gradient);
    free(x), free(g), free(forward), free(backward), free(wanted), free(slopes);
}

static void test_cosine(void **state) {
    (void)state;
    in_every_mode(check_cosine);
}

/* Of a and b, one after the other. */
static void blend_reference(const void *context, const double *x, double *y) {
    const double f = (double)*(const float *)context;
    for (int i = 0; i < FEW; i++) {
        y[i] = (1 - f) * x[i] + f * x[FEW + i];
    }
}

static void check_blend(struct mode *m) {
    const float f = 0.3f;
    float *x = some(m->type, 8, 2 * FEW), *g = some(m->type, 9, FEW);
    void *a = device_values(m->type, x, FEW), *b = device_values(m->type, x + FEW, FEW);
    void *gradient = device_values(m->type, g, FEW), *factor = device_bytes(&f, sizeof f);
    void *y = device_output(m->type, FEW), *da = device_output(m->type, FEW);
    void *db = device_output(m->type, FEW);
    ASSERT_CUDA(nn_cuda_blend_forward(m->type, a, b, factor, y, FEW, NULL));
    ASSERT_CUDA(nn_cuda_blend_backward(m->type, gradient, factor, da, db, FEW, NULL));
    float *forward = taken(m, m->type, y, FEW);
    float *first = taken(m, m->type, da, FEW), *second = taken(m, m->type, db, FEW);
    double *wanted = reference_of(blend_reference, &f, x, 2 * FEW, FEW);
    double *slopes = differences(blend_reference, &f, x, 2 * FEW, g, FEW);
    near_all(forward, wanted, FEW, m->tolerance);
    near_all(first, slopes, FEW, m->tolerance);
    near_all(second, slopes + FEW, FEW, m->tolerance);
    RELEASE(a, b, gradient, factor);
    free(x), free(g), free(forward), free(first), free(second), free(wanted), free(slopes);
}

static void test_blend(void **state) {
    (void)state;
    in_every_mode(check_blend);
}

static void check_cast(struct mode *m) {
    float *x = some(NN_CUDA_F32, 10, COUNT);
    x[3] = 3e38f;
    void *in = device_bytes(x, COUNT * sizeof *x);
    void *narrow = device_output(m->type, COUNT), *wide = device_output(NN_CUDA_F32, COUNT);
    ASSERT_CUDA(nn_cuda_cast(NN_CUDA_F32, in, m->type, narrow, COUNT, NULL));
    ASSERT_CUDA(nn_cuda_cast(m->type, narrow, NN_CUDA_F32, wide, COUNT, NULL));
    float *first = taken(m, m->type, narrow, COUNT), *back = taken(m, NN_CUDA_F32, wide, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_true(first[i] == rounded(m->type, x[i]) && back[i] == first[i]);
    }
    RELEASE(in);
    free(x), free(first), free(back);
}

static void test_cast(void **state) {
    (void)state;
    in_every_mode(check_cast);
}

static void test_odd_counts_are_refused(void **state) {
    (void)state;
    void *block = device_block(64);
    assert_int_equal(nn_cuda_add(NN_CUDA_F32, block, block, block, 12, NULL),
                     cudaErrorInvalidValue);
    RELEASE(block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bias_slope),
        cmocka_unit_test(test_slope_backward),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_cosine),
        cmocka_unit_test(test_blend),
        cmocka_unit_test(test_cast),
        cmocka_unit_test(test_odd_counts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
