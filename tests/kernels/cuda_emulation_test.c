#include "kernels/nn/pointwise_cuda.h"
#include "tests/kernels/cuda_check.h"

static void test_memory_starts_as_nan_and_has_an_end(void **state) {
    (void)state;
    float values[4];
    us_emulation_set_memory(1 << 20);
    void *block = device_block(sizeof values), *more;
    ASSERT_CUDA(cudaMemcpy(values, block, sizeof values, cudaMemcpyDeviceToHost));
    assert_true(isnan(values[0]) && isnan(values[3]));
    assert_int_equal(cudaMalloc(&more, 1 << 20), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    ASSERT_CUDA(cudaFree(block));
    ASSERT_CUDA(cudaMalloc(&more, 1 << 20));
    ASSERT_CUDA(cudaFree(more));
    us_emulation_set_memory(0);
}

static void test_copies_know_their_sides(void **state) {
    (void)state;
    float values[4] = {1, 2, 3, 4};
    void *block = device_block(sizeof values);
    assert_int_equal(cudaMemcpy(values, block, sizeof values, cudaMemcpyHostToDevice),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(block, values, sizeof values + 1, cudaMemcpyHostToDevice),
                     cudaErrorInvalidValue);
    ASSERT_CUDA(cudaMemcpy(block, values, sizeof values, cudaMemcpyHostToDevice));
    RELEASE(block);
}

/* x doubles with each launch; a second stream joins the capture through an event. */
static void test_a_graph_runs_when_it_is_launched(void **state) {
    (void)state;
    const float values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    float out[8];
    void *x = device_bytes(values, sizeof values);
    cudaStream_t stream, side;
    cudaEvent_t fork;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    ASSERT_CUDA(cudaStreamCreate(&stream));
    ASSERT_CUDA(cudaStreamCreate(&side));
    ASSERT_CUDA(cudaEventCreate(&fork));
    ASSERT_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    ASSERT_CUDA(cudaEventRecord(fork, stream));
    ASSERT_CUDA(cudaStreamWaitEvent(side, fork, 0));
    ASSERT_CUDA(nn_cuda_add(NN_CUDA_F32, x, x, x, 8, side));
    void *refused;
    assert_int_equal(cudaMalloc(&refused, 8), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamSynchronize(side), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaMemcpy(out, x, sizeof out, cudaMemcpyDeviceToHost),
                     cudaErrorStreamCaptureImplicit);
    ASSERT_CUDA(cudaStreamEndCapture(stream, &graph));
    ASSERT_CUDA(cudaGraphInstantiate(&exec, graph, 0));
    ASSERT_CUDA(cudaMemcpy(out, x, sizeof out, cudaMemcpyDeviceToHost));
    assert_memory_equal(out, values, sizeof out);
    ASSERT_CUDA(cudaGraphLaunch(exec, stream));
    ASSERT_CUDA(cudaGraphLaunch(exec, stream));
    ASSERT_CUDA(cudaMemcpy(out, x, sizeof out, cudaMemcpyDeviceToHost));
    assert_true(out[0] == 4 && out[7] == 32);
    ASSERT_CUDA(cudaGraphExecDestroy(exec));
    ASSERT_CUDA(cudaGraphDestroy(graph));
    ASSERT_CUDA(cudaEventDestroy(fork));
    ASSERT_CUDA(cudaStreamDestroy(side));
    ASSERT_CUDA(cudaStreamDestroy(stream));
    RELEASE(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_starts_as_nan_and_has_an_end),
        cmocka_unit_test(test_copies_know_their_sides),
        cmocka_unit_test(test_a_graph_runs_when_it_is_launched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
