/* A convolution's primitives over one weight tensor, and the copies of it in the layouts those
 * want. conv.c describes the primitives, linear.c runs them. */
#ifndef US_KERNELS_NN_LINEAR_INTERNAL_H
#define US_KERNELS_NN_LINEAR_INTERNAL_H

#include "kernels/nn/conv_parts_internal.h"
#include "kernels/nn/dnnl_internal.h"
#include "kernels/nn/ops_internal.h"

struct nn_linear {
    struct nn_op op;
    struct nn_tensor *input, *output;
    struct nn_tensor *residual; /* added before the leaky ReLU, or NULL */
    struct nn_weight *weight;
    float slope;
    bool slope_after; /* as in struct nn_conv_options */
    bool bare;        /* forward's primitive makes W x + b: residual and slope follow in a pass */
    dnnl_primitive_desc_t forward_desc;
    struct nn_conv_parts parts;                  /* of the weights' gradient, only when training */
    dnnl_memory_desc_t made;                     /* the weights' gradient */
    dnnl_primitive_desc_t data_desc;             /* NULL when the input needs no gradient */
    struct nn_ref forward_weights, data_weights; /* copies in the layout the primitive wants */
    struct nn_ref weights_gradient;              /* where it is not the arena's layout */
    struct nn_ref input_gradient;
    struct nn_call forward, data;
    struct nn_call load_forward, load_data, store_gradient;
};

extern const struct nn_op_type nn_linear_type;

void nn_linear_release_descs(struct nn_linear *linear);

/* The end of building: the primitives are described (or status says why not) and input, output
 * and weight are set. Places the weight and plans the buffers; returns the output. */
struct nn_tensor *nn_linear_finish(struct nn_net *net, struct nn_linear *linear,
                                   enum us_nn_status status);

#endif
