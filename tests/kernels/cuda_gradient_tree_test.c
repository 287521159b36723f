/* Sums over passes and ranks on the device: the bits of kernels/nn/comm.h's tree. */
#include "tests/support/check.h"

#include <cuda_runtime.h>
#include <math.h>
#include <string.h>

#include "kernels/cuda/gradient_tree.h"
#include "kernels/nn/comm.h"

enum { COUNT = 260, STRIDE = 264, MOST = 64 };

static float values[MOST][STRIDE];
static double doubles[MOST][STRIDE];

/* Of very different size, so that another order gives other bits. */
static void fill(void) {
    uint32_t state = 7;
    for (int k = 0; k < MOST; k++) {
        for (int i = 0; i < STRIDE; i++) {
            state = state * 1664525u + 1013904223u;
            const int exponent = (int)(state >> 27) - 16;
            doubles[k][i] = ldexp((double)(int32_t)state * 0x1p-31, exponent) / 3;
            values[k][i] = (float)doubles[k][i];
        }
    }
}

static void *device_copy(const void *from, size_t bytes) {
    void *block;
    assert_int_equal(cudaMalloc(&block, bytes), cudaSuccess);
    assert_int_equal(cudaMemcpy(block, from, bytes, cudaMemcpyHostToDevice), cudaSuccess);
    return block;
}

static void test_ranks(void **state) {
    (void)state;
    for (int ranks = 1; ranks <= MOST; ranks++) {
        const float *parts[MOST];
        const double *wide[MOST];
        float wanted[COUNT], got[COUNT];
        double wanted_wide[COUNT], got_wide[COUNT];
        for (int k = 0; k < ranks; k++) {
            parts[k] = values[k];
            wide[k] = doubles[k];
        }
        us_nn_comm_tree(parts, ranks, wanted, COUNT);
        us_nn_comm_tree_f64(wide, ranks, wanted_wide, COUNT);
        float *there = device_copy(values, (size_t)ranks * sizeof *values);
        double *wide_there = device_copy(doubles, (size_t)ranks * sizeof *doubles);
        float *out = ranks > 1 ? there + STRIDE : there; /* one of the parts */
        assert_int_equal(cu_tree_sum(there, ranks, STRIDE, out, COUNT, NULL), cudaSuccess);
        assert_int_equal(cu_tree_sum_f64(wide_there, ranks, STRIDE, wide_there, COUNT, NULL),
                         cudaSuccess);
        assert_int_equal(cudaMemcpy(got, out, sizeof got, cudaMemcpyDeviceToHost), cudaSuccess);
        assert_int_equal(cudaMemcpy(got_wide, wide_there, sizeof got_wide, cudaMemcpyDeviceToHost),
                         cudaSuccess);
        assert_memory_equal(got, wanted, sizeof got);
        assert_memory_equal(got_wide, wanted_wide, sizeof got_wide);
        assert_int_equal(cudaFree(there), cudaSuccess);
        assert_int_equal(cudaFree(wide_there), cudaSuccess);
    }
}

/* One pass after another, as a trainer adds them. */
static void add_passes(int passes, float got[COUNT]) {
    struct cu_tree_waiting waiting = {{NULL}};
    float *sum;
    int levels = 0;
    for (int last = passes - 1; last > 0; last /= 2) {
        assert_int_equal(cudaMalloc((void **)&waiting.at[levels++], sizeof *values), cudaSuccess);
    }
    assert_int_equal(cudaMalloc((void **)&sum, sizeof *values), cudaSuccess);
    for (int pass = 0; pass < passes; pass++) {
        const bool last = pass + 1 == passes;
        int level = last ? levels : 0;
        while (!last && (pass >> level & 1)) {
            level++;
        }
        assert_int_equal(cudaMemcpy(sum, values[pass], sizeof *values, cudaMemcpyHostToDevice),
                         cudaSuccess);
        assert_int_equal(cu_tree_fold(sum, &waiting, (unsigned)pass, level,
                                      last ? NULL : waiting.at[level], COUNT, NULL),
                         cudaSuccess);
    }
    assert_int_equal(cudaMemcpy(got, sum, COUNT * sizeof *got, cudaMemcpyDeviceToHost),
                     cudaSuccess);
    for (int i = 0; i < levels; i++) {
        assert_int_equal(cudaFree(waiting.at[i]), cudaSuccess);
    }
    assert_int_equal(cudaFree(sum), cudaSuccess);
}

static void test_passes(void **state) {
    (void)state;
    for (int passes = 1; passes <= MOST; passes++) {
        const float *parts[MOST];
        float wanted[COUNT], got[COUNT];
        for (int k = 0; k < passes; k++) {
            parts[k] = values[k];
        }
        us_nn_comm_tree(parts, passes, wanted, COUNT);
        add_passes(passes, got);
        assert_memory_equal(got, wanted, sizeof got);
    }
}

static void test_bad_sizes_are_refused(void **state) {
    (void)state;
    struct cu_tree_waiting waiting = {{NULL}};
    float *block = device_copy(values, sizeof values);
    assert_int_equal(cu_tree_sum(block, 0, STRIDE, block, COUNT, NULL), cudaErrorInvalidValue);
    assert_int_equal(cu_tree_sum(block, MOST + 1, STRIDE, block, COUNT, NULL),
                     cudaErrorInvalidValue);
    assert_int_equal(cu_tree_fold(block, &waiting, 0, 0, NULL, 6, NULL), cudaErrorInvalidValue);
    assert_int_equal(cudaFree(block), cudaSuccess);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranks), cmocka_unit_test(test_passes),
                                       cmocka_unit_test(test_bad_sizes_are_refused)};
    fill();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
