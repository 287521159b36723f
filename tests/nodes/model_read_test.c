#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nodes/learn/model_file.h"
#include "nodes/learn/safetensors.h"
#include "nodes/learn/swap_outlook.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/fake_task.h"

extern const struct us_node_type us_node_model_read;

static uint8_t *bytes;
static size_t size;

static int make_model(void **state) {
    (void)state;
    struct us_nn_layout layout;
    struct us_swap_model model = {.arch = {.family = US_NN_DF,
                                           .likeness = true,
                                           .doubled = true,
                                           .resolution = 32,
                                           .ae_dims = 8,
                                           .e_dims = 4,
                                           .d_dims = 4,
                                           .d_mask_dims = 4},
                                  .encoding = "log",
                                  .coverage = "whole",
                                  .steps = 120,
                                  .loss = 0.25,
                                  .license = (char[]){"CC0"},
                                  .consent = (char[]){"form 7"}};
    assert_int_equal(us_nn_layout_init(&layout, &model.arch), US_NN_OK);
    model.parameters = us_calloc(layout.count, sizeof(float));
    us_nn_layout_initialise(&layout, 3, model.parameters);
    us_nn_layout_finish(&layout);
    ASSERT_OK(us_swap_model_print(&model, &bytes, &size));
    us_free(model.parameters);
    return 0;
}

static int free_model(void **state) {
    (void)state;
    us_free(bytes);
    return 0;
}

static struct us_error *read_bytes(const uint8_t *content, size_t length, struct us_task **task) {
    static int count;
    char name[32];
    snprintf(name, sizeof name, "model%d.safetensors", count++);
    char *path = us_path_join(us_test_folder(), name);
    ASSERT_OK(us_write_file(path, content, length));
    *task = us_fake_create(&us_node_model_read);
    us_fake_text(*task, "path", path);
    struct us_error *error = us_fake_run(*task);
    us_free(path);
    return error;
}

static void the_file_comes_through(void **state) {
    (void)state;
    struct us_task *task;
    ASSERT_OK(read_bytes(bytes, size, &task));
    struct us_value *value = us_fake_output(task, "model");
    assert_int_equal(value->size, size);
    assert_memory_equal(value->bytes, bytes, size);
    assert_string_equal(us_fake_status(task), "df-ud 32 px, dims 8/4/4/4, whole, log, 120 steps");
    us_fake_destroy(task);
}

static void metadata_and_weights_come_back(void **state) {
    (void)state;
    struct us_swap_model model = {0};
    uint8_t *again;
    size_t again_size;
    ASSERT_OK(us_swap_model_parse(bytes, size, &model));
    assert_string_equal(model.license, "CC0");
    assert_string_equal(model.consent, "form 7");
    ASSERT_NEAR(model.loss, 0.25, 1e-9);
    ASSERT_OK(us_swap_model_print(&model, &again, &again_size));
    assert_int_equal(again_size, size);
    assert_memory_equal(again, bytes, size);
    us_free(again);
    us_swap_model_finish(&model);
}

/* Replaces the first `from` in the header by `to` of the same length. */
static void refused_with(const char *from, const char *to, const char *message) {
    struct us_task *task;
    uint8_t *copy = us_malloc(size);
    memcpy(copy, bytes, size);
    uint8_t *at = memmem(copy, size, from, strlen(from));
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    ASSERT_ERROR(read_bytes(copy, size, &task), message);
    us_fake_destroy(task);
    us_free(copy);
}

static void bad_models_are_refused(void **state) {
    (void)state;
    refused_with("understudy-model-1", "understudy-model-9",
                 "its format is 'understudy-model-9', needed is 'understudy-model-1'");
    refused_with("\"df-ud\"", "\"liae \"", "its architecture is 'liae ', allowed are df");
    refused_with("\"resolution\":\"32\"", "\"resolution\":\"33\"",
                 "its architecture cannot be built: the resolution must be a multiple of 32");
    refused_with("\"ae_dims\":\"8\"", "\"ae_dims\":\"9\"",
                 "array 'inter.dense1.weight' is F32 [8, 128], needed is F32 [9, 128]");
    refused_with("encoder.down1.weight", "encoder.down1.weighs",
                 "the file has no array 'encoder.down1.weight'");
    refused_with("\"e_dims\":", "\"e_dimz\":", "its metadata has no usable 'e_dims'");
    struct us_task *task;
    ASSERT_ERROR(read_bytes(bytes, size - 1, &task), "lies outside the file");
    us_fake_destroy(task);
    const float nan = NAN;
    uint8_t *copy = us_malloc(size);
    memcpy(copy, bytes, size);
    memcpy(copy + size - sizeof nan, &nan, sizeof nan);
    ASSERT_ERROR(read_bytes(copy, size, &task), "has a weight that is not finite");
    us_fake_destroy(task);
    us_free(copy);
}

static void a_missing_file_is_named(void **state) {
    (void)state;
    struct us_task *task = us_fake_create(&us_node_model_read);
    us_fake_text(task, "path", "/nowhere/model.safetensors");
    ASSERT_ERROR(us_fake_run(task), "/nowhere/model.safetensors");
    us_fake_destroy(task);
}

/* A plan asks for the net without reading weights. */
static struct us_geometry described(const uint8_t *content, size_t length, struct us_arena *arena) {
    struct us_geometry made = {0};
    char *path = us_path_join(us_test_folder(), "described.safetensors");
    struct us_task *task = us_fake_create(&us_node_model_read);
    if (content) {
        ASSERT_OK(us_write_file(path, content, length));
    }
    us_fake_text(task, "path", path);
    us_node_model_read.describe(
        &(struct us_outlook){.params = us_task_params(task), .arena = arena}, &made);
    us_fake_destroy(task);
    us_free(path);
    return made;
}

static void its_net_is_known_beforehand(void **state) {
    (void)state;
    struct us_arena arena = {0};
    assert_null(described(NULL, 0, &arena).about); /* there is none yet */
    const struct us_geometry made = described(bytes, size, &arena);
    const struct us_swap_outlook *model = made.about;
    assert_int_equal(made.size, 32);
    assert_non_null(model);
    assert_string_equal(us_nn_arch_name(&model->arch), "df-ud");
    assert_int_equal(model->arch.e_dims, 4);
    assert_null(described((const uint8_t *)"no model", 8, &arena).about);
    assert_null(described((const uint8_t *)"", 0, &arena).about);
    us_arena_finish(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_net_is_known_beforehand),    cmocka_unit_test(the_file_comes_through),
        cmocka_unit_test(metadata_and_weights_come_back), cmocka_unit_test(bad_models_are_refused),
        cmocka_unit_test(a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, make_model, free_model);
}
