#include "kernels/nn/judge_internal.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/nn/adversarial_loss.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "tests/support/check.h"

enum { SIZE = 16, COUNT = SIZE * SIZE };

static float number(uint32_t stream, int index) {
    uint32_t words[4];
    us_philox(5, stream, 0, (uint64_t)index, words);
    return 2 * us_philox_unit(words[0]) - 1;
}

static void cross_entropy_is_that_of_float64(void **state) {
    (void)state;
    float logits[64], gradient[64];
    for (int t = 0; t < 2; t++) {
        double wanted = 0;
        for (int i = 0; i < 64; i++) {
            logits[i] = i == 0 ? 90 : i == 1 ? -90 : 8 * number(1, i);
            const double p = 1 / (1 + exp(-(double)logits[i]));
            wanted += i == 0 ? (t ? 0 : 90) : i == 1 ? (t ? 90 : 0) : -(t ? log(p) : log(1 - p));
        }
        ASSERT_NEAR(nn_cross_entropy(logits, 64, (float)t, 0.5f, gradient), wanted, 1e-6);
        for (int i = 0; i < 64; i++) {
            const double p = 1 / (1 + exp(-(double)logits[i]));
            assert_true(fabs((double)gradient[i] - 0.5 * (p - t)) < 1e-6);
        }
        assert_true(nn_cross_entropy(logits, 64, (float)t, 1, NULL) == wanted || isfinite(wanted));
    }
}

/* loss(x) by the definition, in double. */
static double variation_of(const float *x) {
    double sum = 0;
    for (int y = 0; y < SIZE; y++) {
        for (int c = 0; c < SIZE; c++) {
            const double here = (double)x[y * SIZE + c];
            const double right = c + 1 < SIZE ? (double)x[y * SIZE + c + 1] - here : 0;
            const double below = y + 1 < SIZE ? (double)x[(y + 1) * SIZE + c] - here : 0;
            sum += right * right + below * below;
        }
    }
    return sum;
}

static float target[COUNT], mask[COUNT];

static double outside_of(const float *x) {
    double sum = 0;
    for (int i = 0; i < COUNT; i++) {
        const double d = (1 - (double)mask[i]) * ((double)x[i] - (double)target[i]);
        sum += d * d;
    }
    return sum;
}

static double variation(const float *x, float *gradient) {
    return nn_total_variation(x, SIZE, 3, gradient);
}

static double outside(const float *x, float *gradient) {
    return nn_outside_error(x, target, mask, COUNT, 3, gradient);
}

static void check_pixels(double (*made)(const float *, float *), double (*wanted)(const float *)) {
    float x[COUNT], gradient[COUNT];
    for (int i = 0; i < COUNT; i++) {
        x[i] = number(2, i);
        target[i] = number(3, i);
        mask[i] = 0.5f + 0.5f * number(4, i);
        gradient[i] = 7; /* added to */
    }
    ASSERT_NEAR(made(x, gradient), wanted(x), 1e-6);
    for (int i = 0; i < COUNT; i += 3) {
        const float kept = x[i];
        x[i] = kept + 0.01f;
        const double above = wanted(x), at = (double)x[i];
        x[i] = kept - 0.01f;
        const double slope = (above - wanted(x)) / (at - (double)x[i]);
        x[i] = kept;
        ASSERT_NEAR((double)gradient[i] - 7, 3 * slope, 1e-3);
    }
}

static void pixel_losses_are_those_of_float64(void **state) {
    (void)state;
    check_pixels(variation, variation_of);
    check_pixels(outside, outside_of);
}

static void the_receptive_field_is_the_nearest(void **state) {
    (void)state;
    int strides[NN_PATCH_LAYERS];
    static const struct {
        int size, patch, field;
    } cases[] = {{256, 32, 31}, {64, 8, 7}, {32, 4, 3}, {640, 80, 79}, {128, 16, 15}, {32, 3, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int count = nn_patch_strides(cases[i].size, cases[i].patch, strides);
        int halved = cases[i].size;
        for (int k = 0; k < count; k++) {
            assert_int_equal(halved % strides[k], 0);
            halved /= strides[k];
        }
        const int field = nn_receptive_field(strides, count);
        assert_in_range(field, cases[i].field - 2, cases[i].field + 2);
    }
}

struct judged {
    struct nn_judge judge;
    float *flat, *flat_gradients;
};

static struct judged *make_judge(bool code, int c, int size, int patch, int dims, int batch) {
    struct judged *j = us_nn_alloc(sizeof *j);
    struct nn_judge_graph graph;
    omp_set_num_threads(1);
    assert_int_equal(code ? nn_code_judge_graph(c, size, size, &graph)
                          : nn_face_judge_graph(size, patch, dims, &graph),
                     US_NN_OK);
    assert_int_equal(nn_judge_init(&j->judge, &graph, batch), US_NN_OK);
    assert_true(nn_judge_memory(&j->judge) > 0);
    assert_int_equal(nn_judge_allocate(&j->judge, 3), US_NN_OK);
    j->flat = us_nn_alloc(3 * j->judge.params.layout.count * sizeof(float));
    j->flat_gradients = us_nn_alloc(j->judge.params.layout.count * sizeof(float));
    assert_int_equal(nn_judge_read(&j->judge, j->flat), US_NN_OK);
    return j;
}

static void free_judge(struct judged *j) {
    nn_judge_finish(&j->judge);
    us_nn_free(j->flat);
    us_nn_free(j->flat_gradients);
    us_nn_free(j);
}

static size_t values_of(const struct judged *j) {
    return nn_tensor_elements(j->judge.input);
}

/* Everything that a run reads before it writes it is NaN. */
static struct nn_judge_losses run(struct judged *j, const float *values, float power) {
    struct nn_judge_losses losses;
    memset(j->judge.net.arena, 0xFF, j->judge.net.plan.size);
    memcpy(nn_judge_input(&j->judge), values, values_of(j) * sizeof *values);
    nn_judge_begin(&j->judge);
    assert_int_equal(nn_judge_run(&j->judge, j->judge.batch, power, &losses), US_NN_OK);
    assert_true(isfinite(losses.own) && isfinite(losses.made_as_true));
    return losses;
}

static float *values_for(const struct judged *j) {
    float *values = us_nn_alloc(values_of(j) * sizeof *values);
    for (size_t i = 0; i < values_of(j); i++) {
        values[i] = number(9, (int)i);
    }
    return values;
}

static double loss_at(struct judged *j, const float *values, bool own) {
    assert_int_equal(nn_judge_write(&j->judge, j->flat), US_NN_OK);
    const struct nn_judge_losses now = run(j, values, 1);
    return own ? now.own * j->judge.output_count : now.made_as_true;
}

/* *bend: how much the slopes to both sides differ. */
static double slope_at(struct judged *j, const float *values, float *at, bool own, double *bend) {
    const float kept = *at, step = 0.01f;
    const double middle = loss_at(j, values, own);
    *at = kept + step;
    const double above = loss_at(j, values, own);
    *at = kept - step;
    const double below = loss_at(j, values, own);
    *at = kept;
    *bend = fabs(above + below - 2 * middle) / (double)step;
    return (above - below) / (2 * (double)step);
}

/* Weights against the judge's own loss, inputs against what the generator wants; elements near a
 * kink of a leaky ReLU, where the slope bends, are passed over. */
static void check_gradients(struct judged *j) {
    float *values = values_for(j);
    const size_t count = values_of(j), layers = j->judge.params.layout.count;
    float *inputs = us_nn_alloc(count * sizeof *inputs);
    for (size_t i = 0; i < layers; i++) { /* not all biases 0 */
        j->flat[i] += 0.02f * number(11, (int)i);
    }
    loss_at(j, values, true);
    memcpy(inputs, nn_judge_input_gradient(&j->judge), count * sizeof *inputs);
    assert_int_equal(nn_params_export(&j->judge.params, j->judge.sum, j->flat_gradients), US_NN_OK);
    int compared = 0, tried = 0;
    for (int part = 0; part < 2; part++) {
        const size_t all = part ? layers : count;
        for (size_t i = all % 7; i < all; i += all / 40 + 1, tried++) {
            double bend;
            const double slope = slope_at(j, values, part ? &j->flat[i] : &values[i], part, &bend);
            const double got = (double)(part ? j->flat_gradients[i] : inputs[i]);
            if (bend < 1e-4 + 0.05 * fabs(slope)) {
                compared++;
                assert_true(fabs(got - slope) < 1e-4 + 0.05 * fabs(slope));
            }
        }
    }
    assert_true(2 * compared > tried);
    for (size_t i = 0; i < count / 2; i++) { /* what is true is nobody's to change */
        assert_true(inputs[i] == 0);
    }
    us_nn_free(values);
    us_nn_free(inputs);
}

static void gradients_are_those_of_differences(void **state) {
    (void)state;
    struct judged *judges[] = {make_judge(true, 20, 4, 0, 0, 2), make_judge(false, 3, 16, 5, 4, 2),
                               make_judge(false, 3, 16, 12, 5, 1)};
    for (size_t i = 0; i < 3; i++) {
        check_gradients(judges[i]);
        free_judge(judges[i]);
    }
}

static void power_scales_what_the_generator_gets(void **state) {
    (void)state;
    struct judged *j = make_judge(false, 3, 16, 5, 4, 1);
    float *values = values_for(j), first[3 * COUNT];
    const struct nn_judge_losses a = run(j, values, 1);
    memcpy(first, nn_judge_input_gradient(&j->judge) + 3 * COUNT, sizeof first);
    const struct nn_judge_losses b = run(j, values, 0.25f);
    const float *second = nn_judge_input_gradient(&j->judge) + 3 * COUNT;
    assert_true(a.made_as_true == b.made_as_true && a.own == b.own);
    for (int i = 0; i < 3 * COUNT; i++) {
        assert_true(fabsf(second[i] - 0.25f * first[i]) < 1e-7f);
    }
    us_nn_free(values);
    free_judge(j);
}

/* From one half (a coin's guess has a loss of ln 2) to certainty; twice, bit for bit. */
static void a_judge_learns(void **state) {
    (void)state;
    const struct us_nn_optimizer optimizer = {
        .kind = US_NN_ADAM, .rate = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};
    struct judged *judges[2] = {make_judge(false, 3, 16, 5, 4, 2),
                                make_judge(false, 3, 16, 5, 4, 2)};
    double losses[2];
    for (int k = 0; k < 2; k++) {
        float *values = values_for(judges[k]);
        for (size_t i = values_of(judges[k]) / 2; i < values_of(judges[k]); i++) {
            values[i] = 0.3f * sinf(0.05f * (float)i);
        }
        const double before = run(judges[k], values, 1).own;
        assert_true(before > 0.6 && before < 0.9);
        for (uint64_t step = 1; step <= 50; step++) {
            losses[k] = run(judges[k], values, 1).own;
            nn_judge_measure(&judges[k]->judge);
            nn_judge_update(&judges[k]->judge, &optimizer, step);
        }
        assert_true(losses[k] < 0.55);
        us_nn_free(values);
    }
    assert_true(losses[0] == losses[1]);
    const size_t count = 3 * judges[0]->judge.params.layout.count;
    for (int k = 0; k < 2; k++) {
        assert_int_equal(nn_judge_read(&judges[k]->judge, judges[k]->flat), US_NN_OK);
    }
    assert_memory_equal(judges[0]->flat, judges[1]->flat, count * sizeof(float));
    assert_true(judges[0]->flat[count - 1] > 0); /* moments are there too */
    free_judge(judges[0]);
    free_judge(judges[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_entropy_is_that_of_float64),
        cmocka_unit_test(pixel_losses_are_those_of_float64),
        cmocka_unit_test(the_receptive_field_is_the_nearest),
        cmocka_unit_test(gradients_are_those_of_differences),
        cmocka_unit_test(power_scales_what_the_generator_gets),
        cmocka_unit_test(a_judge_learns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
