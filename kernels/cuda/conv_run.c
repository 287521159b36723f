#include "kernels/cuda/conv_run_internal.h"

#include "kernels/cuda/conv_epilogue.h"

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
