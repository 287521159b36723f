#include "tests/kernels/nn_net.h"

struct conv_case {
    int n, in, out, h, w, kernel, stride;
    float slope;
};

static const struct conv_case conv_cases[] = {
    {2, 3, 5, 7, 9, 5, 2, 0.1f},   {1, 5, 7, 8, 6, 5, 2, 0.1f},  {2, 17, 9, 6, 5, 5, 2, 0.1f},
    {2, 6, 8, 5, 7, 3, 1, 0.2f},   {1, 33, 4, 3, 3, 3, 1, 1.0f}, {3, 4, 1, 4, 5, 1, 1, 1.0f},
    {1, 16, 16, 1, 1, 3, 1, 0.1f},
};

static void make_conv(struct small_net *s, const struct conv_case *c, bool first) {
    small_begin(s);
    nn_layout_conv(&s->params.layout, "layer", c->out, c->in, c->kernel);
    s->input =
        nn_net_tensor(&s->net, c->in == 3 ? NN_PLANAR : NN_BLOCKED, c->n, c->in, c->h, c->w, false);
    const struct nn_conv_options options = {.stride = c->stride, .slope = c->slope, .first = first};
    s->output = nn_conv(&s->net, s->input, nn_params_layer(&s->params, "layer", NN_ROWS_PLAIN, 0),
                        &options);
    small_bind(s);
}

/* One output in doubles, from the definition. */
static double naive(const struct small_net *s, const struct conv_case *c, int n, int o, int y,
                    int x) {
    const int k = c->kernel, *sizes[2] = {&c->h, &c->w};
    int before[2];
    for (int i = 0; i < 2; i++) {
        const int total = ((*sizes[i] + c->stride - 1) / c->stride - 1) * c->stride + k - *sizes[i];
        before[i] = total > 0 ? total / 2 : 0;
    }
    double sum = (double)s->flat[c->out * c->in * k * k + o];
    for (int i = 0; i < c->in * k * k; i++) {
        const int yy = y * c->stride + i / k % k - before[0];
        const int xx = x * c->stride + i % k - before[1];
        if (yy >= 0 && yy < c->h && xx >= 0 && xx < c->w) {
            const int channel = i / (k * k);
            sum += (double)s->flat[o * c->in * k * k + i] *
                   (double)s->values[((n * c->in + channel) * c->h + yy) * c->w + xx];
        }
    }
    return sum > 0 ? sum : sum * (double)c->slope;
}

static void test_convolution_is_its_definition(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++) {
        const struct conv_case *c = &conv_cases[i];
        struct small_net s;
        make_conv(&s, c, c->in == 3);
        small_forward(&s);
        const float *out = nn_net_at(&s.net, s.output->value);
        for (int k = 0; k < s.outputs; k++) {
            const int x = k % s.output->w, y = k / s.output->w % s.output->h;
            const int o = k / (s.output->w * s.output->h) % c->out;
            const int n = k / (s.output->w * s.output->h * c->out);
            ASSERT_NEAR((double)out[place_of(&s, s.output, k)], naive(&s, c, n, o, y, x), 1e-5);
        }
        for (size_t k = 0; k < nn_tensor_elements(s.output); k++) {
            assert_true(isfinite(out[k]));
        }
        small_finish(&s);
    }
}

static void test_convolution_gradients(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++) {
        const struct conv_case *c = &conv_cases[i];
        struct small_net s;
        make_conv(&s, c, c->in == 3);
        small_backward(&s);
        if (c->in != 3) {
            compare(&s, s.values, s.value_gradients, s.inputs, c->slope < 1, 2e-3);
        }
        compare(&s, s.flat, s.flat_gradients, (int)s.params.layout.count, c->slope < 1, 2e-3);
        small_finish(&s);
    }
}

static void test_residual_block_gradients(void **state) {
    (void)state;
    const int sizes[][4] = {{2, 5, 2, 3}, {1, 18, 1, 2}};
    for (int i = 0; i < 2; i++) {
        struct small_net s;
        small_begin(&s);
        const int c = sizes[i][1];
        nn_layout_conv(&s.params.layout, "zero", c, c, 1);
        nn_layout_conv(&s.params.layout, "one", c, c, 3);
        nn_layout_conv(&s.params.layout, "two", c, c, 3);
        nn_layout_conv(&s.params.layout, "last", 2, c, 1);
        s.input =
            nn_net_tensor(&s.net, NN_BLOCKED, sizes[i][0], c, sizes[i][2], sizes[i][3], false);
        struct nn_conv_options options = {.stride = 1, .slope = 0.2f};
        struct nn_weight *w[4];
        const char *names[] = {"zero", "one", "two", "last"};
        for (int k = 0; k < 4; k++) {
            w[k] = nn_params_layer(&s.params, names[k], NN_ROWS_PLAIN, 0);
        }
        struct nn_tensor *x = nn_conv(&s.net, s.input, w[0], &options);
        struct nn_tensor *inner = nn_conv(&s.net, x, w[1], &options);
        options.residual = x;
        struct nn_tensor *y = nn_conv(&s.net, inner, w[2], &options);
        options.residual = NULL;
        options.slope = 1;
        s.output = nn_conv(&s.net, y, w[3], &options);
        small_bind(&s);
        for (size_t k = 0; k < s.params.layout.count; k++) {
            s.flat[k] *= 0.3f;
        }
        small_check(&s, true, 2e-3);
        small_finish(&s);
    }
}

static void test_upscale_gradients(void **state) {
    (void)state;
    const int channels[] = {5, 16, 19};
    for (int i = 0; i < 3; i++) {
        struct small_net s;
        small_begin(&s);
        nn_layout_conv(&s.params.layout, "up", 4 * channels[i], 6, 3);
        s.input = nn_net_tensor(&s.net, NN_BLOCKED, 2, 6, 3, 2, false);
        const struct nn_conv_options options = {.stride = 1, .slope = 0.1f, .slope_after = true};
        struct nn_weight *w = nn_params_layer(&s.params, "up", NN_ROWS_SHUFFLE, 0);
        s.output = nn_shuffle(&s.net, nn_conv(&s.net, s.input, w, &options), channels[i], 0.1f);
        small_bind(&s);
        small_check(&s, true, 2e-3);
        small_finish(&s);
    }
}

static void test_shuffle_order(void **state) {
    (void)state;
    struct small_net s;
    small_begin(&s);
    s.input = nn_net_tensor(&s.net, NN_BLOCKED, 1, 4 * s.params.block, 2, 3, false);
    s.output = nn_shuffle(&s.net, s.input, s.params.block, 1);
    small_bind(&s);
    small_forward(&s);
    const float *out = nn_net_at(&s.net, s.output->value);
    for (int i = 0; i < s.outputs; i++) {
        const int x = i % 6, y = i / 6 % 4, c = i / 24;
        const int from = (2 * (y % 2) + x % 2) * s.params.block + c;
        assert_true(out[place_of(&s, s.output, i)] == s.values[(from * 2 + y / 2) * 3 + x / 2]);
    }
    small_finish(&s);
}

static void test_dense_gradients(void **state) {
    (void)state;
    struct small_net s;
    small_begin(&s);
    nn_layout_dense(&s.params.layout, "one", 7, 5 * 9);
    nn_layout_dense(&s.params.layout, "two", 6 * 4, 7);
    s.input = nn_net_tensor(&s.net, NN_BLOCKED, 3, 5, 3, 3, false);
    struct nn_tensor *x =
        nn_dense(&s.net, s.input, nn_params_layer(&s.params, "one", NN_ROWS_PLAIN, 3), 7, 0, 1);
    s.output = nn_dense(&s.net, x, nn_params_layer(&s.params, "two", NN_ROWS_VECTOR, 2), 6, 2, 1);
    small_bind(&s);
    small_check(&s, false, 2e-3);
    small_finish(&s);
}

static void test_pixel_norm_gradients(void **state) {
    (void)state;
    struct small_net s;
    small_begin(&s);
    s.input = nn_net_tensor(&s.net, NN_BLOCKED, 2, 5, 3, 2, false);
    s.output = nn_pixel_norm(&s.net, s.input);
    small_bind(&s);
    small_check(&s, false, 2e-3);
    small_forward(&s);
    const float *out = nn_net_at(&s.net, s.output->value);
    double squares = 0;
    for (int i = 0; i < s.outputs / 2; i++) {
        squares += pow((double)out[place_of(&s, s.output, i)], 2);
    }
    ASSERT_NEAR(squares / (s.outputs / 2.0), 1.0, 1e-4);
    small_finish(&s);
}

/* The merged output layer: a 1x1 and three 3x3 in one, into planes of twice the size. */
static void test_merged_head_gradients(void **state) {
    (void)state;
    struct small_net s;
    small_begin(&s);
    static const char *const parts[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        nn_layout_conv(&s.params.layout, parts[i], 3, 10, i ? 3 : 1);
    }
    s.input = nn_net_tensor(&s.net, NN_BLOCKED, 2, 10, 3, 4, false);
    struct nn_weight *w = nn_params_merged(&s.params, "out", parts, 4);
    const struct nn_conv_options options = {.stride = 1, .slope = 1, .wide = true};
    s.output = nn_head(&s.net, nn_conv(&s.net, s.input, w, &options), 3, 2, true);
    small_bind(&s);
    small_check(&s, false, 3e-3);
    for (size_t i = 0; i < w->count; i++) {
        assert_true(w->mask[i] == 1 || s.gradients[w->offset + i] == 0);
    }
    small_finish(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution_is_its_definition),
        cmocka_unit_test(test_convolution_gradients),
        cmocka_unit_test(test_residual_block_gradients),
        cmocka_unit_test(test_upscale_gradients),
        cmocka_unit_test(test_shuffle_order),
        cmocka_unit_test(test_dense_gradients),
        cmocka_unit_test(test_pixel_norm_gradients),
        cmocka_unit_test(test_merged_head_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
