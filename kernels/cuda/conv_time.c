#include <string.h>

#include "kernels/cuda/conv_check.h"
#include "kernels/cuda/conv_run_internal.h"
#include "kernels/nn/memory.h"

/* One block of device memory with every buffer of a convolution. */
struct trial {
    void *block;
    cudaStream_t stream;
    cudaEvent_t before, after;
    struct us_conv_buffers buffers;
    size_t out_bytes;
    unsigned *wrong; /* on the device */
};

static size_t padded(size_t bytes) {
    return (bytes + 255) / 256 * 256;
}

/* Values between -1 and 1, the same for every run. */
static void fill_noise(void *bytes, size_t size, bool bf16) {
    uint32_t state = 1;
    for (size_t i = 0; i < size / 4; i++) {
        state = state * 1664525u + 1013904223u;
        float value = (float)(int32_t)state * 0x1p-31f;
        uint32_t bits;
        memcpy(&bits, &value, 4);
        ((uint32_t *)bytes)[i] = bf16 ? (bits & 0xffff0000u) | (bits * 9u >> 16 & 0xbfffu) : bits;
    }
}

static cudaError_t upload_noise(void *block, size_t size, bool bf16) {
    enum { PIECE = 4 * 250007 }; /* no row of a tensor repeats with it */
    void *noise = us_nn_alloc(PIECE);
    if (!noise) {
        return cudaErrorMemoryAllocation;
    }
    fill_noise(noise, PIECE, bf16);
    cudaError_t status = cudaSuccess;
    for (size_t at = 0; at < size && status == cudaSuccess; at += PIECE) {
        const size_t piece = size - at < PIECE ? size - at : PIECE;
        status = cudaMemcpy((char *)block + at, noise, piece, cudaMemcpyHostToDevice);
    }
    us_nn_free(noise);
    return status;
}

static enum us_nn_status trial_init(struct trial *trial, const struct us_conv_desc *desc,
                                    size_t workspace) {
    const size_t width = desc->type == US_CONV_BF16 ? 2 : 4;
    size_t offsets[CONV_VIRTUAL], size = 0, noisy;
    for (int uid = CONV_X; uid < CONV_VIRTUAL; uid++) {
        offsets[uid] = size;
        size += padded((size_t)conv_elements(desc, (enum conv_uid)uid) *
                       (uid == CONV_BIAS ? 4 : width));
    }
    noisy = size;
    *trial = (struct trial){.out_bytes = (size_t)conv_elements(desc, CONV_OUT) * width};
    if (cudaMalloc(&trial->block, size + padded(workspace) + sizeof *trial->wrong) != cudaSuccess) {
        (void)cudaGetLastError();
        return US_NN_NO_MEMORY;
    }
    char *block = trial->block;
    trial->buffers = (struct us_conv_buffers){.x = block + offsets[CONV_X],
                                              .w = block + offsets[CONV_W],
                                              .dy = block + offsets[CONV_DY],
                                              .bias = (void *)(block + offsets[CONV_BIAS]),
                                              .residual = block + offsets[CONV_RESIDUAL],
                                              .out = block + offsets[CONV_OUT],
                                              .workspace = block + noisy};
    trial->wrong = (void *)(block + noisy + padded(workspace));
    return upload_noise(block, noisy, desc->type == US_CONV_BF16) == cudaSuccess &&
                   cudaStreamCreateWithFlags(&trial->stream, cudaStreamNonBlocking) ==
                       cudaSuccess &&
                   cudaEventCreate(&trial->before) == cudaSuccess &&
                   cudaEventCreate(&trial->after) == cudaSuccess
               ? US_NN_OK
               : US_NN_FAILED;
}

static void trial_finish(struct trial *trial) {
    if (trial->before) {
        (void)cudaEventDestroy(trial->before);
    }
    if (trial->after) {
        (void)cudaEventDestroy(trial->after);
    }
    if (trial->stream) {
        (void)cudaStreamDestroy(trial->stream);
    }
    (void)cudaFree(trial->block);
    (void)cudaGetLastError();
}

enum { RUNS = 4 }; /* in one graph */

/* Runs of a candidate as one graph; NULL when it cannot be captured. */
static cudaGraphExec_t capture(struct trial *trial, cudnnHandle_t handle,
                               const struct us_conv_desc *desc, const struct conv_candidate *item) {
    cudaGraph_t graph = NULL;
    cudaGraphExec_t made = NULL;
    if (cudaStreamBeginCapture(trial->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
        return NULL;
    }
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < RUNS && status == US_NN_OK; i++) {
        status = conv_run(handle, trial->stream, item->plan, item->fused, desc, &trial->buffers);
    }
    if (cudaStreamEndCapture(trial->stream, &graph) != cudaSuccess || status != US_NN_OK ||
        cudaGraphInstantiate(&made, graph, 0) != cudaSuccess) {
        made = NULL;
    }
    if (graph) {
        (void)cudaGraphDestroy(graph);
    }
    (void)cudaGetLastError();
    return made;
}

/* Milliseconds of one launch; negative when it fails. */
static float launch(struct trial *trial, cudaGraphExec_t graph) {
    float elapsed;
    return cudaEventRecord(trial->before, trial->stream) == cudaSuccess &&
                   cudaGraphLaunch(graph, trial->stream) == cudaSuccess &&
                   cudaEventRecord(trial->after, trial->stream) == cudaSuccess &&
                   cudaEventSynchronize(trial->after) == cudaSuccess &&
                   cudaEventElapsedTime(&elapsed, trial->before, trial->after) == cudaSuccess
               ? elapsed
               : -1;
}

/* Milliseconds of one run outside of a graph; negative when it fails. */
static float run_once(struct trial *trial, cudnnHandle_t handle, const struct us_conv_desc *desc,
                      const struct conv_candidate *item) {
    float elapsed;
    return cudaEventRecord(trial->before, trial->stream) == cudaSuccess &&
                   conv_run(handle, trial->stream, item->plan, item->fused, desc,
                            &trial->buffers) == US_NN_OK &&
                   cudaEventRecord(trial->after, trial->stream) == cudaSuccess &&
                   cudaEventSynchronize(trial->after) == cudaSuccess &&
                   cudaEventElapsedTime(&elapsed, trial->before, trial->after) == cudaSuccess
               ? elapsed
               : -1;
}

static float time_graph(struct trial *trial, cudaGraphExec_t graph) {
    enum { ROUNDS = 4 };
    float best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        const float took = launch(trial, graph);
        if (took < 0) {
            return 0;
        }
        best = i > 1 && best < took ? best : took; /* the first round warms up */
    }
    return best * 1000 / RUNS;
}

/* The first run, over a poisoned output. Loads and compiles what comes late, too, which would break
 * a capture. */
static bool is_right(struct trial *trial, cudnnHandle_t handle, const struct us_conv_desc *desc,
                     struct conv_candidate *item) {
    unsigned wrong = 1;
    if (cudaMemsetAsync(trial->buffers.out, 0xFF, trial->out_bytes, trial->stream) != cudaSuccess ||
        run_once(trial, handle, desc, item) < 0 ||
        us_conv_check(trial->stream, desc, &trial->buffers, trial->wrong) != cudaSuccess ||
        cudaMemcpyAsync(&wrong, trial->wrong, sizeof wrong, cudaMemcpyDeviceToHost,
                        trial->stream) != cudaSuccess ||
        cudaStreamSynchronize(trial->stream) != cudaSuccess) {
        return false;
    }
    item->wrong = wrong > 0;
    return !item->wrong;
}

/* Microseconds from which on a single run says enough: what a launch by itself may cost (40) tells
 * little of a short one, and a long one is not worth sixteen more when it is a third slower. */
static float hopeless(float took, float best) {
    return (took > 400 ? 1.33f : 4) * best + 40;
}

/* Microseconds; 0 when it does not run or is not right, or is so much slower than `best` that it is
 * not worth a graph. */
static float measure(struct trial *trial, cudnnHandle_t handle, const struct us_conv_desc *desc,
                     struct conv_candidate *item, float best) {
    const bool right = is_right(trial, handle, desc, item);
    const float second = right ? run_once(trial, handle, desc, item) : -1;
    const float third = second < 0 ? second : run_once(trial, handle, desc, item);
    const float again = third < second ? third : second; /* somebody may have disturbed one */
    if (again < 0) {
        (void)cudaGetLastError();
        return 0;
    }
    if (best > 0 && again * 1000 > hopeless(again * 1000, best)) {
        return 0;
    }
    cudaGraphExec_t graph = capture(trial, handle, desc, item);
    const float took = graph ? time_graph(trial, graph) : 0;
    if (graph) {
        (void)cudaGraphExecDestroy(graph);
    }
    return took;
}

enum us_nn_status conv_time(cudnnHandle_t handle, const struct us_conv_desc *desc,
                            struct conv_candidates *found) {
    size_t workspace = 0;
    for (int i = 0; i < found->count; i++) {
        workspace = found->items[i].workspace > workspace ? found->items[i].workspace : workspace;
    }
    struct trial trial;
    enum us_nn_status status = trial_init(&trial, desc, workspace);
    float best = 0;
    for (int i = 0; i < found->count && status == US_NN_OK; i++) {
        const float took = measure(&trial, handle, desc, &found->items[i], best);
        best = took > 0 && (best <= 0 || took < best) ? took : best;
        found->items[i].microseconds = took;
    }
    trial_finish(&trial);
    return status;
}
