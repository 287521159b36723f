#include "nodes/learn/onnx/export.h"

#include <string.h>

#include "kernels/nn/model.h"
#include "nodes/learn/onnx/net.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"

enum { SIZE = 64, AREA = SIZE * SIZE };

static struct us_swap_model make_model(const char *name) {
    struct us_nn_layout layout;
    struct us_swap_model model = {
        .arch = {.resolution = SIZE, .ae_dims = 16, .e_dims = 8, .d_dims = 8, .d_mask_dims = 8},
        .encoding = "log",
        .coverage = "whole",
        .steps = 12,
        .license = us_strdup("CC0-1.0")};
    assert_true(us_nn_arch_parse(name, &model.arch));
    model.arch.identities = model.arch.family == US_NN_COMB ? 3 : model.arch.identities;
    assert_int_equal(us_nn_layout_init(&layout, &model.arch), US_NN_OK);
    model.parameter_count = layout.count;
    model.parameters = us_calloc(layout.count, sizeof(float));
    us_nn_layout_initialise(&layout, 5, model.parameters);
    for (int i = 0; i < layout.slice_count; i++) { /* biases start at 0 */
        const struct us_nn_slice *slice = &layout.slices[i];
        for (size_t k = 0; k < slice->count && slice->rank == 1; k++) {
            model.parameters[slice->offset + k] = (float)(k % 5) / 50 - 0.03f;
        }
    }
    us_nn_layout_finish(&layout);
    return model;
}

static void fill(float *faces) {
    for (int i = 0; i < 3 * AREA; i++) {
        faces[i] = (float)((i * 7 + i / SIZE * 13) % 101) / 100;
    }
}

/* The exported file on our own ONNX engine against the model itself. */
static void compare(struct us_swap_model *model, int identity) {
    const struct us_digest digest = us_digest_of("x", 1);
    const struct us_onnx_binding binding = {
        .input = {4, {1, 3, SIZE, SIZE}}, .memory = 64 << 20, .threads = 1};
    uint8_t *bytes;
    size_t size;
    struct us_onnx_file file = {0};
    struct us_onnx_net *net;
    struct us_nn_model *own;
    float *planes = us_calloc(4 * AREA, sizeof *planes);
    ASSERT_OK(us_onnx_export(model, &digest, identity, &bytes, &size));
    ASSERT_OK(us_onnx_file_parse(bytes, size, &file));
    assert_string_equal(us_onnx_note(&file, "identity"), identity ? "destination" : "source");
    assert_string_equal(us_onnx_note(&file, "license"), "CC0-1.0");
    ASSERT_OK(us_onnx_net_create(&file, &binding, &net));
    fill(us_onnx_net_input(net));
    const struct us_nn_model_config config = {
        .device = US_NN_CPU, .arch = model->arch, .batch = 1, .threads = 1};
    assert_int_equal(us_nn_model_create(&config, model->parameters, &own), US_NN_OK);
    assert_int_equal(us_nn_model_infer(own, (enum us_nn_side)identity, us_onnx_net_input(net), 1,
                                       planes, planes + 3 * AREA),
                     US_NN_OK);
    ASSERT_OK(us_onnx_net_run(net, NULL, NULL));
    assert_int_equal(us_onnx_net_outputs(net), 2);
    for (size_t k = 0; k < 2; k++) {
        const struct us_onnx_result result = us_onnx_net_output(net, k);
        assert_int_equal(result.count, (k ? 1 : 3) * AREA);
        for (size_t i = 0; i < result.count; i++) {
            ASSERT_NEAR((double)result.values[i], (double)planes[3 * AREA * k + i], 1e-5);
        }
    }
    us_nn_model_destroy(own);
    us_onnx_net_destroy(net);
    us_onnx_file_finish(&file);
    us_free(bytes);
    us_free(planes);
}

static void every_architecture_draws_the_same(void **state) {
    (void)state;
    static const char *const names[] = {"df",   "df-ud",   "df-t",    "df-udtc",
                                        "liae", "liae-ud", "liae-utc"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct us_swap_model model = make_model(names[i]);
        compare(&model, 0);
        compare(&model, 1);
        us_swap_model_finish(&model);
    }
}

static void the_same_model_gives_the_same_bytes(void **state) {
    (void)state;
    struct us_swap_model model = make_model("liae-ud");
    const struct us_digest digest = us_digest_of("x", 1);
    uint8_t *bytes[2];
    size_t sizes[2];
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(us_onnx_export(&model, &digest, 0, &bytes[i], &sizes[i]));
    }
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    us_free(bytes[0]);
    us_free(bytes[1]);
    ASSERT_ERROR(us_onnx_export(&model, &digest, 2, &bytes[0], sizes),
                 "the model has 2 identities, not number 2");
    us_swap_model_finish(&model);
}

/* Smaller than its crops, and with the last blocks half faded in. */
static void a_comb_that_still_grows_draws_the_same(void **state) {
    (void)state;
    for (int step = 0; step < 3; step++) {
        struct us_swap_model model = make_model("comb");
        model.arch.size = step == 0 ? 0 : SIZE / 2;
        model.arch.fading = step == 2;
        model.arch.fade = 0.3f;
        compare(&model, 0);
        compare(&model, 1);
        us_swap_model_finish(&model);
    }
}

/* One decoder's weights only. */
static void unused_weights_stay_behind(void **state) {
    (void)state;
    struct us_swap_model model = make_model("df-ud");
    const struct us_digest digest = us_digest_of("x", 1);
    struct us_onnx_file file = {0};
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_onnx_export(&model, &digest, 1, &bytes, &size));
    ASSERT_OK(us_onnx_file_parse(bytes, size, &file));
    size_t own = 0;
    for (size_t i = 0; i < file.tensor_count; i++) {
        assert_null(strstr(file.tensors[i].name, "decoder_src"));
        own += strstr(file.tensors[i].name, "decoder_dst") != NULL;
    }
    assert_true(own > 20);
    us_onnx_file_finish(&file);
    us_free(bytes);
    us_swap_model_finish(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_architecture_draws_the_same),
        cmocka_unit_test(a_comb_that_still_grows_draws_the_same),
        cmocka_unit_test(the_same_model_gives_the_same_bytes),
        cmocka_unit_test(unused_weights_stay_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
