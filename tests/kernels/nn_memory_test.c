/* What a trainer says it takes, against what it takes. */
#include <malloc.h>

#include "kernels/nn/memory.h"
#include "kernels/nn/model.h"
#include "kernels/nn/trainer_internal.h"
#include "tests/support/check.h"

static const size_t mib = (size_t)1 << 20;

static struct us_nn_trainer_config config_of(const char *name, int resolution) {
    struct us_nn_trainer_config config = {
        .arch = {.resolution = resolution,
                 .ae_dims = 128,
                 .e_dims = 32,
                 .d_dims = 32,
                 .d_mask_dims = 16},
        .optimizer = us_nn_optimizer_usual(US_NN_ADAM),
        .loss = us_nn_loss_usual(),
        .batch = 4,
        .threads = 1,
    };
    config.optimizer.average_decay = 0.99f;
    assert_true(us_nn_arch_parse(name, &config.arch));
    return config;
}

static struct us_nn_memory parts_of(const struct us_nn_trainer_config *config) {
    struct us_nn_memory memory;
    size_t bytes;
    assert_int_equal(us_nn_trainer_memory_parts(config, &memory), US_NN_OK);
    assert_int_equal(us_nn_trainer_memory(config, &bytes), US_NN_OK);
    assert_int_equal(bytes, us_nn_memory_sum(&memory));
    return memory;
}

/* Bytes that malloc has given out; 0: it is not glibc's own. */
static size_t given_out(void) {
#ifdef __SANITIZE_ADDRESS__
    return 0;
#else
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
}

/* What is created beside the buffers (layers, oneDNN's primitives) is small. */
static void check_trainer(const struct us_nn_trainer_config *config) {
    const struct us_nn_memory memory = parts_of(config);
    const size_t sum = us_nn_memory_sum(&memory), before = given_out();
    struct us_nn_trainer *trainer;
    assert_int_equal(us_nn_trainer_create(config, &trainer), US_NN_OK);
    const size_t taken = given_out() - before;
    us_nn_trainer_destroy(trainer);
    print_message("    %s %d px: said %.1f MiB, taken %.1f\n", us_nn_arch_name(&config->arch),
                  config->arch.resolution, (double)sum / (double)mib, (double)taken / (double)mib);
    assert_true(sum > 20 * mib);
    if (before > 0) {
        assert_in_range(taken, sum - sum / 100, sum + sum / 20 + 2 * mib);
    }
}

static void the_sum_is_what_create_takes(void **state) {
    (void)state;
    struct us_nn_trainer_config config = config_of("df-ud", 64);
    check_trainer(&config);
    config.pass = 1;
    config.optimizer.average_decay = 0;
    check_trainer(&config);
    config = config_of("liae-udt", 96);
    check_trainer(&config);
    config = config_of("df", 64);
    config.adversaries =
        (struct us_nn_adversaries){.true_face = 0.01f, .gan = 0.1f, .gan_dims = 16};
    check_trainer(&config);
    config = config_of("comb", 256);
    config.arch.identities = 3;
    config.arch.size = 32;
    config.arch.fading = true;
    check_trainer(&config);
}

static void each_part_follows_what_it_is_for(void **state) {
    (void)state;
    struct us_nn_trainer_config config = config_of("df-ud", 64);
    const struct us_nn_memory usual = parts_of(&config);
    assert_int_equal(usual.weights, usual.gradients);
    assert_int_equal(usual.optimizer, 3 * usual.weights);
    assert_int_equal(usual.adversaries, 0);
    assert_int_equal(usual.host, 0);
    config.optimizer.average_decay = 0;
    assert_int_equal(parts_of(&config).optimizer, 2 * usual.weights);
    config.batch = 8;
    const struct us_nn_memory more = parts_of(&config);
    assert_int_equal(more.weights, usual.weights);
    assert_true(more.activations > usual.activations + usual.activations / 2);
    config.pass = 2; /* 4 passes: sums of 1 and of 2 wait */
    const struct us_nn_memory passes = parts_of(&config);
    assert_int_equal(passes.gradients, 3 * usual.gradients);
    assert_true(passes.activations < usual.activations);
    config.adversaries.true_face = 0.01f;
    assert_true(parts_of(&config).adversaries > 0);
}

static void a_model_says_what_it_takes(void **state) {
    (void)state;
    const struct us_nn_trainer_config trained = config_of("df-ud", 64);
    const struct us_nn_model_config config = {.arch = trained.arch, .batch = 1, .threads = 1};
    struct us_nn_memory memory;
    struct us_nn_layout layout;
    struct us_nn_model *model;
    assert_int_equal(us_nn_layout_init(&layout, &trained.arch), US_NN_OK);
    float *parameters = us_nn_alloc(layout.count * sizeof *parameters);
    assert_int_equal(us_nn_model_memory(&config, &memory), US_NN_OK);
    const size_t sum = us_nn_memory_sum(&memory), before = given_out();
    assert_int_equal(us_nn_model_create(&config, parameters, &model), US_NN_OK);
    const size_t taken = given_out() - before;
    assert_true(memory.weights >= layout.count * sizeof(float));
    if (before > 0) {
        assert_in_range(taken, sum - sum / 100, sum + sum / 20 + 2 * mib);
    }
    us_nn_model_destroy(model);
    us_nn_free(parameters);
    us_nn_layout_finish(&layout);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_sum_is_what_create_takes),
                                       cmocka_unit_test(each_part_follows_what_it_is_for),
                                       cmocka_unit_test(a_model_says_what_it_takes)};
    mallopt(M_ARENA_MAX, 1); /* mallinfo2 tells of the first arena only */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
