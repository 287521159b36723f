#include <math.h>
#include <string.h>

#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "kernels/nn/trainer_internal.h"
#include "tests/support/check.h"

enum { SIZE = 32, FACES = 2 };

static float *picture(int planes, uint32_t stream) {
    float *values = us_nn_alloc((size_t)(planes * SIZE * SIZE) * sizeof *values);
    for (int i = 0; i < planes * SIZE * SIZE; i++) {
        uint32_t words[4];
        us_philox(3, stream, 0, (uint64_t)i, words);
        const float wave = sinf((float)(i % SIZE) * 0.2f + (float)(i / SIZE) * 0.13f);
        values[i] = 0.5f + 0.3f * wave + 0.1f * (us_philox_unit(words[0]) - 0.5f);
    }
    return values;
}

static struct us_nn_batch batch;

static int set_up(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        batch.faces[i].inputs = picture(3 * FACES, 10 + i);
        batch.faces[i].targets = picture(3 * FACES, 20 + i);
        batch.faces[i].masks = picture(FACES, 30 + i);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        us_nn_free((float *)batch.faces[i].inputs);
        us_nn_free((float *)batch.faces[i].targets);
        us_nn_free((float *)batch.faces[i].masks);
    }
    return 0;
}

static struct us_nn_trainer_config config_of(float true_face, float gan) {
    struct us_nn_trainer_config config = {
        .arch = {.resolution = SIZE, .ae_dims = 5, .e_dims = 6, .d_dims = 7, .d_mask_dims = 5},
        .optimizer = us_nn_optimizer_usual(US_NN_ADAM),
        .loss = us_nn_loss_usual(),
        .adversaries = {.true_face = true_face, .gan = gan, .gan_dims = 5},
        .batch = FACES,
        .threads = 1,
        .seed = 11,
    };
    config.optimizer.rate = 1e-3f;
    assert_true(us_nn_arch_parse("df-ud", &config.arch));
    return config;
}

static struct us_nn_trainer *create(const struct us_nn_trainer_config *config) {
    struct us_nn_trainer *trainer;
    assert_int_equal(us_nn_trainer_create(config, &trainer), US_NN_OK);
    return trainer;
}

static float *read_buffer(const struct us_nn_trainer *trainer, enum us_nn_buffer buffer) {
    float *flat = us_nn_alloc(us_nn_trainer_layout(trainer)->count * sizeof *flat);
    assert_int_equal(us_nn_trainer_read(trainer, buffer, flat), US_NN_OK);
    return flat;
}

static void poison(struct us_nn_trainer *trainer) {
    struct nn_cpu_trainer *t = (struct nn_cpu_trainer *)trainer;
    memset(t->net.net.arena, 0xFF, t->net.net.plan.size);
    for (int i = 0; i < NN_JUDGES; i++) {
        if (t->adversary.judges[i]) {
            memset(t->adversary.judges[i]->net.arena, 0xFF, t->adversary.judges[i]->net.plan.size);
        }
    }
}

static struct us_nn_losses gradients_of(struct us_nn_trainer *trainer) {
    struct us_nn_losses losses;
    poison(trainer);
    assert_int_equal(us_nn_trainer_gradients(trainer, &batch, &losses), US_NN_OK);
    return losses;
}

static double total_at(struct us_nn_trainer *trainer, const float *flat) {
    assert_int_equal(us_nn_trainer_write(trainer, US_NN_PARAMETERS, flat), US_NN_OK);
    return gradients_of(trainer).total;
}

/* The autoencoder's gradient, through both judges, against differences of the whole loss. */
static void check_gradients(float true_face, float gan) {
    const struct us_nn_trainer_config config = config_of(true_face, gan);
    struct us_nn_trainer *trainer = create(&config);
    const size_t count = us_nn_trainer_layout(trainer)->count;
    float *flat = read_buffer(trainer, US_NN_PARAMETERS);
    const double middle = total_at(trainer, flat);
    float *gradients = read_buffer(trainer, US_NN_GRADIENTS);
    int compared = 0, tried = 0;
    for (size_t i = 3; i < count; i += count / 60, tried++) {
        const float kept = flat[i], step = 0.01f;
        flat[i] = kept + step;
        const double above = total_at(trainer, flat);
        flat[i] = kept - step;
        const double below = total_at(trainer, flat);
        flat[i] = kept;
        const double slope = (above - below) / (2 * (double)step);
        if (fabs(above + below - 2 * middle) / (double)step < 2e-3 + 0.05 * fabs(slope)) {
            compared++;
            ASSERT_NEAR((double)gradients[i], slope, 0.05 * fabs(slope) + 2e-3);
        }
    }
    assert_true(2 * compared > tried);
    us_nn_free(flat);
    us_nn_free(gradients);
    us_nn_trainer_destroy(trainer);
}

static void gradients_are_those_of_differences(void **state) {
    (void)state;
    check_gradients(3, 0);
    check_gradients(0, 2);
    check_gradients(0.5f, 0.5f);
}

static void without_them_nothing_changes(void **state) {
    (void)state;
    const struct us_nn_trainer_config off = config_of(0, 0);
    struct us_nn_trainer_config plain = off;
    plain.adversaries = (struct us_nn_adversaries){0};
    struct us_nn_trainer *trainers[2] = {create(&off), create(&plain)};
    float *flats[2];
    for (int i = 0; i < 2; i++) {
        struct us_nn_losses losses;
        assert_int_equal(us_nn_trainer_judge_count(trainers[i]), 0);
        for (int step = 0; step < 3; step++) {
            assert_int_equal(us_nn_trainer_step(trainers[i], &batch, &losses), US_NN_OK);
        }
        assert_true(losses.faces[0].adversarial == 0 && losses.faces[1].judge == 0);
        flats[i] = read_buffer(trainers[i], US_NN_PARAMETERS);
    }
    assert_memory_equal(flats[0], flats[1],
                        us_nn_trainer_layout(trainers[0])->count * sizeof(float));
    for (int i = 0; i < 2; i++) {
        us_nn_free(flats[i]);
        us_nn_trainer_destroy(trainers[i]);
    }
}

/* Fifty steps; the judges' mean losses over the last ten. still: the autoencoder stays as it is. */
static void fifty(bool still, struct us_nn_losses *first, struct us_nn_losses *last,
                  double judges[2]) {
    struct us_nn_trainer_config config = config_of(0.05f, 0.1f);
    config.optimizer.rate *= still ? 4 : 1;
    struct us_nn_trainer *trainer = create(&config);
    float *flat = read_buffer(trainer, US_NN_PARAMETERS);
    judges[0] = judges[1] = 0;
    for (int step = 0; step < 50; step++) {
        assert_int_equal(us_nn_trainer_step(trainer, &batch, step ? last : first), US_NN_OK);
        for (int i = 0; i < 2 && step >= 40; i++) {
            judges[i] += last->faces[i].judge / 10;
        }
        if (still) {
            assert_int_equal(us_nn_trainer_write(trainer, US_NN_PARAMETERS, flat), US_NN_OK);
        }
    }
    us_nn_free(flat);
    us_nn_trainer_destroy(trainer);
}

static void it_trains_on(void **state) {
    (void)state;
    struct us_nn_losses first, last;
    double judges[2];
    fifty(false, &first, &last, judges);
    const struct us_nn_loss_terms *before = &first.faces[0], *after = &last.faces[0];
    assert_true(before->adversarial > 0 && first.faces[1].adversarial > 0);
    ASSERT_NEAR(before->total,
                before->dssim + before->square + before->absolute + before->mask +
                    before->adversarial,
                1e-9);
    assert_true(after->square + after->dssim < 0.6 * (before->square + before->dssim));
    for (int i = 0; i < 2; i++) {
        assert_true(judges[i] > 0.2 && judges[i] < 1.2);
    }
}

/* Of what does not change, judges know more than a coin. */
static void judges_learn(void **state) {
    (void)state;
    struct us_nn_losses first, last;
    double judges[2];
    fifty(true, &first, &last, judges);
    assert_true(judges[0] < 0.65 && judges[1] < 0.65);
}

/* Everything but the steps, from one trainer to another. */
static void hand_over(const struct us_nn_trainer *from, struct us_nn_trainer *to) {
    static const enum us_nn_buffer buffers[] = {US_NN_PARAMETERS, US_NN_MOMENT1, US_NN_MOMENT2};
    for (int i = 0; i < 3; i++) {
        float *flat = read_buffer(from, buffers[i]);
        assert_int_equal(us_nn_trainer_write(to, buffers[i], flat), US_NN_OK);
        us_nn_free(flat);
    }
    const size_t count = us_nn_trainer_judge_count(from);
    float *judges = us_nn_alloc(count * sizeof *judges);
    assert_true(count > 0 && count == us_nn_trainer_judge_count(to));
    assert_int_equal(us_nn_trainer_read_judges(from, judges), US_NN_OK);
    assert_int_equal(us_nn_trainer_write_judges(to, judges), US_NN_OK);
    us_nn_trainer_set_steps(to, us_nn_trainer_steps(from));
    us_nn_free(judges);
}

static void train(struct us_nn_trainer *trainer, int steps) {
    for (int step = 0; step < steps; step++) {
        struct us_nn_losses losses;
        assert_int_equal(us_nn_trainer_step(trainer, &batch, &losses), US_NN_OK);
    }
}

static void same_state(const struct us_nn_trainer *a, const struct us_nn_trainer *b) {
    const size_t count = us_nn_trainer_judge_count(a);
    float *left = read_buffer(a, US_NN_PARAMETERS), *right = read_buffer(b, US_NN_PARAMETERS);
    assert_memory_equal(left, right, us_nn_trainer_layout(a)->count * sizeof *left);
    us_nn_free(left);
    us_nn_free(right);
    left = us_nn_alloc(count * sizeof *left);
    right = us_nn_alloc(count * sizeof *right);
    assert_int_equal(us_nn_trainer_read_judges(a, left), US_NN_OK);
    assert_int_equal(us_nn_trainer_read_judges(b, right), US_NN_OK);
    assert_memory_equal(left, right, count * sizeof *left);
    us_nn_free(left);
    us_nn_free(right);
}

static void a_state_handed_over_goes_on_with_the_same_bits(void **state) {
    (void)state;
    const struct us_nn_trainer_config config = config_of(0.05f, 0.1f);
    struct us_nn_trainer *whole = create(&config), *other = create(&config);
    struct us_nn_trainer *fresh = create(&config);
    train(whole, 3);
    train(other, 1); /* whose judges are something else by now */
    hand_over(whole, other);
    train(whole, 3);
    train(other, 3);
    same_state(whole, other);
    assert_int_equal(us_nn_trainer_write_judges(other, NULL), US_NN_OK);
    const size_t count = us_nn_trainer_judge_count(fresh);
    float *left = us_nn_alloc(count * sizeof *left), *right = us_nn_alloc(count * sizeof *right);
    assert_int_equal(us_nn_trainer_read_judges(fresh, left), US_NN_OK);
    assert_int_equal(us_nn_trainer_read_judges(other, right), US_NN_OK);
    assert_memory_equal(left, right, count * sizeof *left);
    us_nn_free(left);
    us_nn_free(right);
    us_nn_trainer_destroy(whole);
    us_nn_trainer_destroy(other);
    us_nn_trainer_destroy(fresh);
}

/* Two passes of one face each make the gradients of one pass of two. */
static void passes_add_up(void **state) {
    (void)state;
    const struct us_nn_trainer_config at_once = config_of(0.5f, 0.5f);
    struct us_nn_trainer_config in_passes = at_once;
    in_passes.pass = 1;
    struct us_nn_trainer *trainers[2] = {create(&at_once), create(&in_passes)};
    struct us_nn_losses losses[2];
    float *flats[2];
    for (int i = 0; i < 2; i++) {
        losses[i] = gradients_of(trainers[i]);
        flats[i] = read_buffer(trainers[i], US_NN_GRADIENTS);
    }
    ASSERT_NEAR(losses[0].total, losses[1].total, 1e-5);
    ASSERT_NEAR(losses[0].faces[0].judge, losses[1].faces[0].judge, 1e-5);
    for (size_t i = 0; i < us_nn_trainer_layout(trainers[0])->count; i += 7) {
        ASSERT_NEAR((double)flats[0][i], (double)flats[1][i], 1e-4);
    }
    for (int k = 0; k < NN_JUDGES; k++) {
        const struct nn_judge *a = ((struct nn_cpu_trainer *)trainers[0])->adversary.judges[k];
        const struct nn_judge *b = ((struct nn_cpu_trainer *)trainers[1])->adversary.judges[k];
        ASSERT_NEAR(a->square_sum, b->square_sum, 1e-3 * b->square_sum);
    }
    for (int i = 0; i < 2; i++) {
        us_nn_free(flats[i]);
        us_nn_trainer_destroy(trainers[i]);
    }
}

static void their_memory_is_counted_and_bad_ones_refused(void **state) {
    (void)state;
    struct us_nn_trainer_config off = config_of(0, 0), on = config_of(0.05f, 0.1f);
    size_t without, with;
    assert_int_equal(us_nn_trainer_memory(&off, &without), US_NN_OK);
    assert_int_equal(us_nn_trainer_memory(&on, &with), US_NN_OK);
    struct us_nn_trainer *trainer = create(&on);
    const struct nn_cpu_trainer *t = (struct nn_cpu_trainer *)trainer;
    size_t judges = 0;
    for (int i = 0; i < NN_JUDGES; i++) {
        judges += 5 * t->adversary.judges[i]->params.arena_count * sizeof(float) +
                  t->adversary.judges[i]->net.plan.size;
    }
    assert_true(with > without + judges && with < without + judges + (2 << 20));
    us_nn_trainer_destroy(trainer);
    on.adversaries.gan_dims = 3;
    assert_string_equal(us_nn_trainer_problem(&on), "gan.dims is out of range, allowed 4 to 512");
    on = config_of(0.05f, 0);
    assert_true(us_nn_arch_parse("liae-ud", &on.arch));
    assert_string_equal(us_nn_trainer_problem(&on),
                        "true_face.power is for the architecture df only");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_differences),
        cmocka_unit_test(without_them_nothing_changes),
        cmocka_unit_test(it_trains_on),
        cmocka_unit_test(judges_learn),
        cmocka_unit_test(a_state_handed_over_goes_on_with_the_same_bits),
        cmocka_unit_test(passes_add_up),
        cmocka_unit_test(their_memory_is_counted_and_bad_ones_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
