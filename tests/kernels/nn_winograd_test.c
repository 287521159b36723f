/* Convolutions large enough for Winograd's method, with a residual, against sums in doubles. */
#include "kernels/nn/linear_internal.h"
#include "tests/kernels/nn_net.h"

enum { N = 4, IN = 34, OUT = 37, H = 17, W = 18, K = 3, AREA = H * W };
#define SLOPE 0.2f

struct sums {
    double *input, *weight, bias[OUT];
};

static void make(struct small_net *s) {
    small_begin(s);
    nn_layout_conv(&s->params.layout, "skip", OUT, IN, 1);
    nn_layout_conv(&s->params.layout, "layer", OUT, IN, K);
    s->input = nn_net_tensor(&s->net, NN_BLOCKED, N, IN, H, W, false);
    struct nn_conv_options options = {.stride = 1, .slope = 1};
    struct nn_weight *skip = nn_params_layer(&s->params, "skip", NN_ROWS_PLAIN, 0);
    struct nn_weight *layer = nn_params_layer(&s->params, "layer", NN_ROWS_PLAIN, 0);
    options.residual = nn_conv(&s->net, s->input, skip, &options);
    options.slope = SLOPE;
    s->output = nn_conv(&s->net, s->input, layer, &options);
    for (int g = 0; g < s->input->grad_count; g++) { /* both are read at the end */
        nn_plan_use(&s->net.plan, s->input->grads[g].buffer, NN_PLAN_END);
    }
    small_bind(s);
}

/* What output (n, o, y, x) reads at tap `tap` of the 3 x 3 kernel, or -1. */
static int source_of(int n, int c, int y, int x, int tap) {
    const int yy = y + tap / K - 1, xx = x + tap % K - 1;
    return yy < 0 || yy >= H || xx < 0 || xx >= W ? -1 : ((n * IN + c) * H + yy) * W + xx;
}

static const float *layer_weights(const struct small_net *s) {
    return s->flat + OUT * IN + OUT;
}

static double output_of(const struct small_net *s, int n, int o, int y, int x) {
    const float *skip = s->flat, *layer = layer_weights(s);
    double sum = (double)skip[OUT * IN + o] + (double)layer[OUT * IN * K * K + o];
    for (int c = 0; c < IN; c++) {
        sum += (double)skip[o * IN + c] * (double)s->values[((n * IN + c) * H + y) * W + x];
        for (int tap = 0; tap < K * K; tap++) {
            const int at = source_of(n, c, y, x, tap);
            if (at >= 0) {
                sum += (double)layer[(o * IN + c) * K * K + tap] * (double)s->values[at];
            }
        }
    }
    return sum > 0 ? sum : sum * (double)SLOPE;
}

/* Adds one output's part of all gradients; `g` is the loss's derivative before the leaky ReLU. */
static void add_gradients(const struct small_net *s, int n, int o, int y, int x, double g,
                          struct sums *sums) {
    const float *skip = s->flat, *layer = layer_weights(s);
    sums->bias[o] += g;
    for (int c = 0; c < IN; c++) {
        sums->input[((n * IN + c) * H + y) * W + x] += g * (double)skip[o * IN + c];
        for (int tap = 0; tap < K * K; tap++) {
            const int at = source_of(n, c, y, x, tap), w = (o * IN + c) * K * K + tap;
            if (at >= 0) {
                sums->weight[w] += g * (double)s->values[at];
                sums->input[at] += g * (double)layer[w];
            }
        }
    }
}

static void near_all(const float *values, const double *wanted, int count) {
    double largest = 0;
    for (int i = 0; i < count; i++) {
        largest = fmax(largest, fabs(wanted[i]));
    }
    for (int i = 0; i < count; i++) {
        ASSERT_NEAR((double)values[i], wanted[i], 2e-5 * largest);
    }
}

static void test_forward_and_gradients(void **state) {
    (void)state;
    struct small_net s;
    make(&s);
    if (s.params.block == 16) {
        assert_true(((struct nn_linear *)s.net.ops[1])->bare); /* it is Winograd's method */
    }
    small_backward(&s);
    struct sums sums = {.input = us_nn_alloc((size_t)s.inputs * sizeof(double)),
                        .weight = us_nn_alloc(sizeof(double) * OUT * IN * K * K)};
    double *outputs = us_nn_alloc((size_t)s.outputs * sizeof *outputs);
    float *made = us_nn_alloc((size_t)s.outputs * sizeof *made);
    for (int i = 0; i < s.outputs; i++) {
        const int x = i % W, y = i / W % H, o = i / AREA % OUT, n = i / (AREA * OUT);
        outputs[i] = output_of(&s, n, o, y, x);
        made[i] = ((float *)nn_net_at(&s.net, s.output->value))[place_of(&s, s.output, i)];
        add_gradients(&s, n, o, y, x, (double)s.pull[i] * (outputs[i] > 0 ? 1 : (double)SLOPE),
                      &sums);
    }
    const float *gradients = s.flat_gradients + OUT * IN + OUT;
    near_all(made, outputs, s.outputs);
    near_all(s.value_gradients, sums.input, s.inputs);
    near_all(gradients, sums.weight, OUT * IN * K * K);
    near_all(gradients + OUT * IN * K * K, sums.bias, OUT);
    us_nn_free(sums.input);
    us_nn_free(sums.weight);
    us_nn_free(outputs);
    us_nn_free(made);
    small_finish(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forward_and_gradients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
