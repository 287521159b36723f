#include "tests/support/check.h"

#include <cuda_runtime.h>
#include <math.h>
#include <string.h>

#include "kernels/cuda/conv_epilogue.h"

enum { BATCH = 2, SIZE = 23, IN = 16, OUT = 24, MOST = BATCH * SIZE * SIZE * OUT };

static float sums[MOST], residual[MOST], signs[MOST], bias[OUT];

static void fill(float *values, int count, uint32_t state) {
    for (int i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
    }
}

static struct us_conv_desc desc_of(enum us_conv_op op, enum us_conv_type type) {
    struct us_conv_desc desc = {.op = op,
                                .type = type,
                                .batch = BATCH,
                                .in_height = SIZE,
                                .in_width = SIZE,
                                .in_channels = IN,
                                .out_channels = OUT,
                                .kernel_height = 3,
                                .kernel_width = 3,
                                .stride = 1,
                                .slope = 0.2f};
    us_conv_desc_same(&desc);
    return desc;
}

static double expected(const struct us_conv_desc *desc, int i) {
    const int channels = desc->op == US_CONV_FORWARD ? OUT : IN;
    double v = (double)sums[i];
    v += desc->op == US_CONV_FORWARD && desc->bias ? (double)bias[i % channels] : 0;
    v += desc->residual ? (double)residual[i] : 0;
    const double sign = desc->op == US_CONV_FORWARD ? v : (double)signs[i];
    return sign > 0 ? v : v * (double)desc->slope;
}

static void *upload(const float *values, int count, enum us_conv_type type) {
    static uint16_t halves[MOST];
    void *block;
    const size_t size = (size_t)count * (type == US_CONV_BF16 ? 2 : 4);
    assert_int_equal(cudaMalloc(&block, size), cudaSuccess);
    for (int i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], 4);
        halves[i] = (uint16_t)(bits >> 16);
    }
    const void *from = type == US_CONV_BF16 ? (const void *)halves : values;
    assert_int_equal(cudaMemcpy(block, from, size, cudaMemcpyHostToDevice), cudaSuccess);
    return block;
}

static void check(const struct us_conv_desc *desc) {
    const int count = BATCH * SIZE * SIZE * (desc->op == US_CONV_FORWARD ? OUT : IN);
    const size_t width = desc->type == US_CONV_BF16 ? 2 : 4;
    struct us_conv_buffers buffers = {.x = upload(signs, count, desc->type),
                                      .residual = upload(residual, count, desc->type),
                                      .bias = upload(bias, OUT, US_CONV_F32),
                                      .out = upload(sums, count, desc->type)};
    assert_int_equal(us_conv_epilogue(NULL, desc, &buffers), cudaSuccess);
    static uint8_t got[4 * MOST];
    assert_int_equal(cudaMemcpy(got, buffers.out, (size_t)count * width, cudaMemcpyDeviceToHost),
                     cudaSuccess);
    for (int i = 0; i < count; i++) {
        uint32_t bits = 0;
        memcpy((char *)&bits + 4 - width, got + (size_t)i * width, width);
        float value;
        memcpy(&value, &bits, 4);
        ASSERT_NEAR((double)value, expected(desc, i), desc->type == US_CONV_BF16 ? 0.02 : 1e-6);
    }
    const void *all[] = {buffers.x, buffers.residual, buffers.bias, buffers.out};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(cudaFree((void *)(uintptr_t)all[i]), cudaSuccess);
    }
}

static void is_the_formula(void **state) {
    (void)state;
    fill(sums, MOST, 1);
    fill(residual, MOST, 2);
    fill(signs, MOST, 3);
    fill(bias, OUT, 4);
    for (int i = 0; i < 32; i++) {
        struct us_conv_desc desc = desc_of(i & 1 ? US_CONV_FORWARD : US_CONV_DATA_GRADIENT,
                                           i & 2 ? US_CONV_BF16 : US_CONV_F32);
        desc.bias = i & 4;
        desc.residual = i & 8;
        desc.slope = i & 16 ? 0.2f : 1;
        check(&desc);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_formula)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
