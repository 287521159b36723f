#include <string.h>

#include "nodes/learn/training_memory.h"
#include "runtime/base/machine.h"
#include "runtime/base/str.h"
#include "tests/support/check.h"

static const size_t gib = (size_t)1 << 30;

static void what_fits_may_start(void **state) {
    (void)state;
    assert_null(us_training_fits(US_NN_CPU, 2 * gib, 2 * gib));
    assert_null(us_training_fits(1, 1, 2 * gib));
}

static void refused(int device, const char *text) {
    struct us_error *error = us_training_fits(device, 5 * gib + gib / 2, 2 * gib);
    assert_non_null(error);
    assert_int_equal(error->code, US_MISSING);
    assert_string_equal(error->text, text);
    assert_non_null(strstr(error->hint, "lower batch"));
    us_error_free(error);
}

static void too_much_says_by_how_much(void **state) {
    (void)state;
    refused(US_NN_CPU,
            "the training takes 5.5 GiB of memory, this machine has 2.0 GiB: 3.5 GiB too much");
    refused(4, "the training takes 5.5 GiB on cuda:3, which has 2.0 GiB free: 3.5 GiB too much");
}

static void the_machine_has_memory(void **state) {
    (void)state;
    assert_true(us_machine_memory() > gib / 16);
    assert_int_equal(us_training_room(US_NN_CPU), us_machine_memory());
}

static void sizes_are_for_people(void **state) {
    (void)state;
    static const struct {
        size_t bytes;
        const char *text;
    } cases[] = {{0, "0 bytes"},
                 {1023, "1023 bytes"},
                 {1024, "1.0 KiB"},
                 {1048575, "1.0 MiB"},
                 {(size_t)412 << 20, "412.0 MiB"},
                 {((size_t)5 << 30) + ((size_t)1 << 29), "5.5 GiB"},
                 {(size_t)3 << 50, "3072.0 TiB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct us_str text = {0};
        us_str_size(&text, cases[i].bytes);
        assert_string_equal(us_str_text(&text), cases[i].text);
        us_str_finish(&text);
    }
}

static struct us_nn_trainer_config config_of(const struct train_params *p, int size) {
    struct us_nn_trainer_config config;
    us_train_fill(p, size, "log", 2, &config);
    return config;
}

/* A comb takes what the largest size takes that its steps get to. */
static void a_comb_is_counted_where_it_gets_to(void **state) {
    (void)state;
    struct train_params p = {.arch = "comb",
                             .options = "",
                             .ae_dims = 32,
                             .e_dims = 32,
                             .d_dims = 32,
                             .mask_dims = 8,
                             .batch = 2,
                             .steps = 10,
                             .exchange = "f32",
                             .optimizer = "adam",
                             .precision = "f32",
                             .grow_start = 16,
                             .grow_steps = 10};
    const struct us_nn_trainer_config config = config_of(&p, 256);
    struct us_nn_memory start, middle, end;
    assert_int_equal(us_training_memory(&p, &config, 1, &start), US_NN_OK);
    p.steps = 11; /* 32 px come in */
    assert_int_equal(us_training_memory(&p, &config, 1, &middle), US_NN_OK);
    p.steps = 1000;
    assert_int_equal(us_training_memory(&p, &config, 1, &end), US_NN_OK);
    assert_true(start.activations < middle.activations);
    assert_true(middle.activations * 4 < end.activations);
    struct us_nn_memory whole;
    assert_int_equal(us_nn_trainer_memory_parts(&config, &whole), US_NN_OK);
    assert_true(end.activations >= whole.activations);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_may_start), cmocka_unit_test(too_much_says_by_how_much),
        cmocka_unit_test(the_machine_has_memory), cmocka_unit_test(sizes_are_for_people),
        cmocka_unit_test(a_comb_is_counted_where_it_gets_to)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
