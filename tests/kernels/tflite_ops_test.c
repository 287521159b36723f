#include "kernels/nn/tflite_ops.h"
#include "tests/support/check.h"

#include <stdlib.h>

#include "runtime/base/mem.h"

static float *noise(size_t count, unsigned seed) {
    float *values = us_malloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
    return values;
}

static const struct {
    int32_t height, width, in, out, kernel, stride, pad;
} cases[] = {
    {5, 7, 3, 5, 3, 1, 1},  {8, 9, 24, 28, 1, 1, 0}, {1, 1, 13, 17, 1, 1, 0},
    {9, 6, 4, 16, 5, 2, 2}, {6, 6, 8, 42, 3, 2, 0},  {4, 3, 2, 8, 3, 1, 2},
};

static double conv_at(struct us_nhwc in, const float *weights, int32_t out, int32_t y, int32_t x,
                      int32_t kernel, int32_t stride, int32_t pad, bool depthwise) {
    double sum = 0;
    for (int32_t ky = 0; ky < kernel; ky++) {
        for (int32_t kx = 0; kx < kernel; kx++) {
            int32_t iy = y * stride + ky - pad, ix = x * stride + kx - pad;
            if (iy < 0 || ix < 0 || iy >= in.height || ix >= in.width) {
                continue;
            }
            const float *pixel = in.data + (iy * in.width + ix) * in.channels;
            int32_t tap = ky * kernel + kx;
            if (depthwise) {
                sum += (double)pixel[out] * (double)weights[tap * in.channels + out];
                continue;
            }
            for (int32_t c = 0; c < in.channels; c++) {
                sum += (double)pixel[c] *
                       (double)weights[(out * kernel * kernel + tap) * in.channels + c];
            }
        }
    }
    return sum;
}

static void check_case(size_t i, bool depthwise) {
    int32_t k = cases[i].kernel, channels = depthwise ? cases[i].in : cases[i].out;
    struct us_sliding window = {
        k, k, cases[i].stride, cases[i].stride, cases[i].pad, cases[i].pad, US_FUSED_RELU6};
    struct us_nhwc in = {NULL, cases[i].height, cases[i].width, cases[i].in};
    struct us_nhwc out = {NULL, (in.height + 2 * cases[i].pad - k) / cases[i].stride + 1,
                          (in.width + 2 * cases[i].pad - k) / cases[i].stride + 1, channels};
    size_t outputs = (size_t)(out.height * out.width * channels);
    in.data = noise((size_t)(in.height * in.width * in.channels), 1);
    out.data = noise(outputs, 2);
    float *weights = noise((size_t)(k * k * in.channels * channels), 3);
    float *bias = noise((size_t)channels + US_TFLITE_BLOCK, 4);
    if (depthwise) {
        us_tflite_depthwise(in, out, weights, bias, &window);
    } else {
        float *packed = us_malloc(4 * us_tflite_packed_floats(k * k, in.channels, channels));
        float *scratch = us_malloc(4 * us_tflite_conv_scratch(&window, in.channels, out.width) + 4);
        us_tflite_pack_weights(weights, k * k, in.channels, channels, packed);
        us_tflite_conv(in, out, packed, bias, &window, scratch);
        us_free(packed);
        us_free(scratch);
    }
    for (int32_t p = 0; p < (int32_t)outputs; p++) {
        int32_t pixel = p / channels, c = p % channels;
        double sum = (double)bias[c] + conv_at(in, weights, c, pixel / out.width, pixel % out.width,
                                               k, cases[i].stride, cases[i].pad, depthwise);
        ASSERT_NEAR((double)out.data[p], sum < 0 ? 0 : sum > 6 ? 6 : sum, 1e-5);
    }
    us_free(in.data);
    us_free(out.data);
    us_free(weights);
    us_free(bias);
}

static void convolutions_equal_their_definition(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case(i, false);
        check_case(i, true);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(convolutions_equal_their_definition)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
