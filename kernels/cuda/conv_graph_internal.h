/* cuDNN operation graphs of one convolution: as a convolution or as a matrix product, bare or with
 * bias, residual and leaky ReLU fused in. */
#ifndef US_KERNELS_CUDA_CONV_GRAPH_INTERNAL_H
#define US_KERNELS_CUDA_CONV_GRAPH_INTERNAL_H

#include <stdint.h>
/* cudnn_backend.h wants stdint.h and bool first. */
#include <stdbool.h>

#include <cudnn.h>

#include "kernels/cuda/conv_plan.h"

/* Names of the tensors in a plan's variant pack; virtual ones count from CONV_VIRTUAL on. */
enum conv_uid { CONV_X = 1, CONV_W, CONV_DY, CONV_BIAS, CONV_RESIDUAL, CONV_OUT, CONV_VIRTUAL };

/* Descriptors that are destroyed together. Once a call on one of them fails `status` stays at that
 * failure and further calls do nothing, so that a graph is built without checks in between. */
enum { CONV_BAG = 48 };
struct conv_bag {
    cudnnBackendDescriptor_t items[CONV_BAG];
    int count;
    cudnnStatus_t status;
};

cudnnBackendDescriptor_t conv_bag_make(struct conv_bag *bag, cudnnBackendDescriptorType_t type);
void conv_bag_set(struct conv_bag *bag, cudnnBackendDescriptor_t descriptor,
                  cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                  const void *value);
void conv_bag_finalise(struct conv_bag *bag, cudnnBackendDescriptor_t descriptor);
void conv_bag_finish(struct conv_bag *bag);

/* Where plans are for: a handle, or a described device (the other is NULL). */
struct conv_target {
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t described;
};

struct conv_graph {
    struct conv_bag bag;
    cudnnBackendDescriptor_t graph;
    bool fused, matmul;
};

/* True when the convolution has something to fuse. */
bool conv_has_epilogue(const struct us_conv_desc *desc);
/* True when it is a matrix product: every kernel position meets every pixel of one output once. */
bool conv_is_matmul(const struct us_conv_desc *desc);
/* Elements of the buffer with that uid; 0 when the op has none. */
int64_t conv_elements(const struct us_conv_desc *desc, enum conv_uid uid);

/* False when cuDNN refuses the graph (bag.status); finish it in any case. */
bool conv_graph_build(struct conv_graph *graph, const struct conv_target *target,
                      const struct us_conv_desc *desc, bool fused, bool matmul);
void conv_graph_finish(struct conv_graph *graph);

#endif
