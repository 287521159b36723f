/* Networks whose numbers are as large as a file can say: refused, or computed without a sum or a
 * product that does not fit. */
#include <math.h>
#include <string.h>

#include "runtime/base/str.h"
#include "tests/support/check.h"
#include "tests/support/small_net.h"

/* Each stores nothing and has a long axis; together they would have 2^80 values a row. */
static void a_sum_of_empty_tensors_is_sized_before_it_is_walked(void **state) {
    (void)state;
    static const int64_t tall[3] = {0, (int64_t)1 << 40, 1}, wide[3] = {0, 1, (int64_t)1 << 40};
    struct us_test_onnx net = us_small_net();
    us_test_onnx_floats(&net, "a", 3, tall, NULL);
    us_test_onnx_floats(&net, "b", 3, wide, NULL);
    us_test_onnx_floats(&net, "c", 3, wide, NULL);
    us_test_onnx_node(&net, "Sum", "a b c", "y", NULL);
    us_small_net_refuses(&net, "its result would be 0 x 1099511627776 x 1099511627776");
}

/* A pool over 65536 x 65536 places, with as much padding on each side. */
static void bind_pool(const char *kind, const int64_t strides[2], struct us_test_net_bound *b) {
    static const int64_t side[2] = {1 << 16, 1 << 16};
    static const int64_t pads[4] = {1 << 16, 1 << 16, 1 << 16, 1 << 16};
    struct us_test_onnx net = us_small_net();
    struct us_str attributes = {0};
    us_test_onnx_attribute_ints(&attributes, "kernel_shape", 2, side);
    us_test_onnx_attribute_ints(&attributes, "strides", 2, strides);
    us_test_onnx_attribute_ints(&attributes, "pads", 4, pads);
    if (strcmp(kind, "AveragePool") == 0) {
        us_test_onnx_attribute_int(&attributes, "count_include_pad", 1);
    }
    us_test_onnx_node(&net, kind, "x", "y", &attributes);
    ASSERT_OK(us_small_net_bind(&net, (size_t)256 << 20, b));
}

/* An average of which 24 places are the image's. */
static void the_largest_pool_counts_its_padding(void **state) {
    (void)state;
    static const int64_t strides[2] = {1 << 16, 1 << 16};
    struct us_test_net_bound b;
    bind_pool("AveragePool", strides, &b);
    for (int i = 0; i < 48; i++) {
        us_onnx_net_input(b.net)[i] = 0x1p32f;
    }
    ASSERT_OK(us_onnx_net_run(b.net, NULL, NULL));
    const struct us_onnx_result y = us_onnx_net_output(b.net, 0);
    assert_int_equal(y.count, 8);
    for (size_t i = 0; i < y.count; i++) {
        ASSERT_NEAR((double)y.values[i], i % 4 == 3 ? 24 : 0, 1e-6);
    }
    us_small_net_finish(&b);
}

/* Windows of 65,536 columns at 16.8 million places: looked at one by one they would take longer
 * than a test may. */
static void padding_is_not_walked(void **state) {
    (void)state;
    enum { ROWS = 257, COLUMNS = 65543 };
    static const int64_t strides[2] = {1 << 8, 1};
    struct us_test_net_bound b;
    bind_pool("MaxPool", strides, &b);
    for (int i = 0; i < 48; i++) {
        us_onnx_net_input(b.net)[i] = (float)i;
    }
    ASSERT_OK(us_onnx_net_run(b.net, NULL, NULL));
    const struct us_onnx_result y = us_onnx_net_output(b.net, 0);
    assert_int_equal(y.count, 2 * ROWS * COLUMNS);
    const float *row = y.values + (size_t)(2 * ROWS - 1) * COLUMNS;
    ASSERT_NEAR((double)row[1], 42, 0); /* up to the first column */
    ASSERT_NEAR((double)row[6], 47, 0);
    ASSERT_NEAR((double)row[65541], 47, 0); /* from the last one on */
    assert_true(row[0] == -INFINITY && row[65542] == -INFINITY);
    us_small_net_finish(&b);
}

/* From 2^24 on the last index of an axis, as a float, is the one behind it. */
static void the_end_of_a_long_axis_is_its_last_value(void **state) {
    (void)state;
    static const int64_t length = ((int64_t)1 << 24) + 4, few = 2;
    struct us_test_onnx net = us_small_net();
    struct us_str attributes = {0};
    struct us_test_net_bound b;
    const float one = 1;
    const int64_t single = 1;
    us_test_onnx_floats(&net, "one", 1, &single, &one);
    us_test_onnx_ints(&net, "length", 1, &length);
    us_test_onnx_ints(&net, "few", 1, &few);
    us_test_onnx_node(&net, "Expand", "one length", "long", NULL);
    us_test_onnx_attribute_text(&attributes, "coordinate_transformation_mode", "align_corners");
    us_test_onnx_node(&net, "Resize", "long   few", "ends", &attributes);
    us_test_onnx_node(&net, "Shape", "ends", "counted", NULL);
    us_test_onnx_node(&net, "Identity", "ends", "y", NULL);
    ASSERT_OK(us_small_net_bind(&net, (size_t)128 << 20, &b));
    const struct us_onnx_result y = us_onnx_net_output(b.net, 0);
    assert_int_equal(y.count, 2);
    assert_true(y.values[0] == 1 && y.values[1] == 1);
    us_small_net_finish(&b);
}

/* What is behind these numbers would not fit the library's. */
static void windows_that_reach_too_far_are_refused(void **state) {
    (void)state;
    static const int64_t far[2] = {1 << 16, 1 << 16}, kernel[4] = {1, 2, 1, 512};
    static const int64_t point[4] = {2, 1, 1, 1};
    static const float weights[1024] = {0};
    struct us_test_onnx net = us_small_net();
    struct us_str attributes = {0};
    us_test_onnx_floats(&net, "w", 4, kernel, weights);
    us_test_onnx_attribute_ints(&attributes, "dilations", 2, far);
    us_test_onnx_attribute_text(&attributes, "auto_pad", "SAME_UPPER");
    us_test_onnx_node(&net, "Conv", "x w", "y", &attributes);
    us_small_net_refuses(&net, "its window is 1 x 512, dilated by 65536 x 65536");

    net = us_small_net();
    static const int64_t wide[4] = {1, 2, 1, 1 << 16}, one[2] = {1, 1};
    us_test_onnx_floats(&net, "w", 4, point, weights);
    us_test_onnx_ints(&net, "size", 4, wide);
    us_test_onnx_node(&net, "ConstantOfShape", "size", "line", NULL);
    us_test_onnx_attribute_ints(&attributes, "strides", 2, far);
    us_test_onnx_attribute_ints(&attributes, "output_shape", 2, one);
    us_test_onnx_node(&net, "ConvTranspose", "line w", "y", &attributes);
    us_small_net_refuses(&net, "its result would have 1 rows or columns");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sum_of_empty_tensors_is_sized_before_it_is_walked),
        cmocka_unit_test(the_largest_pool_counts_its_padding),
        cmocka_unit_test(padding_is_not_walked),
        cmocka_unit_test(the_end_of_a_long_axis_is_its_last_value),
        cmocka_unit_test(windows_that_reach_too_far_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
