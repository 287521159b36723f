#include "kernels/nn/optimizer.h"

#include <math.h>
#include <string.h>

#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "tests/support/check.h"

enum { COUNT = 20011 };

struct buffers {
    float *w, *m, *v, *average, *g;
};

static float value(uint32_t stream, int i) {
    uint32_t words[4];
    us_philox(5, stream, 0, (uint64_t)i, words);
    return 2 * us_philox_unit(words[0]) - 1;
}

static struct buffers make(void) {
    struct buffers b;
    float **all[] = {&b.w, &b.m, &b.v, &b.average, &b.g};
    for (int k = 0; k < 5; k++) {
        *all[k] = us_nn_alloc(COUNT * sizeof(float));
    }
    for (int i = 0; i < COUNT; i++) {
        b.w[i] = b.average[i] = value(1, i);
        b.g[i] = 0.1f * value(2, i);
    }
    return b;
}

static void finish(struct buffers *b) {
    us_nn_free(b->w);
    us_nn_free(b->m);
    us_nn_free(b->v);
    us_nn_free(b->average);
    us_nn_free(b->g);
}

static void step(const struct us_nn_optimizer *o, struct buffers *b, uint64_t number) {
    const struct us_nn_optimizer_state state = {.parameters = b->w,
                                                .moment1 = b->m,
                                                .moment2 = b->v,
                                                .average = o->average_decay > 0 ? b->average : NULL,
                                                .gradients = b->g,
                                                .count = COUNT};
    us_nn_optimizer_step(o, &state, number, us_nn_sum_of_squares(b->g, COUNT), 9);
}

/* Random123's known answers for Philox4x32-10. */
static void test_philox_known_answers(void **state) {
    (void)state;
    const uint32_t zeros[4] = {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u};
    const uint32_t ones[4] = {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu};
    uint32_t out[4];
    us_philox(0, 0, 0, 0, out);
    assert_memory_equal(out, zeros, sizeof out);
    us_philox(UINT64_MAX, UINT32_MAX, UINT64_MAX, UINT64_MAX, out);
    assert_memory_equal(out, ones, sizeof out);
}

static void test_adam_is_its_definition(void **state) {
    (void)state;
    struct us_nn_optimizer o = us_nn_optimizer_usual(US_NN_ADAM);
    o.rate = 0.01f;
    o.average_decay = 0.9f;
    struct buffers b = make();
    double w[COUNT], m[COUNT] = {0}, v[COUNT] = {0}, average[COUNT];
    for (int i = 0; i < COUNT; i++) {
        w[i] = average[i] = (double)value(1, i);
    }
    for (int t = 1; t <= 3; t++) {
        step(&o, &b, (uint64_t)t);
        for (int i = 0; i < COUNT; i++) {
            const double g = (double)b.g[i];
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            w[i] -= 0.01 * m[i] / (1 - pow(0.9, t)) / (sqrt(v[i] / (1 - pow(0.999, t))) + 1e-8);
            average[i] = 0.9 * average[i] + 0.1 * w[i];
        }
    }
    for (int i = 0; i < COUNT; i++) {
        ASSERT_NEAR((double)b.w[i], w[i], 1e-5);
        ASSERT_NEAR((double)b.average[i], average[i], 1e-5);
    }
    finish(&b);
}

static void test_adabelief_is_its_definition(void **state) {
    (void)state;
    struct us_nn_optimizer o = us_nn_optimizer_usual(US_NN_ADABELIEF);
    o.rate = 0.001f;
    struct buffers b = make();
    double w[COUNT], m[COUNT] = {0}, v[COUNT] = {0};
    for (int i = 0; i < COUNT; i++) {
        w[i] = (double)value(1, i);
    }
    for (int t = 1; t <= 3; t++) {
        step(&o, &b, (uint64_t)t);
        for (int i = 0; i < COUNT; i++) {
            const double g = (double)b.g[i];
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * (g - m[i]) * (g - m[i]);
            w[i] -= 0.001 * m[i] / (sqrt(v[i]) + 1e-6);
        }
    }
    for (int i = 0; i < COUNT; i++) {
        ASSERT_NEAR((double)b.w[i], w[i], 1e-5);
    }
    finish(&b);
}

static void test_clipping_scales_the_gradient(void **state) {
    (void)state;
    struct us_nn_optimizer o = us_nn_optimizer_usual(US_NN_ADAM);
    o.clip_norm = 0.5f;
    struct buffers b = make();
    const double norm = sqrt(us_nn_sum_of_squares(b.g, COUNT));
    assert_true(norm > 1);
    step(&o, &b, 1);
    for (int i = 0; i < COUNT; i++) {
        ASSERT_NEAR((double)b.m[i], 0.1 * (double)b.g[i] * 0.5 / norm, 1e-6);
    }
    finish(&b);
}

static void test_dropout_moves_a_share_of_the_weights(void **state) {
    (void)state;
    struct us_nn_optimizer o = us_nn_optimizer_usual(US_NN_ADABELIEF);
    o.rate_dropout = 0.3f;
    o.rate = 0.01f;
    struct buffers b = make(), again = make();
    step(&o, &b, 1);
    step(&o, &again, 1);
    assert_memory_equal(b.w, again.w, COUNT * sizeof(float));
    size_t moved = 0;
    for (int i = 0; i < COUNT; i++) {
        moved += b.w[i] != value(1, i) ? 1 : 0;
    }
    assert_in_range(moved, (size_t)COUNT * 28 / 100, (size_t)COUNT * 32 / 100);
    finish(&again);
    again = make();
    step(&o, &again, 2);
    assert_memory_not_equal(b.w, again.w, COUNT * sizeof(float));
    struct buffers middle = make();
    step(&o, &middle, 250); /* the rate's cosine is at its end */
    for (int i = 0; i < COUNT; i++) {
        ASSERT_NEAR((double)middle.w[i], (double)value(1, i), 1e-6);
    }
    finish(&b);
    finish(&again);
    finish(&middle);
}

static void test_one_bad_gradient_shows_in_the_sum(void **state) {
    (void)state;
    struct buffers b = make();
    double wanted = 0;
    for (int i = 0; i < COUNT; i++) {
        wanted += (double)b.g[i] * (double)b.g[i];
    }
    ASSERT_NEAR(us_nn_sum_of_squares(b.g, COUNT), wanted, 1e-5);
    const int places[] = {0, 8191, 8192, 12345, COUNT - 1};
    for (int i = 0; i < 5; i++) {
        const float kept = b.g[places[i]];
        b.g[places[i]] = NAN;
        assert_true(!isfinite(us_nn_sum_of_squares(b.g, COUNT)));
        b.g[places[i]] = -INFINITY;
        assert_true(!isfinite(us_nn_sum_of_squares(b.g, COUNT)));
        b.g[places[i]] = kept;
    }
    finish(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_adam_is_its_definition),
        cmocka_unit_test(test_adabelief_is_its_definition),
        cmocka_unit_test(test_clipping_scales_the_gradient),
        cmocka_unit_test(test_dropout_moves_a_share_of_the_weights),
        cmocka_unit_test(test_one_bad_gradient_shows_in_the_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
