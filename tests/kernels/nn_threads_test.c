/* The same bits for 1, 2, 3 and 5 threads: every operation, losses, optimizers, whole trainings and
 * inference; and the parts that weights' gradients are made in, against sums in doubles. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/nn/conv_parts_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/multiply_internal.h"
#include "kernels/nn/onnx_linear.h"
#include "kernels/nn/op_call.h"
#include "kernels/nn/op_test_internal.h"
#include "kernels/nn/trainer.h"
#include "tests/support/check.h"

static const int thread_counts[] = {1, 2, 3, 5};
enum { COUNTS = sizeof thread_counts / sizeof *thread_counts };

static float *random_floats(size_t count, uint32_t stream, bool bf16) {
    float *values = us_nn_alloc((count + 1) * sizeof *values);
    assert_non_null(values);
    nn_op_test_fill(values, count, stream, bf16);
    return values;
}

/* The first time keeps the bits, later ones compare. */
static void same_bits(const char *what, int count_index, float **first, const float *values,
                      size_t count) {
    if (count_index == 0) {
        *first = us_nn_alloc((count + 1) * sizeof **first);
        memcpy(*first, values, count * sizeof *values);
    } else if (memcmp(*first, values, count * sizeof *values) != 0) {
        print_message("%s: other bits with %d threads\n", what, thread_counts[count_index]);
        assert_true(false);
    }
}

static const struct {
    const char *name;
    bool has_x2;
    struct us_nn_op_call call;
} operations[] = {
#define CONV(...) \
    { US_NN_OP_CONV, __VA_ARGS__ }
    {"5x5 of a picture", false,
     CONV(.n = 5, .c = 3, .h = 34, .w = 30, .channels = 20, .kernel = 5, .stride = 2,
          .slope = 0.1f)},
    {"5x5", false,
     CONV(.n = 6, .c = 33, .h = 14, .w = 10, .channels = 70, .kernel = 5, .stride = 2,
          .slope = 0.1f)},
    {"3x3 with residual", true,
     CONV(.n = 7, .c = 20, .h = 9, .w = 11, .channels = 36, .kernel = 3, .stride = 1,
          .slope = 0.2f)},
    {"3x3, few channels out", false,
     CONV(.n = 4, .c = 40, .h = 30, .w = 31, .channels = 12, .kernel = 3, .stride = 1, .slope = 1)},
    {"3x3, wide", false,
     CONV(.n = 2, .c = 96, .h = 5, .w = 4, .channels = 336, .kernel = 3, .stride = 1,
          .slope = 0.1f)},
    {"3x3, Winograd's", true,
     CONV(.n = 4, .c = 50, .h = 17, .w = 21, .channels = 67, .kernel = 3, .stride = 1,
          .slope = 0.2f)},
    {"3x3, Winograd's, large", false,
     CONV(.n = 4, .c = 64, .h = 32, .w = 32, .channels = 64, .kernel = 3, .stride = 1,
          .slope = 0.2f)},
    {"3x3, Winograd's, one image", false,
     CONV(.n = 1, .c = 130, .h = 40, .w = 36, .channels = 150, .kernel = 3, .stride = 1,
          .slope = 0.2f)},
    {"1x1", false,
     CONV(.n = 3, .c = 37, .h = 25, .w = 23, .channels = 3, .kernel = 1, .stride = 1, .slope = 1)},
    {"4x4, stride 2", false,
     CONV(.n = 3, .c = 24, .h = 9, .w = 13, .channels = 130, .kernel = 4, .stride = 2,
          .slope = 0.1f)},
    {"dense, much in",
     false,
     {US_NN_OP_DENSE, .n = 5, .c = 130, .h = 8, .w = 8, .channels = 70, .slope = 0.1f}},
    {"dense, much out",
     false,
     {US_NN_OP_DENSE, .n = 9, .c = 40, .h = 2, .w = 2, .channels = 1500, .slope = 1}},
    {"depth-to-space",
     false,
     {US_NN_OP_DEPTH_TO_SPACE, .n = 3, .c = 76, .h = 7, .w = 5, .slope = 0.1f}},
    {"pixel norm", false, {US_NN_OP_NORM, .n = 3, .c = 50, .h = 9, .w = 7}},
    {"sigmoid",
     false,
     {US_NN_OP_HEAD, .n = 3, .c = 12, .h = 13, .w = 15, .channels = 3, .factor = 2}},
    {"x cos x", false, {US_NN_OP_COSINE, .n = 3, .c = 50, .h = 9, .w = 7}},
    {"pool", false, {US_NN_OP_POOL, .n = 3, .c = 35, .h = 14, .w = 6}},
    {"upsample", false, {US_NN_OP_UPSAMPLE, .n = 3, .c = 35, .h = 7, .w = 9}},
    {"concatenation", true, {US_NN_OP_CONCAT, .n = 3, .c = 48, .h = 7, .w = 9}},
    {"blend", true, {US_NN_OP_BLEND, .n = 3, .c = 35, .h = 7, .w = 9, .fade = 0.3f}},
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

static void check_operation(int index, bool bf16) {
    struct us_nn_op_call call = operations[index].call;
    const struct us_nn_op_sizes s = us_nn_op_sizes(&call, operations[index].has_x2);
    const size_t inputs = s.x + s.x2 + s.weights, results = inputs + s.y;
    float *in = random_floats(inputs + s.y, (uint32_t)index, bf16), *first = NULL;
    float *out = us_nn_alloc(results * sizeof *out);
    call.bf16 = bf16;
    call.x = in;
    call.x2 = s.x2 ? in + s.x : NULL;
    call.weights = s.weights ? in + s.x + s.x2 : NULL;
    call.pull = in + inputs;
    call.y = out;
    call.x_gradient = out + s.y;
    call.x2_gradient = s.x2 ? call.x_gradient + s.x : NULL;
    call.weight_gradient = s.weights ? call.x_gradient + s.x + s.x2 : NULL;
    for (int i = 0; i < COUNTS; i++) {
        omp_set_num_threads(thread_counts[i]);
        memset(out, 0, results * sizeof *out);
        assert_int_equal(us_nn_cpu_ops.op(us_nn_cpu_ops.context, &call), US_NN_OK);
        same_bits(operations[index].name, i, &first, out, results);
    }
    us_nn_free(first);
    us_nn_free(out);
    us_nn_free(in);
}

static void test_operations(void **state) {
    (void)state;
    for (int i = 0; i < OPERATIONS; i++) {
        check_operation(i, false);
    }
}

static void test_operations_in_bf16(void **state) {
    (void)state;
    if (!us_nn_has_bf16()) {
        print_message("skipped: this processor has no bfloat16\n");
        return;
    }
    for (int i = 0; i < OPERATIONS; i++) {
        check_operation(i, true);
    }
}

/* c[m][n] of a[m][k] and b[k][n], each flipped or not; the beginning of c is checked too. */
static void check_product(int64_t m, int64_t n, int64_t k, bool flip_a, bool flip_b) {
    float *a = random_floats((size_t)(m * k), 1, false), *first = NULL;
    float *b = random_floats((size_t)(k * n), 2, false);
    float *c = us_nn_alloc((size_t)(m * n) * sizeof *c);
    const struct nn_product product = {m, n, k, flip_a, flip_b, 1, 0, a, b, c};
    for (int i = 0; i < COUNTS; i++) {
        omp_set_num_threads(thread_counts[i]);
        assert_int_equal(nn_multiply(&product), US_NN_OK);
        same_bits("product", i, &first, c, (size_t)(m * n));
    }
    for (int64_t i = 0; i < m * n; i += 1 + m * n / 50) {
        double sum = 0;
        for (int64_t x = 0; x < k; x++) {
            sum += (double)a[flip_a ? x * m + i / n : i / n * k + x] *
                   (double)b[flip_b ? i % n * k + x : x * n + i % n];
        }
        ASSERT_NEAR((double)c[i], sum, 1e-5 * sqrt((double)k) * 4);
    }
    us_nn_free(first);
    us_nn_free(a);
    us_nn_free(b);
    us_nn_free(c);
}

static void test_products(void **state) {
    (void)state;
    for (int flips = 0; flips < 4; flips++) {
        check_product(5, 333, 1025, flips & 1, flips & 2);
        check_product(700, 3, 515, flips & 1, flips & 2);
        check_product(3, 17, 20001, flips & 1, flips & 2);
        check_product(1, 1, 9, flips & 1, flips & 2);
    }
}

static const struct us_onnx_conv_shape shapes[] = {
    {.n = 1,
     .in_channels = 3,
     .out_channels = 19,
     .groups = 1,
     .in = {61, 47},
     .out = {31, 24},
     .kernel = {3, 3},
     .stride = {2, 2},
     .dilation = {1, 1},
     .before = {1, 1},
     .after = {1, 1}},
    {.n = 1,
     .in_channels = 70,
     .out_channels = 45,
     .groups = 1,
     .in = {13, 11},
     .out = {13, 11},
     .kernel = {3, 3},
     .stride = {1, 1},
     .dilation = {1, 1},
     .before = {1, 1},
     .after = {1, 1}},
    {.n = 2,
     .in_channels = 513,
     .out_channels = 33,
     .groups = 1,
     .in = {5, 3},
     .out = {5, 3},
     .kernel = {1, 1},
     .stride = {1, 1},
     .dilation = {1, 1}},
    {.n = 1,
     .in_channels = 24,
     .out_channels = 24,
     .groups = 24,
     .in = {19, 21},
     .out = {19, 21},
     .kernel = {3, 3},
     .stride = {1, 1},
     .dilation = {1, 1},
     .before = {1, 1},
     .after = {1, 1}},
    {.n = 1,
     .in_channels = 36,
     .out_channels = 20,
     .groups = 2,
     .in = {9, 8},
     .out = {9, 8},
     .kernel = {5, 3},
     .stride = {1, 1},
     .dilation = {2, 1},
     .before = {4, 1},
     .after = {4, 1}},
    {.n = 1,
     .in_channels = 40,
     .out_channels = 21,
     .groups = 1,
     .in = {9, 7},
     .out = {18, 14},
     .kernel = {4, 4},
     .stride = {2, 2},
     .dilation = {1, 1},
     .before = {1, 1},
     .after = {1, 1},
     .transposed = true},
};

static void check_other_network(const struct us_onnx_conv_shape *k) {
    const size_t in = (size_t)(k->n * k->in_channels * k->in[0] * k->in[1]);
    const size_t out = (size_t)(k->n * k->out_channels * k->out[0] * k->out[1]);
    const size_t weights =
        (size_t)(k->in_channels / k->groups * k->out_channels * k->kernel[0] * k->kernel[1]);
    float *x = random_floats(in, 1, false), *w = random_floats(weights, 2, false);
    float *b = random_floats((size_t)k->out_channels, 3, false), *first = NULL;
    float *y = us_nn_alloc(out * sizeof *y);
    for (int i = 0; i < COUNTS; i++) {
        struct us_onnx_conv *conv;
        assert_int_equal(us_onnx_conv_create(k, w, b, thread_counts[i], &conv), US_NN_OK);
        void *scratch = us_nn_alloc(us_onnx_conv_scratch(conv));
        assert_int_equal(us_onnx_conv_run(conv, x, y, scratch), US_NN_OK);
        same_bits("another network's convolution", i, &first, y, out);
        us_nn_free(scratch);
        us_onnx_conv_destroy(conv);
    }
    us_nn_free(first);
    us_nn_free(x);
    us_nn_free(w);
    us_nn_free(b);
    us_nn_free(y);
}

static void test_other_networks(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_other_network(&shapes[i]);
    }
}

/* The gradient of one weight, and of a bias, summed up in doubles. */
static double weight_sum(const struct us_nn_op_call *k, int o, int c, int ky, int kx) {
    double sum = 0;
    for (int i = 0; i < k->n * k->h * k->w; i++) {
        const int x = i % k->w, y = i / k->w % k->h, n = i / (k->w * k->h);
        const int yy = y + ky - 1, xx = x + kx - 1;
        if (yy >= 0 && yy < k->h && xx >= 0 && xx < k->w) {
            sum += (double)k->x[((n * k->c + c) * k->h + yy) * k->w + xx] *
                   (double)k->pull[((n * k->channels + o) * k->h + y) * k->w + x];
        }
    }
    return sum;
}

/* Several ranges and slices at once, slices of two sizes. */
static void check_parts(int n, int c, int size, int channels, int ranges, int slices) {
    struct us_nn_op_call call = CONV(.n = n, .c = c, .h = size, .w = size, .channels = channels,
                                     .kernel = 3, .stride = 1, .slope = 1);
    const struct us_nn_op_sizes s = us_nn_op_sizes(&call, false);
    const struct nn_conv_shape shape = {.n = n,
                                        .in = c,
                                        .out = channels,
                                        .block = 16,
                                        .taps = 9,
                                        .in_area = size * size,
                                        .out_area = size * size};
    const struct nn_partition p = nn_partition_of(&shape);
    float *x = random_floats(s.x, 1, false), *w = random_floats(s.weights, 2, false);
    float *pull = random_floats(s.y, 3, false), *y = us_nn_alloc(s.y * sizeof *y);
    float *dx = us_nn_alloc(s.x * sizeof *dx), *dw = us_nn_alloc(s.weights * sizeof *dw);
    call.x = x;
    call.weights = w;
    call.pull = pull;
    call.y = y;
    call.x_gradient = dx;
    call.weight_gradient = dw;
    print_message("    %d images %d -> %d channels: %d ranges, %d slices\n", n, c, channels,
                  p.ranges, p.slices);
    assert_true((p.ranges > 1) == (ranges > 1) && (p.slices > 1) == (slices > 1));
    assert_int_equal(us_nn_cpu_ops.op(us_nn_cpu_ops.context, &call), US_NN_OK);
    const size_t count = (size_t)channels * (size_t)c * 9;
    for (size_t i = 0; i < count; i += 1 + count / 400) {
        const int tap = (int)(i % 9), in = (int)(i / 9) % c, out = (int)(i / 9) / c;
        ASSERT_NEAR((double)dw[i], weight_sum(&call, out, in, tap / 3, tap % 3),
                    1e-4 * (double)size);
    }
    for (int o = 0; o < channels; o++) {
        double sum = 0;
        for (int i = 0; i < n * size * size; i++) {
            sum +=
                (double)pull[(i / (size * size) * channels + o) * size * size + i % (size * size)];
        }
        ASSERT_NEAR((double)dw[count + (size_t)o], sum, 1e-4 * (double)size);
    }
    float *const blocks[] = {x, w, pull, y, dx, dw};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        us_nn_free(blocks[i]);
    }
}

static void test_parts_add_up(void **state) {
    (void)state;
    omp_set_num_threads(3);
    check_parts(6, 16, 40, 16, 2, 1);  /* ranges alone */
    check_parts(6, 48, 6, 336, 1, 2);  /* slices of several images: copied */
    check_parts(3, 48, 24, 112, 2, 2); /* both */
}

static void test_partitions_fit(void **state) {
    (void)state;
    for (int i = 0; i < 4000; i++) {
        const struct nn_conv_shape shape = {.n = 1 + i % 13,
                                            .in = 16 * (1 + i % 7),
                                            .out = 16 * (1 + i % 11),
                                            .block = 16,
                                            .taps = i % 3 ? 9 : 25,
                                            .in_area = 4 << i % 10,
                                            .out_area = 4 << i % 10,
                                            .winograd = i % 2,
                                            .bf16 = i % 5 == 0};
        const struct nn_partition p = nn_partition_of(&shape);
        assert_true(p.ranges >= 1 && shape.n % p.ranges == 0);
        assert_true(p.slices >= 1 && p.slices <= shape.out / shape.block);
    }
}

enum { SIZE = 32, AREA = SIZE * SIZE };
static const size_t colours = (size_t)3 * AREA, planes = (size_t)4 * AREA;

static void fill_batch(struct us_nn_batch *batch, int identities, int pairs) {
    for (int i = 0; i < identities; i++) {
        struct us_nn_faces *f = &batch->faces[i];
        const size_t area = (size_t)pairs * AREA;
        float *values = random_floats(8 * area, (uint32_t)(20 + i), false);
        for (size_t k = 0; k < 8 * area; k++) {
            values[k] = 0.5f + 0.4f * values[k];
        }
        *f = (struct us_nn_faces){.inputs = values,
                                  .targets = values + 3 * area,
                                  .masks = values + 6 * area,
                                  .priorities = values + 7 * area};
    }
}

static float *trained(const char *arch, bool bf16, int threads, size_t *count) {
    struct us_nn_trainer_config config = {
        .arch = {.resolution = SIZE, .ae_dims = 24, .e_dims = 20, .d_dims = 20, .d_mask_dims = 8},
        .optimizer = us_nn_optimizer_usual(US_NN_ADABELIEF),
        .loss = us_nn_loss_usual(),
        .batch = 4,
        .pass = 2,
        .threads = threads,
        .seed = 3,
        .bf16 = bf16};
    assert_true(us_nn_arch_parse(arch, &config.arch));
    const bool comb = config.arch.family == US_NN_COMB;
    const int identities = comb ? 3 : 2;
    config.arch.identities = comb ? identities : 0;
    config.loss.priority = 2;
    config.optimizer.clip_norm = 0.5f;
    config.optimizer.average_decay = 0.9f;
    config.optimizer.rate_dropout = 0.3f;
    config.adversaries =
        (struct us_nn_adversaries){.true_face = config.arch.family == US_NN_DF ? 0.01f : 0,
                                   .gan = comb ? 0 : 0.1f,
                                   .gan_dims = 8};
    struct us_nn_batch batch = {0};
    struct us_nn_losses losses;
    struct us_nn_trainer *trainer;
    fill_batch(&batch, identities, config.batch);
    assert_int_equal(us_nn_trainer_create(&config, &trainer), US_NN_OK);
    for (int step = 0; step < 2; step++) {
        assert_int_equal(us_nn_trainer_step(trainer, &batch, &losses), US_NN_OK);
    }
    const size_t weights = us_nn_trainer_layout(trainer)->count;
    *count = 2 * weights + planes + 2;
    float *all = us_nn_alloc(*count * sizeof *all);
    assert_int_equal(us_nn_trainer_read(trainer, US_NN_PARAMETERS, all), US_NN_OK);
    assert_int_equal(us_nn_trainer_read(trainer, US_NN_AVERAGE, all + weights), US_NN_OK);
    float *drawn = all + 2 * weights;
    assert_int_equal(us_nn_trainer_infer(trainer, US_NN_SOURCE, batch.faces[1].inputs, 1, drawn,
                                         drawn + colours),
                     US_NN_OK);
    memcpy(drawn + planes, &losses.total, sizeof losses.total);
    us_nn_trainer_destroy(trainer);
    for (int i = 0; i < identities; i++) {
        us_nn_free((float *)batch.faces[i].inputs);
    }
    return all;
}

static void test_trainings(void **state) {
    static const char *const archs[] = {"df-ud", "df-t", "liae-udc", "comb"};
    (void)state;
    for (int k = 0; k < 8; k++) {
        float *first = NULL;
        const bool left_out = k % 2 == 1 && (!us_nn_has_bf16() || k == 3);
        for (int i = 0; i < COUNTS && !left_out; i++) {
            size_t count;
            float *all = trained(archs[k / 2], k % 2, thread_counts[i], &count);
            same_bits(archs[k / 2], i, &first, all, count);
            us_nn_free(all);
        }
        us_nn_free(first);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),   cmocka_unit_test(test_operations_in_bf16),
        cmocka_unit_test(test_products),     cmocka_unit_test(test_other_networks),
        cmocka_unit_test(test_parts_add_up), cmocka_unit_test(test_partitions_fit),
        cmocka_unit_test(test_trainings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
