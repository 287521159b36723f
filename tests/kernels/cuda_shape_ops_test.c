#include "kernels/nn/shape_ops_cuda.h"
#include "tests/kernels/cuda_check.h"

static size_t elements(const struct nn_cuda_map *m) {
    return (size_t)m->n * (size_t)m->h * (size_t)m->w * (size_t)m->channels;
}

/* NHWC of a map `scale` times as large. */
static size_t place(const struct nn_cuda_map *m, int scale, int n, int y, int x, int c) {
    return ((size_t)(n * m->h * scale + y) * (size_t)(m->w * scale) + (size_t)x) *
               (size_t)m->channels +
           (size_t)c;
}

static void check_with(struct mode *m, const struct device_op *op, const struct nn_cuda_map *map,
                       size_t inputs, size_t outputs) {
    struct device_op sized = *op;
    sized.inputs = inputs;
    sized.outputs = outputs;
    float *x = some(m->type, 1, inputs), *pull = some(m->type, 2, outputs);
    for (size_t i = 0; i < inputs; i++) { /* no kinks near */
        x[i] = fabsf(x[i]) < 1e-3f ? 0.25f : x[i];
    }
    check_op(m, &sized, map, x, pull);
    free(x), free(pull);
}

static const struct nn_cuda_map small_maps[] = {{1, 1, 1, 8}, {2, 3, 2, 8}, {1, 2, 5, 24}};
#define EACH_MAP(map) for (const struct nn_cuda_map *map = small_maps; map < small_maps + 3; map++)

static void shuffle_reference(const void *context, const double *x, double *y) {
    const struct nn_cuda_map *m = context;
    for (size_t i = 0; i < 4 * elements(m); i++) {
        const int c = (int)(i % (size_t)m->channels), column = (int)(i / (size_t)m->channels);
        const int at = column % (2 * m->w), line = column / (2 * m->w);
        const int row = line % (2 * m->h), n = line / (2 * m->h);
        const int group = row % 2 * 2 + at % 2;
        const double v =
            x[4 * place(m, 1, n, row / 2, at / 2, 0) + (size_t)(group * m->channels + c)];
        y[i] = v > 0 ? v : (double)0.1f * v;
    }
}

static cudaError_t shuffle(enum nn_cuda_type type, const void *context, const void *x, void *y) {
    return nn_cuda_shuffle_forward(type, x, NULL, 0.1f, y, context, NULL);
}

static cudaError_t shuffle_back(enum nn_cuda_type type, const void *context, const void *gradient,
                                const void *more, const void *x, const void *y, void *x_gradient) {
    (void)x;
    return nn_cuda_shuffle_backward(type, gradient, more, y, 0.1f, x_gradient, context, NULL);
}

static void check_shuffle(struct mode *m) {
    const struct device_op op = {
        .takes_more = true, .reference = shuffle_reference, shuffle, shuffle_back};
    EACH_MAP(map) {
        check_with(m, &op, map, 4 * elements(map), 4 * elements(map));
    }
}

static void check_shuffle_with_bias(struct mode *m) {
    const struct nn_cuda_map map = {2, 3, 5, 16};
    const size_t count = 4 * elements(&map);
    float *x = some(m->type, 3, count), *bias = some(NN_CUDA_F32, 4, 64);
    void *in = device_values(m->type, x, count), *b = device_bytes(bias, 64 * sizeof *bias);
    void *out = device_output(m->type, count);
    ASSERT_CUDA(nn_cuda_shuffle_forward(m->type, in, b, 0.1f, out, &map, NULL));
    for (size_t i = 0; i < count; i++) {
        x[i] += bias[i % 64];
    }
    double *wanted = reference_of(shuffle_reference, &map, x, count, count);
    float *got = taken(m, m->type, out, count);
    near_all(got, wanted, count, m->tolerance);
    RELEASE(in, b);
    free(x), free(bias), free(wanted), free(got);
}

static void check_plain_of(struct mode *m, const struct nn_cuda_map *map) {
    const size_t count = 4 * elements(map);
    float *x = some(m->type, 9, count);
    void *in = device_values(m->type, x, count), *out = device_output(m->type, count);
    void *back = device_output(m->type, count), *twice = device_output(m->type, count);
    ASSERT_CUDA(nn_cuda_shuffle_forward(m->type, in, NULL, 1, out, map, NULL));
    ASSERT_CUDA(nn_cuda_shuffle_backward(m->type, out, NULL, out, 1, back, map, NULL));
    ASSERT_CUDA(nn_cuda_shuffle_backward(m->type, out, out, out, 1, twice, map, NULL));
    float *forward = taken(m, m->type, out, count);
    float *got = taken(m, m->type, back, count), *both = taken(m, m->type, twice, count);
    for (size_t i = 0; i < count; i++) {
        const int c = (int)(i % (size_t)map->channels), column = (int)(i / (size_t)map->channels);
        const int at = column % (2 * map->w), line = column / (2 * map->w);
        const int row = line % (2 * map->h), n = line / (2 * map->h);
        const size_t from = 4 * place(map, 1, n, row / 2, at / 2, 0) +
                            (size_t)((row % 2 * 2 + at % 2) * map->channels + c);
        assert_true(forward[i] == x[from] && got[i] == x[i] && both[i] == 2 * x[i]);
    }
    RELEASE(in);
    free(x), free(forward), free(got), free(both);
}

/* Nothing but a move, over several blocks and over less than one. */
static void check_plain_shuffle(struct mode *m) {
    const struct nn_cuda_map large = {3, 13, 11, 40};
    EACH_MAP(map) {
        check_plain_of(m, map);
    }
    check_plain_of(m, &large);
}

static void test_shuffle(void **state) {
    (void)state;
    in_every_mode(check_plain_shuffle);
    in_every_mode(check_shuffle);
    in_every_mode(check_shuffle_with_bias);
}

static void upsample_reference(const void *context, const double *x, double *y) {
    const struct nn_cuda_map *m = context;
    for (int n = 0; n < m->n; n++) {
        for (int i = 0; i < 4 * m->h * m->w * m->channels; i++) {
            const int c = i % m->channels, at = i / m->channels % (2 * m->w);
            const int row = i / m->channels / (2 * m->w);
            y[place(m, 2, n, row, at, c)] = x[place(m, 1, n, row / 2, at / 2, c)];
        }
    }
}

static cudaError_t upsample(enum nn_cuda_type type, const void *context, const void *x, void *y) {
    return nn_cuda_upsample_forward(type, x, y, context, NULL);
}

static cudaError_t upsample_back(enum nn_cuda_type type, const void *context, const void *gradient,
                                 const void *more, const void *x, const void *y, void *x_gradient) {
    (void)x, (void)y;
    return nn_cuda_upsample_backward(type, gradient, more, x_gradient, context, NULL);
}

static void check_upsample(struct mode *m) {
    const struct device_op op = {
        .takes_more = true, .reference = upsample_reference, upsample, upsample_back};
    EACH_MAP(map) {
        check_with(m, &op, map, elements(map), 4 * elements(map));
    }
}

static void test_upsample(void **state) {
    (void)state;
    in_every_mode(check_upsample);
}

static void pool_reference(const void *context, const double *x, double *y) {
    const struct nn_cuda_map *m = context;
    size_t to = 0;
    for (int n = 0; n < m->n; n++) {
        for (int i = 0; i < m->h / 2 * (m->w / 2) * m->channels; i++) {
            const int c = i % m->channels, at = i / m->channels % (m->w / 2);
            const int row = i / m->channels / (m->w / 2);
            double most = -INFINITY;
            for (int k = 0; k < 4; k++) {
                most = fmax(most, x[place(m, 1, n, 2 * row + k / 2, 2 * at + k % 2, c)]);
            }
            y[to++] = most;
        }
    }
}

static cudaError_t pool(enum nn_cuda_type type, const void *context, const void *x, void *y) {
    return nn_cuda_pool_forward(type, x, y, context, NULL);
}

static cudaError_t pool_back(enum nn_cuda_type type, const void *context, const void *gradient,
                             const void *more, const void *x, const void *y, void *x_gradient) {
    (void)y;
    return nn_cuda_pool_backward(type, gradient, more, x, x_gradient, context, NULL);
}

static void check_pool(struct mode *m) {
    const struct nn_cuda_map maps[] = {{1, 2, 2, 8}, {2, 5, 4, 8}, {1, 4, 7, 24}};
    for (int i = 0; i < 3; i++) {
        const struct nn_cuda_map *s = &maps[i];
        const struct device_op op = {.inputs = elements(s),
                                     .outputs =
                                         (size_t)(s->n * (s->h / 2) * (s->w / 2) * s->channels),
                                     .takes_more = true,
                                     .reference = pool_reference,
                                     .forward = pool,
                                     .backward = pool_back};
        float *x = some(m->type, 1, op.inputs), *pull = some(m->type, 2, op.outputs);
        for (size_t k = 0; k < op.inputs; k++) {
            x[k] = (float)(k * 53 % 128) / 64 - 1; /* no two of a 2 x 2 are equal */
        }
        check_op(m, &op, s, x, pull);
        free(x), free(pull);
    }
}

/* Of equal ones the first in row order gets the gradient. */
static void check_pool_ties(struct mode *m) {
    const struct nn_cuda_map map = {1, 2, 2, 8};
    float x[32], pull[8];
    for (int i = 0; i < 32; i++) {
        x[i] = i % 8 < 4 && i / 8 == 0 ? 0.0f : 1.0f; /* for channels 4 to 7 all are equal */
        pull[i % 8] = 1;
    }
    void *in = device_values(m->type, x, 32), *g = device_values(m->type, pull, 8);
    void *back = device_output(m->type, 32);
    ASSERT_CUDA(nn_cuda_pool_backward(m->type, g, NULL, in, back, &map, NULL));
    float *got = taken(m, m->type, back, 32);
    for (int i = 0; i < 32; i++) {
        const int first = i % 8 < 4 ? 1 : 0;
        assert_true(got[i] == (i / 8 == first ? 1.0f : 0.0f));
    }
    RELEASE(in, g);
    free(got);
}

static void test_pool(void **state) {
    (void)state;
    in_every_mode(check_pool);
    in_every_mode(check_pool_ties);
}

/* Two maps side by side and apart again. */
static void check_concat(struct mode *m) {
    enum { ROWS = 7 };
    float *a = some(m->type, 5, ROWS * 8), *b = some(m->type, 6, ROWS * 16);
    void *left = device_values(m->type, a, ROWS * 8), *right = device_values(m->type, b, ROWS * 16);
    void *both = device_output(m->type, ROWS * 24), *again = device_output(m->type, ROWS * 16);
    ASSERT_CUDA(nn_cuda_copy_channels(m->type, left, 8, 0, both, 24, 0, 8, ROWS, NULL));
    ASSERT_CUDA(nn_cuda_copy_channels(m->type, right, 16, 0, both, 24, 8, 16, ROWS, NULL));
    ASSERT_CUDA(nn_cuda_copy_channels(m->type, both, 24, 8, again, 16, 0, 16, ROWS, NULL));
    float *joined = taken(m, m->type, both, ROWS * 24),
          *split = taken(m, m->type, again, ROWS * 16);
    for (int i = 0; i < ROWS * 24; i++) {
        const int row = i / 24, c = i % 24;
        assert_true(joined[i] == (c < 8 ? a[row * 8 + c] : b[row * 16 + c - 8]));
    }
    assert_memory_equal(split, b, ROWS * 16 * sizeof *b);
    RELEASE(left, right);
    free(a), free(b), free(joined), free(split);
}

static void test_concat(void **state) {
    (void)state;
    in_every_mode(check_concat);
}

static void check_pack(struct mode *m) {
    const int cases[][5] = {{2, 3, 5, 3, 8}, {1, 2, 9, 11, 16}, {3, 1, 1, 8, 8}};
    for (int i = 0; i < 3; i++) {
        const struct nn_cuda_map map = {cases[i][0], cases[i][1], cases[i][2], cases[i][4]};
        const int c = cases[i][3], area = map.h * map.w;
        const size_t count = (size_t)(map.n * c * area);
        float *x = some(m->type, 7, count);
        void *planes = device_bytes(x, count * sizeof *x);
        void *packed = device_output(m->type, elements(&map));
        void *back = device_output(NN_CUDA_F32, count);
        ASSERT_CUDA(nn_cuda_pack(m->type, planes, c, packed, &map, NULL));
        ASSERT_CUDA(nn_cuda_unpack(m->type, packed, back, c, &map, NULL));
        float *got = taken(m, m->type, packed, elements(&map));
        float *again = taken(m, NN_CUDA_F32, back, count);
        for (size_t k = 0; k < elements(&map); k++) {
            const int channel = (int)k % map.channels, pixel = (int)k / map.channels;
            const int from = (pixel / area * c + channel) * area + pixel % area;
            assert_true(got[k] == (channel < c ? x[from] : 0));
        }
        assert_memory_equal(again, x, count * sizeof *x);
        RELEASE(planes);
        free(x), free(got), free(again);
    }
}

static void test_pack(void **state) {
    (void)state;
    in_every_mode(check_pack);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shuffle), cmocka_unit_test(test_upsample),
        cmocka_unit_test(test_pool),    cmocka_unit_test(test_concat),
        cmocka_unit_test(test_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
