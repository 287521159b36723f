/* For tests of device code on the emulation: each check runs in float and bfloat16 and with blocks
 * and threads in several orders, which must give the same bytes; device memory starts as NaN;
 * backward passes are compared with differences of a reference in doubles. */
#ifndef US_TESTS_KERNELS_CUDA_CHECK_H
#define US_TESTS_KERNELS_CUDA_CHECK_H

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "emulation.h"
#include "kernels/nn/philox.h"
#include "kernels/nn/types_cuda.h"
#include "tests/support/check.h"

/* Of values that may be large. */
#define ASSERT_CLOSE(got, wanted, tolerance) \
    ASSERT_NEAR(got, wanted, (tolerance) * (1 + fabs(wanted)))
#define ASSERT_CUDA(call) assert_int_equal((call), cudaSuccess)

struct mode {
    enum nn_cuda_type type;
    double tolerance; /* of values around 1 that were rounded once or twice */
    uint64_t digest;  /* of all outputs looked at */
};

static float bf16_value(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits = (bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* As the type stores it. */
static float rounded(enum nn_cuda_type type, float v) {
    return type == NN_CUDA_BF16 ? bf16_value(v) : v;
}

/* Random numbers from -1 to 1 that the type can hold. */
static inline float *some(enum nn_cuda_type type, uint32_t stream, size_t count) {
    float *values = malloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        uint32_t words[4];
        us_philox(11, stream, 0, i, words);
        values[i] = rounded(type, 2 * us_philox_unit(words[0]) - 1);
    }
    return values;
}

static inline void *device_block(size_t bytes) {
    void *block;
    ASSERT_CUDA(cudaMalloc(&block, bytes));
    return block;
}

static inline void *device_bytes(const void *from, size_t bytes) {
    void *block = device_block(bytes);
    ASSERT_CUDA(cudaMemcpy(block, from, bytes, cudaMemcpyHostToDevice));
    return block;
}

static inline void *device_values(enum nn_cuda_type type, const float *values, size_t count) {
    if (type == NN_CUDA_F32) {
        return device_bytes(values, count * sizeof *values);
    }
    uint16_t *halves = malloc(count * sizeof *halves);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        assert_true(values[i] == bf16_value(values[i]));
        halves[i] = (uint16_t)(bits >> 16);
    }
    void *block = device_bytes(halves, count * sizeof *halves);
    free(halves);
    return block;
}

/* An output: `count` elements nobody has written, and room after them. */
static inline void *device_output(enum nn_cuda_type type, size_t count) {
    return device_block(count * nn_cuda_size(type) + 64);
}

static inline void add_to_digest(struct mode *m, const void *bytes, size_t count) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++) {
        m->digest = (m->digest ^ at[i]) * 0x100000001B3u;
    }
}

/* Copies an output back as floats and frees it. All must be written, nothing behind it. */
static inline float *taken(struct mode *m, enum nn_cuda_type type, void *block, size_t count) {
    const size_t bytes = count * nn_cuda_size(type);
    unsigned char *raw = malloc(bytes + 64);
    ASSERT_CUDA(cudaMemcpy(raw, block, bytes + 64, cudaMemcpyDeviceToHost));
    add_to_digest(m, raw, bytes);
    for (size_t i = bytes; i < bytes + 64; i++) {
        assert_int_equal(raw[i], 0xFF);
    }
    float *values = malloc(count * sizeof *values + 1);
    for (size_t i = 0; i < count; i++) {
        if (type == NN_CUDA_F32) {
            memcpy(&values[i], raw + 4 * i, 4);
        } else {
            uint16_t half;
            memcpy(&half, raw + 2 * i, 2);
            const uint32_t bits = (uint32_t)half << 16;
            memcpy(&values[i], &bits, 4);
        }
        assert_true(isfinite(values[i]));
    }
    free(raw);
    ASSERT_CUDA(cudaFree(block));
    return values;
}

static inline void near_all(const float *got, const double *wanted, size_t count,
                            double tolerance) {
    for (size_t i = 0; i < count; i++) {
        ASSERT_CLOSE((double)got[i], wanted[i], tolerance);
    }
}

static inline void release_all(void **blocks, int count) {
    for (int i = 0; i < count; i++) {
        ASSERT_CUDA(cudaFree(blocks[i]));
    }
}
#define RELEASE(...) \
    release_all((void *[]){__VA_ARGS__}, (int)(sizeof((void *[]){__VA_ARGS__}) / sizeof(void *)))

/* y of x in doubles. */
typedef void reference_function(const void *context, const double *x, double *y);

static inline double *as_doubles(const float *values, size_t count) {
    double *out = malloc(count * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        out[i] = (double)values[i];
    }
    return out;
}

/* y of x. */
static inline double *reference_of(reference_function *f, const void *context, const float *x,
                                   size_t inputs, size_t outputs) {
    double *from = as_doubles(x, inputs), *y = malloc(outputs * sizeof *y);
    f(context, from, y);
    free(from);
    return y;
}

/* d sum(pull y) / dx by central differences. */
static inline double *differences(reference_function *f, const void *context, const float *x,
                                  size_t inputs, const float *pull, size_t outputs) {
    double *at = as_doubles(x, inputs), *y = malloc(outputs * sizeof *y);
    double *gradient = malloc(inputs * sizeof *gradient);
    for (size_t i = 0; i < inputs; i++) {
        const double step = 1e-5, kept = at[i];
        double sum = 0;
        for (int side = 1; side >= -1; side -= 2) {
            at[i] = kept + side * step;
            f(context, at, y);
            for (size_t k = 0; k < outputs; k++) {
                sum += side * (double)pull[k] * y[k];
            }
        }
        at[i] = kept;
        gradient[i] = sum / (2 * step);
    }
    free(at);
    free(y);
    return gradient;
}

/* An operation with one input that gradients are for. Backward is called with `more`, and must then
 * give twice the gradient, and without it (NULL), unless it takes none. */
struct device_op {
    size_t inputs, outputs; /* elements */
    bool wide_output;       /* floats in every mode */
    bool takes_more;
    reference_function *reference;
    cudaError_t (*forward)(enum nn_cuda_type type, const void *context, const void *x, void *y);
    cudaError_t (*backward)(enum nn_cuda_type type, const void *context, const void *gradient,
                            const void *more, const void *x, const void *y, void *x_gradient);
};

/* Forward against the reference, backward against its differences pulled at by `pull`. */
static inline void check_op(struct mode *m, const struct device_op *op, const void *context,
                            const float *x, const float *pull) {
    const enum nn_cuda_type out_type = op->wide_output ? NN_CUDA_F32 : m->type;
    double *wanted = reference_of(op->reference, context, x, op->inputs, op->outputs);
    double *slopes = differences(op->reference, context, x, op->inputs, pull, op->outputs);
    void *in = device_values(m->type, x, op->inputs);
    void *gradient = device_values(out_type, pull, op->outputs);
    void *out = device_output(out_type, op->outputs);
    ASSERT_CUDA(op->forward(m->type, context, in, out));
    for (int twice = 0; twice <= (op->takes_more ? 1 : 0); twice++) {
        void *back = device_output(m->type, op->inputs);
        ASSERT_CUDA(
            op->backward(m->type, context, gradient, twice ? gradient : NULL, in, out, back));
        float *got = taken(m, m->type, back, op->inputs);
        for (size_t i = 0; i < op->inputs; i++) {
            ASSERT_CLOSE((double)got[i], (1 + twice) * slopes[i], 2 * m->tolerance);
        }
        free(got);
    }
    float *got = taken(m, out_type, out, op->outputs);
    near_all(got, wanted, op->outputs, m->tolerance);
    RELEASE(in, gradient);
    free(wanted), free(slopes), free(got);
}

static inline void in_every_mode(void (*check)(struct mode *mode)) {
    const enum nn_cuda_type types[] = {NN_CUDA_F32, NN_CUDA_BF16};
    for (int t = 0; t < 2; t++) {
        uint64_t first = 0;
        for (int order = US_ORDER_UP; order <= US_ORDER_MIXED; order++) {
            struct mode mode = {types[t], t ? 8e-3 : 2e-6, 0xCBF29CE484222325u};
            us_emulation_set_order((enum us_emulation_order)order);
            check(&mode);
            first = order == US_ORDER_UP ? mode.digest : first;
            assert_true(mode.digest == first);
        }
        us_emulation_set_order(US_ORDER_UP);
    }
    assert_int_equal(us_emulation_used(), 0);
}

#endif
