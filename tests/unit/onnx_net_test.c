#include "nodes/learn/onnx/net.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/small_net.h"

static const int64_t image[4] = {1, 2, -1, -1};

static void a_net_gives_what_is_computed_by_hand(void **state) {
    (void)state;
    struct us_test_onnx net = us_small_net();
    const int64_t shape[4] = {1, 2, 1, 1};
    const float scale[2] = {2, -3};
    us_test_onnx_floats(&net, "scale", 4, shape, scale);
    us_test_onnx_node(&net, "Mul", "x scale", "m", NULL);
    us_test_onnx_node(&net, "Relu", "m", "r", NULL);
    us_test_onnx_node(&net, "Sub", "r x", "y", NULL);
    struct us_test_net_bound b;
    ASSERT_OK(us_small_net_bind(&net, 1 << 20, &b));
    for (int again = 0; again < 2; again++) { /* the input's memory may be used for results */
        float *x = us_onnx_net_input(b.net);
        for (int i = 0; i < 48; i++) {
            x[i] = (float)(i % 24) - 12;
        }
        ASSERT_OK(us_onnx_net_run(b.net, NULL, NULL));
        const struct us_onnx_result y = us_onnx_net_output(b.net, 0);
        assert_int_equal(y.count, 48);
        for (int i = 0; i < 48; i++) {
            const double in = i % 24 - 12, scaled = in * (i < 24 ? 2 : -3);
            ASSERT_NEAR((double)y.values[i], (scaled > 0 ? scaled : 0) - in, 1e-6);
        }
    }
    us_small_net_finish(&b);
}

static void every_missing_operator_is_named_at_once(void **state) {
    (void)state;
    struct us_test_onnx net = us_small_net();
    us_test_onnx_node(&net, "GridSample", "x x", "a", NULL);
    us_test_onnx_node(&net, "Relu", "a", "b", NULL);
    us_test_onnx_node(&net, "Einsum", "b", "c", NULL);
    us_test_onnx_node(&net, "GridSample", "c c", "y", NULL);
    us_small_net_refuses(
        &net, "the model needs operators of set 13 that are missing here: GridSample (node 'a' "
              "and 1 more), Einsum (node 'c')");
}

static void what_does_not_fit_is_named_with_its_node(void **state) {
    (void)state;
    const int64_t kernel[4] = {3, 5, 3, 3};
    const float weights[135] = {0};
    struct us_test_onnx net = us_small_net();
    us_test_onnx_floats(&net, "w", 4, kernel, weights);
    us_test_onnx_node(&net, "Conv", "x w", "y", NULL);
    us_small_net_refuses(
        &net, "node 'y' (Conv, operator set 13) because: weights of 3 x 5 in 1 groups do not "
              "fit 2 channels");
    net = us_small_net();
    us_test_onnx_node(&net, "Add", "x nothing", "y", NULL);
    us_small_net_refuses(&net, "the model reads 'nothing', which nothing makes");
    net = us_small_net();
    us_test_onnx_node(&net, "Add", "x b", "a", NULL);
    us_test_onnx_node(&net, "Add", "x a", "b", NULL);
    us_test_onnx_node(&net, "Relu", "b", "y", NULL);
    us_small_net_refuses(&net, "it reads 'b' before that is made");
    net = us_small_net();
    us_test_onnx_node(&net, "Relu", "y", "y", NULL);
    us_small_net_refuses(&net, "it reads 'y' before that is made");
    net = us_small_net();
    us_test_onnx_node(&net, "Relu", "x", "y", NULL);
    us_test_onnx_node(&net, "Neg", "x", "y", NULL);
    us_small_net_refuses(&net, "the model makes 'y' twice");
    net = us_small_net();
    us_test_onnx_node(&net, "Relu", "x x", "y", NULL);
    us_small_net_refuses(&net, "it has 2 inputs and 1 outputs, allowed 1 to 1 and 1 to 1");
    net = us_small_net();
    us_test_onnx_input(&net, "mask", 4, image);
    us_test_onnx_node(&net, "Add", "x mask", "y", NULL);
    us_small_net_refuses(&net, "more than one input: 'x' and 'mask'");
}

static void sizes_and_memory_are_bounded(void **state) {
    (void)state;
    static const int64_t fixed[4] = {1, 3, 8, 8}, huge[4] = {1 << 20, 2, 1 << 20, 1 << 20};
    struct us_test_onnx net = {0};
    us_test_onnx_input(&net, "x", 4, fixed);
    us_test_onnx_node(&net, "Relu", "x", "y", NULL);
    us_test_onnx_output(&net, "y");
    us_small_net_refuses(&net, "the model's input 'x' is 1 x 3 x 8 x 8, given is 1 x 2 x 4 x 6");
    net = us_small_net();
    us_test_onnx_ints(&net, "size", 4, huge);
    us_test_onnx_node(&net, "Expand", "x size", "y", NULL);
    us_small_net_refuses(&net, "do not go together");
    net = us_small_net();
    us_test_onnx_ints(&net, "size", 4, huge);
    us_test_onnx_node(&net, "ConstantOfShape", "size", "y", NULL);
    us_small_net_refuses(&net, "its result would be");
    net = us_small_net();
    static const int64_t wide[4] = {1, 1, 1 << 10, 1 << 10};
    us_test_onnx_ints(&net, "times", 4, wide);
    us_test_onnx_node(&net, "Tile", "x times", "y", NULL);
    us_small_net_refuses(&net, "is larger than the 1 MiB allowed");
}

/* A chain needs two buffers however long it is; what is read twice is not written over. */
static void memory_is_used_again(void **state) {
    (void)state;
    static const int64_t kernel[4] = {2, 2, 1, 1};
    static const float weights[4] = {1, 0, 0, 1};
    struct us_test_onnx net = us_small_net();
    char from[8] = "x", to[8];
    us_test_onnx_floats(&net, "w", 4, kernel, weights);
    for (int i = 0; i < 30; i++) {
        snprintf(to, sizeof to, "t%d", i);
        char inputs[20];
        snprintf(inputs, sizeof inputs, "%s w", from);
        us_test_onnx_node(&net, "Conv", inputs, to, NULL);
        memcpy(from, to, sizeof from);
    }
    us_test_onnx_node(&net, "Add", "t29 x", "y", NULL);
    struct us_test_net_bound b;
    ASSERT_OK(
        us_small_net_bind(&net, 16 << 10, &b)); /* 31 tensors and the convolution's own need more */
    float *x = us_onnx_net_input(b.net);
    for (int i = 0; i < 48; i++) {
        x[i] = (float)i;
    }
    ASSERT_OK(us_onnx_net_run(b.net, NULL, NULL));
    for (int i = 0; i < 48; i++) {
        ASSERT_NEAR((double)us_onnx_net_output(b.net, 0).values[i], 2.0 * i, 0);
    }
    us_small_net_finish(&b);
}

static struct us_error *stop(void *context) {
    (void)context;
    return us_fail(US_CANCELLED, "stopped");
}

static void a_run_can_be_stopped(void **state) {
    (void)state;
    struct us_test_onnx net = us_small_net();
    us_test_onnx_node(&net, "Relu", "x", "y", NULL);
    struct us_test_net_bound b;
    ASSERT_OK(us_small_net_bind(&net, 1 << 20, &b));
    ASSERT_ERROR(us_onnx_net_run(b.net, stop, NULL), "stopped");
    us_small_net_finish(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_net_gives_what_is_computed_by_hand),
        cmocka_unit_test(every_missing_operator_is_named_at_once),
        cmocka_unit_test(what_does_not_fit_is_named_with_its_node),
        cmocka_unit_test(sizes_and_memory_are_bounded),
        cmocka_unit_test(memory_is_used_again),
        cmocka_unit_test(a_run_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
