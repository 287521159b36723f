/* train_swap with a comb: three identities, and a net that grows while it trains. */
#include <math.h>
#include <string.h>

#include "nodes/learn/growth.h"
#include "nodes/learn/model_file.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/fake_crops.h"
#include "tests/support/fake_task.h"
#include "tests/support/small_training.h"

extern const struct us_node_type us_node_infer_swap;

static void add_other(struct us_task *task, size_t entry, int person) {
    struct us_fake_crop crop = {.person = person};
    for (int i = 0; i < 6; i++) {
        crop.pose = 0.4 * i - 1;
        us_fake_input(task, "others", entry, (struct us_frame){0, 1001 + i},
                      us_fake_crop_value(&crop));
    }
}

/* 8 px for 10 steps, 16 px for 10 (5 of them fading in), then 32 px. */
static struct us_task *comb(const char *folder, int steps) {
    struct us_task *task = us_small_training(folder, steps);
    us_fake_text(task, "arch", "comb");
    us_fake_number(task, "grow.start", 8);
    us_fake_number(task, "grow.steps", 10);
    us_fake_number(task, "e_dims", 8);
    us_fake_number(task, "d_dims", 8);
    add_other(task, 0, 2);
    return task;
}

static void it_grows_when_it_should(void **state) {
    (void)state;
    const struct train_params params = {.grow_start = 8, .grow_steps = 10};
    struct us_nn_arch arch = {.family = US_NN_COMB,
                              .resolution = 32,
                              .ae_dims = 8,
                              .e_dims = 8,
                              .d_dims = 8,
                              .d_mask_dims = 4,
                              .identities = 3};
    const struct {
        int step, size;
        bool fading;
        double fade;
    } cases[] = {{0, 8, false, 0},   {9, 8, false, 0},    {10, 16, true, 0.1}, {14, 16, true, 0.9},
                 {15, 16, false, 0}, {20, 32, true, 0.1}, {25, 32, false, 0},  {900, 32, false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        us_growth_at(&params, (uint64_t)cases[i].step, &arch);
        const uint64_t since = us_growth_since(&params, &arch, (uint64_t)cases[i].step);
        assert_int_equal(since, cases[i].step / 10 * 10 < 20 ? cases[i].step / 10 * 10 : 20);
        assert_int_equal(arch.size, cases[i].size);
        assert_int_equal(arch.fading, cases[i].fading);
        ASSERT_NEAR((double)arch.fade, cases[i].fade, 1e-6);
        assert_null(us_nn_arch_problem(&arch));
    }
}

static struct us_swap_model model_of(const struct us_task *task) {
    struct us_value *value = us_fake_output(task, "model");
    struct us_swap_model model = {0};
    ASSERT_OK(us_swap_model_parse(value->bytes, value->size, &model));
    return model;
}

static void three_identities_learn(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *few = comb(folder, 30), *many = comb(folder, 250);
    ASSERT_OK(us_fake_run(few));
    ASSERT_OK(us_fake_run(many));
    json_t *before = us_small_last_line(few), *after = us_small_last_line(many);
    static const char *const names[] = {"source", "destination", "other1"};
    for (int i = 0; i < 3; i++) {
        const json_t *early = json_object_get(before, names[i]);
        const json_t *late = json_object_get(after, names[i]);
        assert_int_equal((int)us_small_number(late, "faces"), 2);
        assert_true(us_small_number(late, "psnr") > us_small_number(early, "psnr"));
    }
    struct us_swap_model model = model_of(many);
    assert_string_equal(us_swap_model_text(&model),
                        "comb 32 px, dims 8/8/8/4, 3 identities, grown to 32 px, whole, log");
    us_swap_model_finish(&model);
    json_decref(before);
    json_decref(after);
    us_fake_destroy(few);
    us_fake_destroy(many);
    us_free(folder);
}

/* Stopped at every size and share, it ends with the bits of one that was not. */
static void it_resumes_across_sizes_with_the_same_bits(void **state) {
    (void)state;
    char *whole_folder = us_small_folder(), *folder = us_small_folder();
    struct us_task *whole = comb(whole_folder, 28);
    ASSERT_OK(us_fake_run(whole));
    static const int steps[] = {6, 10, 12, 15, 17, 20, 22, 26};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct us_task *part = comb(folder, steps[i]);
        ASSERT_OK(us_fake_run(part));
        struct us_swap_model model = model_of(part);
        assert_int_equal(us_nn_arch_size(&model.arch), steps[i] <= 10   ? 8
                                                       : steps[i] <= 20 ? 16
                                                                        : 32);
        us_swap_model_finish(&model);
        us_fake_destroy(part);
    }
    struct us_task *rest = comb(folder, 28), *again = comb(folder, 12),
                   *fresh = comb(us_test_folder(), 12);
    ASSERT_OK(us_fake_run(rest));
    us_small_same(rest, whole);
    ASSERT_OK(us_fake_run(again));
    ASSERT_OK(us_fake_run(fresh));
    us_small_same(again, fresh);
    us_fake_destroy(rest);
    us_fake_destroy(again);
    us_fake_destroy(fresh);
    us_fake_destroy(whole);
    us_free(whole_folder);
    us_free(folder);
}

static double mean_size(const struct us_swap_model *model, const char *name) {
    struct us_nn_layout layout;
    assert_int_equal(us_nn_layout_init(&layout, &model->arch), US_NN_OK);
    const struct us_nn_slice *slice = us_nn_layout_find(&layout, name);
    double sum = 0;
    for (size_t i = slice->offset; i < slice->offset + slice->count; i++) {
        sum += fabs((double)model->parameters[i]) / (double)slice->count;
    }
    us_nn_layout_finish(&layout);
    return sum;
}

/* Weights between -limit and limit have a mean of half of it: also in the moving average, of a
 * layer that joined two steps ago, and of one that has not yet. */
static void layers_that_join_are_not_faint(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *task = comb(folder, 12);
    ASSERT_OK(us_fake_run(task));
    struct us_swap_model model = model_of(task);
    const double half = sqrt(6.0 / (9 * (8 + 8))) / 2;
    ASSERT_NEAR(mean_size(&model, "encoder.block8.conv1.weight"), half, 0.15 * half);
    ASSERT_NEAR(mean_size(&model, "encoder.block16.conv1.weight"), half, 0.15 * half);
    ASSERT_NEAR(mean_size(&model, "encoder.block32.conv1.weight"), half, 0.15 * half);
    us_swap_model_finish(&model);
    us_fake_destroy(task);
    us_free(folder);
}

static struct us_error *infer(const struct us_task *trained, const char *as, float *first) {
    struct us_task *task = us_fake_create(&us_node_infer_swap);
    struct us_fake_crop crop = {.person = 1};
    us_fake_threads(task, 1);
    us_fake_text(task, "as", as);
    us_fake_input(task, "model", 0, (struct us_frame){0, 0},
                  us_value_ref(us_fake_output(trained, "model")));
    us_fake_input(task, "faces", 0, (struct us_frame){0, 1001}, us_fake_crop_value(&crop));
    struct us_error *error = us_fake_run(task);
    if (!error) {
        memcpy(first, us_image_channel(us_fake_output(task, "image")->image, "R")->data,
               32 * 32 * sizeof *first);
    }
    us_fake_destroy(task);
    return error;
}

static void anyone_can_be_drawn(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *task = comb(folder, 12); /* while 16 px fade in */
    ASSERT_OK(us_fake_run(task));
    float drawn[3][32 * 32];
    ASSERT_OK(infer(task, "swap", drawn[0]));
    ASSERT_OK(infer(task, "destination", drawn[1]));
    ASSERT_OK(infer(task, "other1", drawn[2]));
    assert_memory_not_equal(drawn[0], drawn[1], sizeof drawn[0]);
    assert_memory_not_equal(drawn[0], drawn[2], sizeof drawn[0]);
    assert_memory_not_equal(drawn[1], drawn[2], sizeof drawn[0]);
    ASSERT_ERROR(infer(task, "other2", drawn[0]), "as is 'other2', but the model has 3 identities");
    ASSERT_ERROR(infer(task, "other9", drawn[0]),
                 "as is 'other9', allowed are swap, source, destination and other1 to other6");
    us_fake_destroy(task);
    us_free(folder);
}

static void wrong_ones_are_refused(void **state) {
    (void)state;
    struct us_task *task = us_small_training(us_test_folder(), 5);
    add_other(task, 0, 2);
    ASSERT_ERROR(us_fake_run(task), "df trains two identities, but others has 1");
    us_fake_text(task, "arch", "comb");
    us_fake_text(task, "options", "u");
    ASSERT_ERROR(us_fake_run(task), "options is 'u', but comb has none");
    us_fake_text(task, "options", "");
    us_fake_number(task, "grow.start", 12);
    ASSERT_ERROR(us_fake_run(task), "grow.start is 12, allowed are powers of two");
    us_fake_number(task, "grow.start", 16);
    for (size_t i = 1; i < 7; i++) {
        add_other(task, i, 2);
    }
    ASSERT_ERROR(us_fake_run(task), "others has 7 identities, allowed are 6");
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_when_it_should),
        cmocka_unit_test(three_identities_learn),
        cmocka_unit_test(it_resumes_across_sizes_with_the_same_bits),
        cmocka_unit_test(layers_that_join_are_not_faint),
        cmocka_unit_test(anyone_can_be_drawn),
        cmocka_unit_test(wrong_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
