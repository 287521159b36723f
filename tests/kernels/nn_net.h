/* A network of one or a few operations for tests: every byte that an operation should write is NaN
 * before it runs, and every gradient is compared with differences of the forward pass. */
#ifndef US_TESTS_KERNELS_NN_NET_H
#define US_TESTS_KERNELS_NN_NET_H

#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/nn/arch_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/ops_internal.h"
#include "kernels/nn/philox.h"
#include "tests/support/check.h"

struct small_net {
    struct nn_params params;
    struct nn_net net;
    struct nn_tensor *input, *output;
    float *weights, *gradients;      /* arenas */
    float *flat, *flat_gradients;    /* canonical */
    float *values, *value_gradients; /* of the input, [n][c][h][w] */
    float *pull;                     /* dL/doutput: L = sum(pull * output) */
    int inputs, outputs;             /* how many values */
};

static float random_value(uint32_t stream, int index) {
    uint32_t words[4];
    us_philox(7, stream, 0, (uint64_t)index, words);
    return 2 * us_philox_unit(words[0]) - 1;
}

static float *random_values(uint32_t stream, int count) {
    float *values = us_nn_alloc((size_t)count * sizeof *values);
    for (int i = 0; i < count; i++) {
        values[i] = random_value(stream, i);
    }
    return values;
}

/* Where the canonical element `index` of a tensor lies. */
static size_t place_of(const struct small_net *s, const struct nn_tensor *t, int index) {
    const int x = index % t->w, y = index / t->w % t->h, c = index / (t->w * t->h) % t->c;
    const int n = index / (t->w * t->h * t->c), block = s->params.block;
    if (t->format != NN_BLOCKED) {
        return (size_t)index;
    }
    return (size_t)((((n * (t->padded / block) + c / block) * t->h + y) * t->w + x) * block +
                    c % block);
}

static void scatter(struct small_net *s, const struct nn_tensor *t, struct nn_ref ref,
                    const float *values) {
    float *to = nn_net_at(&s->net, ref);
    memset(to, 0, nn_tensor_elements(t) * sizeof *to);
    for (int i = 0; i < t->n * t->c * t->h * t->w; i++) {
        to[place_of(s, t, i)] = values[i];
    }
}

static void small_begin(struct small_net *s) {
    const struct us_nn_arch any = {.family = US_NN_DF,
                                   .resolution = 32,
                                   .ae_dims = 4,
                                   .e_dims = 4,
                                   .d_dims = 4,
                                   .d_mask_dims = 4};
    omp_set_num_threads(1);
    memset(s, 0, sizeof *s);
    assert_int_equal(nn_params_init(&s->params, &any), US_NN_OK);
    s->params.layout.slice_count = 0;
    s->params.layout.count = 0;
    nn_net_init(&s->net, &s->params, true, false);
}

/* The graph is complete: s->input, s->output are set. */
static void small_bind(struct small_net *s) {
    assert_non_null(s->output);
    nn_net_use_value(&s->net, s->input, 0);
    nn_net_use_value(&s->net, s->input, NN_PLAN_END);
    nn_net_use_value(&s->net, s->output, NN_PLAN_END);
    for (int i = 0; i < s->input->grad_count; i++) {
        nn_plan_use(&s->net.plan, s->input->grads[i].buffer, NN_PLAN_END);
    }
    if (s->output->grad_count == 0) {
        nn_net_claim(&s->net, s->output, NN_LOSS_MOMENT, NULL);
    }
    const size_t arena = s->params.arena_count * sizeof(float) + 64;
    s->weights = us_nn_alloc(arena);
    s->gradients = us_nn_alloc(arena);
    assert_int_equal(nn_net_bind(&s->net, s->weights, s->gradients), US_NN_OK);
    assert_int_equal(nn_params_make_masks(&s->params), US_NN_OK);
    s->inputs = s->input->n * s->input->c * s->input->h * s->input->w;
    s->outputs = s->output->n * s->output->c * s->output->h * s->output->w;
    const int count = (int)s->params.layout.count;
    s->flat = random_values(1, count + 1);
    s->flat_gradients = random_values(2, count + 1);
    s->values = random_values(3, s->inputs);
    s->value_gradients = random_values(4, s->inputs);
    s->pull = random_values(5, s->outputs);
}

static void small_finish(struct small_net *s) {
    nn_net_finish(&s->net);
    nn_params_finish(&s->params);
    float *blocks[] = {s->weights, s->gradients, s->flat,           s->flat_gradients,
                       s->values,  s->pull,      s->value_gradients};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        us_nn_free(blocks[i]);
    }
}

static double small_forward(struct small_net *s) {
    memset(s->net.arena, 0xFF, s->net.plan.size);
    assert_int_equal(nn_params_import(&s->params, s->flat, s->weights), US_NN_OK);
    scatter(s, s->input, s->input->value, s->values);
    assert_int_equal(nn_net_forward(&s->net, NN_ALL_SIDES), US_NN_OK);
    const float *out = nn_net_at(&s->net, s->output->value);
    double sum = 0;
    for (int i = 0; i < s->outputs; i++) {
        sum += (double)s->pull[i] * (double)out[place_of(s, s->output, i)];
    }
    assert_true(isfinite(sum));
    return sum;
}

static void small_backward(struct small_net *s) {
    small_forward(s);
    scatter(s, s->output, s->output->grads[0], s->pull);
    if (s->params.arena_count) {
        memset(s->gradients, 0xFF, s->params.arena_count * sizeof *s->gradients);
    }
    assert_int_equal(nn_net_backward(&s->net), US_NN_OK);
    assert_int_equal(nn_params_export(&s->params, s->gradients, s->flat_gradients), US_NN_OK);
    for (int i = 0; i < s->inputs; i++) {
        s->value_gradients[i] = 0;
        for (int g = 0; g < s->input->grad_count; g++) {
            const float *from = nn_net_at(&s->net, s->input->grads[g]);
            s->value_gradients[i] += from[place_of(s, s->input, i)];
        }
    }
}

static double difference(struct small_net *s, float *at, float step, double middle, double *bend) {
    const float kept = *at;
    *at = kept + step;
    const double above = small_forward(s);
    *at = kept - step;
    const double below = small_forward(s);
    *at = kept;
    *bend = fabs(above + below - 2 * middle) / (double)step;
    return (above - below) / (2 * (double)step);
}

/* Central differences of `at`; elements near a kink of a leaky ReLU (`kinks`) are passed over. */
static void compare(struct small_net *s, float *at, const float *gradient, int count, bool kinks,
                    double tolerance) {
    const int stride = count > 60 ? count / 60 : 1;
    const double middle = small_forward(s);
    int compared = 0, tried = 0;
    for (int i = 0; i < count; i += stride) {
        double bend, narrow_bend;
        const double wide = difference(s, at + i, 0.02f, middle, &bend);
        const double narrow = difference(s, at + i, 0.01f, middle, &narrow_bend);
        tried++;
        if (kinks && (bend > 1e-3 || narrow_bend > 1e-3 || fabs(wide - narrow) > 1e-3)) {
            continue;
        }
        compared++;
        ASSERT_NEAR((double)gradient[i], wide, tolerance);
    }
    assert_true(5 * compared >= tried);
}

__attribute__((unused)) static void small_check(struct small_net *s, bool kinks, double tolerance) {
    small_backward(s);
    compare(s, s->values, s->value_gradients, s->inputs, kinks, tolerance);
    compare(s, s->flat, s->flat_gradients, (int)s->params.layout.count, kinks, tolerance);
}

#endif
