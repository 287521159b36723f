#include "kernels/cuda/conv_run_internal.h"

#include <string.h>

#include "kernels/cuda/conv_epilogue.h"
#include "kernels/nn/memory.h"

enum us_nn_status conv_run(cudnnHandle_t handle, cudaStream_t stream, cudnnBackendDescriptor_t plan,
                           bool fused, const struct us_conv_desc *desc,
                           const struct us_conv_buffers *buffers) {
    const void *const all[] = {[CONV_X] = buffers->x,
                               [CONV_W] = buffers->w,
                               [CONV_DY] = buffers->dy,
                               [CONV_BIAS] = buffers->bias,
                               [CONV_RESIDUAL] = buffers->residual,
                               [CONV_OUT] = buffers->out};
    const void *pointers[CONV_VIRTUAL];
    int64_t uids[CONV_VIRTUAL], count = 0;
    for (int uid = CONV_X; uid < CONV_VIRTUAL; uid++) {
        const bool bare_only = uid == CONV_BIAS || uid == CONV_RESIDUAL ||
                               (uid == CONV_X && desc->op == US_CONV_DATA_GRADIENT);
        if (conv_elements(desc, (enum conv_uid)uid) && (fused || !bare_only)) {
            uids[count] = uid;
            pointers[count++] = all[uid];
        }
    }
    struct conv_bag bag = {.status = cudnnSetStream(handle, stream)};
    cudnnBackendDescriptor_t pack = conv_bag_make(&bag, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    conv_bag_set(&bag, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count,
                 pointers);
    conv_bag_set(&bag, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, uids);
    conv_bag_set(&bag, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
                 &buffers->workspace);
    conv_bag_finalise(&bag, pack);
    cudnnStatus_t status = bag.status;
    status = status == CUDNN_STATUS_SUCCESS ? cudnnBackendExecute(handle, plan, pack) : status;
    conv_bag_finish(&bag);
    if (status != CUDNN_STATUS_SUCCESS) {
        return US_NN_FAILED;
    }
    return fused || !conv_has_epilogue(desc) ||
                   us_conv_epilogue(stream, desc, buffers) == cudaSuccess
               ? US_NN_OK
               : US_NN_FAILED;
}

/* One block of device memory with every buffer of a convolution. */
struct trial {
    void *block;
    cudaStream_t stream;
    cudaEvent_t before, after;
    struct us_conv_buffers buffers;
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
    enum { PIECE = 1 << 20 };
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
    *trial = (struct trial){0};
    if (cudaMalloc(&trial->block, size + padded(workspace)) != cudaSuccess) {
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

/* `repeats` runs of a candidate as one graph; NULL when it cannot be captured. */
static cudaGraphExec_t capture(struct trial *trial, cudnnHandle_t handle,
                               const struct us_conv_desc *desc, const struct conv_candidate *item,
                               int repeats) {
    cudaGraph_t graph = NULL;
    cudaGraphExec_t made = NULL;
    if (cudaStreamBeginCapture(trial->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
        return NULL;
    }
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < repeats && status == US_NN_OK; i++) {
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

static float measure(struct trial *trial, cudnnHandle_t handle, const struct us_conv_desc *desc,
                     const struct conv_candidate *item) {
    enum { RUNS = 4, ROUNDS = 4 };
    float best = 0;
    /* Once outside of a graph: what is loaded or compiled late would break the capture. */
    if (conv_run(handle, trial->stream, item->plan, item->fused, desc, &trial->buffers) !=
            US_NN_OK ||
        cudaStreamSynchronize(trial->stream) != cudaSuccess) {
        (void)cudaGetLastError();
        return 0;
    }
    cudaGraphExec_t graph = capture(trial, handle, desc, item, RUNS);
    for (int i = 0; graph && i < ROUNDS; i++) {
        const float took = launch(trial, graph);
        if (took < 0) {
            best = 0;
            break;
        }
        best = i > 1 && best < took ? best : took; /* the first round warms up */
    }
    if (graph) {
        (void)cudaGraphExecDestroy(graph);
    }
    return best * 1000 / RUNS;
}

enum us_nn_status conv_time(cudnnHandle_t handle, const struct us_conv_desc *desc,
                            struct conv_candidates *found) {
    size_t workspace = 0;
    for (int i = 0; i < found->count; i++) {
        workspace = found->items[i].workspace > workspace ? found->items[i].workspace : workspace;
    }
    struct trial trial;
    enum us_nn_status status = trial_init(&trial, desc, workspace);
    for (int i = 0; i < found->count && status == US_NN_OK; i++) {
        found->items[i].microseconds = measure(&trial, handle, desc, &found->items[i]);
    }
    trial_finish(&trial);
    return status;
}
