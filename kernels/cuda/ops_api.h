/* The module's part that doctor asks: single operations. */
#ifndef US_KERNELS_CUDA_OPS_API_H
#define US_KERNELS_CUDA_OPS_API_H

#include "kernels/nn/op_call.h"

#ifdef __cplusplus
extern "C" {
#endif

struct us_cuda_ops_api {
    /* An engine on a device (kernels/nn/op_call.h); closed with close, which takes NULL context. */
    enum us_nn_status (*open)(int ordinal, struct us_nn_op_engine *engine);
    void (*close)(struct us_nn_op_engine *engine);
};

extern const struct us_cuda_ops_api us_cuda_ops_table;

#ifdef __cplusplus
}
#endif

#endif
