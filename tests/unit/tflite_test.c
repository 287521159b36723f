#include "nodes/face/tflite.h"
#include "tests/support/check.h"
#include "tests/support/tflite_builder.h"

#include <string.h>

#include "runtime/base/mem.h"

enum {
    ADD = 0,
    CONCAT = 2,
    CONV = 3,
    DEPTHWISE = 4,
    DEQUANTIZE = 6,
    POOL = 17,
    RELU = 19,
    RESHAPE = 22
};
enum { RESIZE = 23, PAD = 34, PRELU = 54, ROOM = 1 << 14 };

static uint8_t bytes[ROOM];

/* Runs a one-output network on `input` and compares. */
static void expect(const struct us_test_net *net, const float *input, size_t inputs,
                   const float *wanted, size_t count) {
    struct us_tflite *model;
    ASSERT_OK(us_tflite_parse(bytes, us_test_tflite(net, bytes, ROOM), &model));
    float *memory = us_try_alloc_pixels(us_tflite_memory(model) * sizeof *memory);
    memcpy(us_tflite_input(model, memory), input, inputs * sizeof *input);
    us_tflite_run(model, memory);
    assert_int_equal(us_tflite_output_size(model, 0), count);
    for (size_t i = 0; i < count; i++) {
        ASSERT_NEAR((double)us_tflite_output(model, memory, 0)[i], (double)wanted[i], 1e-6);
    }
    us_free(memory);
    us_tflite_destroy(model);
}

/* 3x3 of ones over a 4x4 ramp, stride 2, SAME: TFLite puts the odd padding after. Then ReLU. */
static const float ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
static const float bias[1] = {-50};
static const struct us_test_tensor conv_tensors[] = {
    {4, {1, 4, 4, 1}, 0, NULL, 0},
    {4, {1, 3, 3, 1}, 0, ones, sizeof ones},
    {1, {1}, 0, bias, sizeof bias},
    {4, {1, 2, 2, 1}, 0, NULL, 0},
};
static const struct us_test_op conv_op = {
    CONV, {0, 1, 2}, 3, 3, {{0, 1, 0}, {1, 4, 2}, {2, 4, 2}, {3, 1, 1}}, 4};
static const struct us_test_net conv_net = {conv_tensors, 4, &conv_op, 1, 0, 3};
static const float ramp[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void a_convolution_with_relu(void **state) {
    (void)state;
    const float wanted[4] = {0, 0, 16, 0}; /* sums 45, 39, 66, 50, less 50 */
    expect(&conv_net, ramp, 16, wanted, 4);
}

/* Weights in half precision through DEQUANTIZE, channel by channel, then a pool. */
static void depthwise_of_half_weights_and_a_pool(void **state) {
    (void)state;
    static const uint16_t halves[2] = {0x4000, 0xb800}; /* 2, -0.5 */
    static const struct us_test_tensor tensors[] = {
        {4, {1, 2, 2, 2}, 0, NULL, 0}, {4, {1, 1, 1, 2}, 1, halves, sizeof halves},
        {4, {1, 1, 1, 2}, 0, NULL, 0}, {4, {1, 2, 2, 2}, 0, NULL, 0},
        {4, {1, 1, 1, 2}, 0, NULL, 0},
    };
    static const struct us_test_op ops[] = {
        {DEQUANTIZE, {1}, 1, 2, {{0, 1, 0}}, 0},
        {DEPTHWISE, {0, 2}, 2, 3, {{0, 1, 1}, {1, 4, 1}, {2, 4, 1}, {3, 4, 1}}, 4},
        {POOL, {3}, 1, 4, {{0, 1, 1}, {1, 4, 2}, {2, 4, 2}, {3, 4, 2}, {4, 4, 2}}, 5},
    };
    const struct us_test_net net = {tensors, 5, ops, 3, 0, 4};
    const float input[8] = {1, 10, 4, -6, 3, 8, -2, 7}, wanted[2] = {8, 3};
    expect(&net, input, 8, wanted, 2);
}

static void pad_prelu_concat_and_reshape(void **state) {
    (void)state;
    static const int32_t pads[8] = {0, 0, 0, 0, 1, 0, 0, 1};
    static const float slopes[2] = {.5f, .1f};
    static const struct us_test_tensor tensors[] = {
        {4, {1, 1, 1, 1}, 0, NULL, 0}, {2, {4, 2}, 2, pads, sizeof pads},
        {4, {1, 1, 2, 2}, 0, NULL, 0}, {3, {1, 1, 2}, 0, slopes, sizeof slopes},
        {4, {1, 1, 2, 2}, 0, NULL, 0}, {4, {1, 1, 2, 4}, 0, NULL, 0},
        {2, {1, 8}, 0, NULL, 0},
    };
    static const struct us_test_op ops[] = {
        {PAD, {0, 1}, 2, 2, {{0, 1, 0}}, 0},
        {PRELU, {2, 3}, 2, 4, {{0, 1, 0}}, 0},
        {CONCAT, {4, 2}, 2, 5, {{0, 4, 3}}, 1},
        {RESHAPE, {5}, 1, 6, {{0, 1, 0}}, 0},
    };
    const struct us_test_net net = {tensors, 7, ops, 4, 0, 6};
    const float input[1] = {-8}, wanted[8] = {0, 0, 0, 0, -4, 0, -8, 0};
    expect(&net, input, 1, wanted, 8);
}

static void resizing_three_ways(void **state) {
    (void)state;
    static const struct us_test_tensor tensors[] = {{4, {1, 1, 2, 1}, 0, NULL, 0},
                                                    {4, {1, 1, 4, 1}, 0, NULL, 0}};
    const struct us_test_op ops[] = {
        {RESIZE, {0}, 1, 1, {{0, 1, 0}}, 0},
        {RESIZE, {0}, 1, 1, {{2, 1, 1}}, 1},
        {RESIZE, {0}, 1, 1, {{3, 1, 1}}, 1},
    };
    const float input[2] = {0, 12}, wanted[3][4] = {{0, 6, 12, 12}, {0, 4, 8, 12}, {0, 3, 9, 12}};
    for (int i = 0; i < 3; i++) {
        const struct us_test_net net = {tensors, 2, &ops[i], 1, 0, 1};
        expect(&net, input, 2, wanted[i], 4);
    }
}

static void refuse(const struct us_test_net *net, const char *part) {
    struct us_tflite *model;
    ASSERT_ERROR(us_tflite_parse(bytes, us_test_tflite(net, bytes, ROOM), &model), part);
    assert_null(model);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    struct us_test_tensor tensors[4];
    struct us_test_op op = conv_op;
    struct us_test_net net = {tensors, 4, &op, 1, 0, 3};
    memcpy(tensors, conv_tensors, sizeof tensors);
    tensors[3].shape[1] = 3;
    refuse(&net, "operator 0 because: an output of 2x3 does not follow from an input of 4x4");
    memcpy(tensors, conv_tensors, sizeof tensors);
    tensors[1].size -= 4;
    refuse(&net, "tensor 1 because: a tensor stores 32 bytes, its shape wants 36");
    memcpy(tensors, conv_tensors, sizeof tensors);
    tensors[0].shape[3] = 2;
    refuse(&net, "CONV_2D's weights do not fit its 2 input channels");
    memcpy(tensors, conv_tensors, sizeof tensors);
    tensors[0].shape[2] = -4;
    refuse(&net, "a tensor has a dimension of -4");
    memcpy(tensors, conv_tensors, sizeof tensors);
    tensors[3].shape[1] = 1 << 23;
    op.options[2].value = 1000; /* their product is more than 32 bits hold */
    refuse(&net, "operator 0 because: an output of 2x8388608 does not follow from an input of 4x4");
    memcpy(tensors, conv_tensors, sizeof tensors);
    op = conv_op;
    op.code = 99;
    refuse(&net, "builtin operator 99 is not known");
    op = conv_op;
    op.inputs[0] = 17;
    refuse(&net, "tensor 17 does not exist");
    op.inputs[0] = 3;
    refuse(&net, "reads tensor 3 before it is made");
    struct us_tflite *model;
    ASSERT_ERROR(us_tflite_parse((const uint8_t *)"PK\3\4zip!", 8, &model), "no 'TFL3'");
}

/* Whatever a byte says, parsing ends, and what it accepts runs within its memory. */
static void damaged_files_do_no_harm(void **state) {
    (void)state;
    size_t size = us_test_tflite(&conv_net, bytes, ROOM), refused = 0;
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    for (size_t at = 0; at < size; at++) {
        for (size_t v = 0; v < sizeof values; v++) {
            uint8_t *copy = us_malloc(size);
            struct us_tflite *model;
            memcpy(copy, bytes, size);
            copy[at] = values[v];
            struct us_error *error = us_tflite_parse(copy, size, &model);
            us_free(copy);
            refused += error != NULL;
            us_error_free(error);
            if (model && us_tflite_memory(model) < 1 << 20) {
                float *memory = us_try_alloc_pixels(us_tflite_memory(model) * sizeof *memory);
                memset(memory, 0, us_tflite_memory(model) * sizeof *memory);
                us_tflite_run(model, memory);
                us_free(memory);
            }
            us_tflite_destroy(model);
        }
    }
    assert_true(refused > size);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = us_malloc(cut + 1);
        struct us_tflite *model;
        memcpy(copy, bytes, cut);
        us_error_free(us_tflite_parse(copy, cut, &model));
        us_tflite_destroy(model);
        us_free(copy);
    }
}

/* 16,000 values that all live at the same time: placed in the cube of it, they would take longer
 * than a test may. */
static void many_values_find_their_places(void **state) {
    (void)state;
    enum { VALUES = 16000, TENSORS = 2 * VALUES, BYTES = 16 << 20 };
    struct us_test_tensor *tensors = us_calloc(TENSORS, sizeof *tensors);
    struct us_test_op *ops = us_calloc(TENSORS, sizeof *ops);
    uint8_t *file = us_malloc(BYTES);
    for (int i = 0; i < TENSORS; i++) {
        tensors[i] = (struct us_test_tensor){4, {1, 1, 1, 1}, 0, NULL, 0};
    }
    for (int i = 1; i < VALUES; i++) {
        ops[i - 1] = (struct us_test_op){RELU, {0}, 1, i, {{0}}, 0};
        ops[VALUES + i - 2] =
            (struct us_test_op){ADD, {VALUES + i - 1, i}, 2, VALUES + i, {{0}}, 0};
    }
    ops[VALUES - 1].inputs[0] = 0;
    const struct us_test_net net = {tensors, TENSORS, ops, 2 * (VALUES - 1), 0, TENSORS - 1};
    struct us_tflite *model;
    ASSERT_OK(us_tflite_parse(file, us_test_tflite(&net, file, BYTES), &model));
    assert_true(us_tflite_memory(model) <= (VALUES + 2) * 16);
    us_tflite_destroy(model);
    us_free(file);
    us_free(ops);
    us_free(tensors);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_convolution_with_relu),
        cmocka_unit_test(depthwise_of_half_weights_and_a_pool),
        cmocka_unit_test(pad_prelu_concat_and_reshape),
        cmocka_unit_test(resizing_three_ways),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(many_values_find_their_places),
        cmocka_unit_test(damaged_files_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
