#include "tests/kernels/nn_net.h"

/* Odd channels straddle the blocks, 16 and 32 fill them. */
static const int channels[] = {5, 16, 19, 32};
enum { CASES = sizeof channels / sizeof *channels };

static struct nn_tensor *layer(struct small_net *s, struct nn_tensor *x, const char *name,
                               int out) {
    nn_layout_conv(&s->params.layout, name, out, x->c, 1);
    const struct nn_conv_options options = {.stride = 1, .slope = 1};
    return nn_conv(&s->net, x, nn_params_layer(&s->params, name, NN_ROWS_PLAIN, 0), &options);
}

static double input_at(const struct small_net *s, int n, int c, int y, int x) {
    const struct nn_tensor *t = s->input;
    return (double)s->values[((n * t->c + c) * t->h + y) * t->w + x];
}

static double output_at(const struct small_net *s, int n, int c, int y, int x) {
    const struct nn_tensor *t = s->output;
    const float *out = nn_net_at(&s->net, t->value);
    return (double)out[place_of(s, t, ((n * t->c + c) * t->h + y) * t->w + x)];
}

/* What an operation makes of the input, from its definition, in doubles. */
typedef double definition(const struct small_net *s, int n, int c, int y, int x);

static void check_values(struct small_net *s, definition *wanted) {
    const struct nn_tensor *t = s->output;
    small_forward(s);
    for (int i = 0; i < s->outputs; i++) {
        const int x = i % t->w, y = i / t->w % t->h, c = i / (t->w * t->h) % t->c;
        const int n = i / (t->w * t->h * t->c);
        ASSERT_NEAR(output_at(s, n, c, y, x), wanted(s, n, c, y, x), 1e-6);
    }
    const float *all = nn_net_at(&s->net, t->value);
    for (size_t i = 0; i < nn_tensor_elements(t); i++) {
        assert_true(isfinite(all[i]));
    }
}

static void begin(struct small_net *s, int n, int c, int h, int w) {
    small_begin(s);
    s->input = nn_net_tensor(&s->net, NN_BLOCKED, n, c, h, w, false);
}

static double twice(const struct small_net *s, int n, int c, int y, int x) {
    return input_at(s, n, c % s->input->c, y, x);
}

static void test_concat(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct small_net s;
        begin(&s, 2, channels[i], 3, 2);
        s.output = nn_concat(&s.net, s.input, s.input);
        small_bind(&s);
        check_values(&s, twice);
        small_check(&s, false, 2e-3);
        small_finish(&s);
        begin(&s, 2, channels[i], 3, 2);
        struct nn_tensor *narrow = layer(&s, s.input, "narrow", 3);
        s.output = layer(&s, nn_concat(&s.net, narrow, s.input), "last", 4);
        small_bind(&s);
        small_check(&s, false, 2e-3);
        small_finish(&s);
    }
}

static double shifted(const struct small_net *s, int n, int c, int y, int x) {
    return input_at(s, (n + 1) % 3, c, y, x);
}

/* Images 1 and 2, then image 0; each image has one gradient from a part and one from the whole. */
static void test_stack_and_part(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct small_net s;
        begin(&s, 3, channels[i], 2, 3);
        s.output = nn_stack(&s.net, nn_part(&s.net, s.input, 1, 2), nn_part(&s.net, s.input, 0, 1));
        small_bind(&s);
        check_values(&s, shifted);
        small_check(&s, false, 2e-3);
        small_finish(&s);
        begin(&s, 3, channels[i], 2, 3);
        struct nn_tensor *x = layer(&s, s.input, "one", 6);
        struct nn_tensor *turned =
            nn_stack(&s.net, nn_part(&s.net, x, 1, 2), nn_part(&s.net, x, 0, 1));
        s.output = layer(&s, nn_concat(&s.net, turned, x), "last", 3);
        small_bind(&s);
        small_check(&s, false, 3e-3);
        small_finish(&s);
    }
}

static double largest(const struct small_net *s, int n, int c, int y, int x) {
    double most = -1e9;
    for (int k = 0; k < 4; k++) {
        most = fmax(most, input_at(s, n, c, 2 * y + k / 2, 2 * x + k % 2));
    }
    return most;
}

static void test_pool(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct small_net s;
        begin(&s, 2, channels[i], 6, 4);
        s.output = nn_pool(&s.net, s.input);
        small_bind(&s);
        check_values(&s, largest);
        small_check(&s, true, 2e-3);
        small_finish(&s);
    }
}

/* Of four equal values one gets the gradient, and only one. */
static void test_pool_of_equals(void **state) {
    (void)state;
    struct small_net s;
    begin(&s, 1, 1, 2, 2);
    s.output = nn_pool(&s.net, s.input);
    small_bind(&s);
    for (int i = 0; i < 4; i++) {
        s.values[i] = 0.5f;
    }
    s.pull[0] = 3;
    small_backward(&s);
    assert_true(s.value_gradients[0] == 3);
    assert_true(s.value_gradients[1] == 0 && s.value_gradients[2] == 0 &&
                s.value_gradients[3] == 0);
    small_finish(&s);
}

static double nearest(const struct small_net *s, int n, int c, int y, int x) {
    return input_at(s, n, c, y / 2, x / 2);
}

static void test_upsample(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct small_net s;
        begin(&s, 2, channels[i], 3, 5);
        s.output = nn_upsample(&s.net, s.input);
        small_bind(&s);
        check_values(&s, nearest);
        small_check(&s, false, 2e-3);
        small_finish(&s);
    }
}

static double product(const struct small_net *s, int n, int c, int y, int x) {
    const double v = input_at(s, n, c, y, x);
    return v * cos(v);
}

static void test_cosine(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct small_net s;
        begin(&s, 2, channels[i], 3, 5);
        s.output = nn_cosine(&s.net, s.input);
        small_bind(&s);
        for (int k = 0; k < s.inputs; k++) {
            s.values[k] *= 4;
        }
        check_values(&s, product);
        small_check(&s, false, 5e-3);
        small_finish(&s);
    }
}

static double mixed(const struct small_net *s, int n, int c, int y, int x) {
    const double a = input_at(s, n, c, y, x), b = input_at(s, n, c, 2 * (y / 2), 2 * (x / 2));
    double most = b;
    for (int k = 0; k < 4; k++) {
        most = fmax(most, input_at(s, n, c, 2 * (y / 2) + k / 2, 2 * (x / 2) + k % 2));
    }
    return a + 0.3 * (most - a);
}

static void test_blend(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct small_net s;
        begin(&s, 2, channels[i], 4, 2);
        struct nn_tensor *coarse = nn_upsample(&s.net, nn_pool(&s.net, s.input));
        s.output = nn_blend(&s.net, s.input, coarse);
        s.net.fade = 0.3f;
        small_bind(&s);
        check_values(&s, mixed);
        small_check(&s, true, 2e-3);
        small_finish(&s);
    }
}

/* A dense layer with its activation, to a vector and to blocks. */
static void test_dense_with_activation(void **state) {
    (void)state;
    for (int size = 0; size <= 3; size += 3) {
        struct small_net s;
        begin(&s, 3, 5, 4, 4);
        const int area = size ? size * size : 1;
        nn_layout_dense(&s.params.layout, "one", 7, 5 * 16);
        nn_layout_dense(&s.params.layout, "two", 6 * area, 7);
        struct nn_tensor *x = nn_dense(
            &s.net, s.input, nn_params_layer(&s.params, "one", NN_ROWS_PLAIN, 4), 7, 0, 0.2f);
        struct nn_weight *two = nn_params_layer(
            &s.params, "two", size ? NN_ROWS_VECTOR : NN_ROWS_PLAIN, size ? size : 1);
        s.output = nn_dense(&s.net, x, two, 6, size, 0.2f);
        small_bind(&s);
        small_check(&s, true, 4e-3);
        int below = 0;
        small_forward(&s);
        const float *out = nn_net_at(&s.net, x->value);
        for (int k = 0; k < 3 * 7; k++) {
            double sum = (double)s.flat[7 * 80 + k % 7];
            for (int c = 0; c < 80; c++) {
                sum += (double)s.flat[k % 7 * 80 + c] * (double)s.values[k / 7 * 80 + c];
            }
            below += sum < 0;
            ASSERT_NEAR((double)out[k], sum > 0 ? sum : 0.2 * sum, 1e-5);
        }
        assert_true(below > 0);
        small_finish(&s);
    }
}

/* Four readers of one tensor: all their gradients count. */
static void test_many_readers(void **state) {
    (void)state;
    struct small_net s;
    begin(&s, 2, 6, 2, 2);
    struct nn_tensor *x = layer(&s, s.input, "one", 5);
    struct nn_tensor *a = layer(&s, x, "a", 5), *b = layer(&s, x, "b", 5),
                     *c = nn_cosine(&s.net, x);
    s.output = nn_concat(&s.net, nn_concat(&s.net, a, b), nn_concat(&s.net, c, x));
    small_bind(&s);
    small_check(&s, false, 3e-3);
    small_finish(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_concat),       cmocka_unit_test(test_stack_and_part),
        cmocka_unit_test(test_pool),         cmocka_unit_test(test_pool_of_equals),
        cmocka_unit_test(test_upsample),     cmocka_unit_test(test_cosine),
        cmocka_unit_test(test_blend),        cmocka_unit_test(test_dense_with_activation),
        cmocka_unit_test(test_many_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
