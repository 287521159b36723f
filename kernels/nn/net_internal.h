/* A static graph of layers over planned memory.
 *
 * Building only describes: tensors, operations and the moments their buffers are used at. Binding
 * takes the memory and makes the primitives. Forward runs the operations in order, backward in
 * reverse. Building never fails at once: the first problem stays in net->status and later calls
 * do nothing.
 *
 * Activations are [n][channels / block][h][w][block] with channels padded to whole blocks (0s),
 * of type float or bfloat16; images are planar floats. */
#ifndef US_KERNELS_NN_NET_INTERNAL_H
#define US_KERNELS_NN_NET_INTERNAL_H

#include <stdbool.h>

#include "kernels/nn/dnnl_library.h"
#include "kernels/nn/params_internal.h"
#include "kernels/nn/plan_internal.h"

#define NN_OPS 640
#define NN_TENSORS 768
#define NN_GRADIENTS 4 /* of one tensor */
#define NN_ALL_SIDES (~0u)

enum nn_format {
    NN_PLANAR,  /* [n][c][h][w] */
    NN_BLOCKED, /* [n][padded / block][h][w][block] */
    NN_FLAT,    /* [n][c] */
};

struct nn_ref {
    int buffer; /* of the plan, or -1 */
    size_t offset;
};

struct nn_tensor {
    int n, c, padded, h, w;
    enum nn_format format;
    dnnl_data_type_t type, grad_type;
    struct nn_ref value;
    struct nn_ref grads[NN_GRADIENTS]; /* to be added by the producer's backward */
    int grad_count;
    struct nn_tensor *parent;     /* a view: some images of another tensor */
    int first;                    /* of the parent's images */
    const struct nn_op *producer; /* whose backward reads the gradients; NULL for inputs */
    struct nn_tensor *residual;   /* was added to this one: gets this one's first gradient too */
};

struct nn_net;
struct nn_op;

struct nn_op_type {
    enum us_nn_status (*bind)(struct nn_net *net, struct nn_op *op); /* (optional) */
    enum us_nn_status (*forward)(struct nn_net *net, struct nn_op *op);
    enum us_nn_status (*backward)(struct nn_net *net, struct nn_op *op);
    void (*release)(struct nn_op *op); /* (optional) */
    int gradients; /* of its output that backward adds itself: 2, or 0 for one; what is over is
                      added to the last of these before */
};

/* The head of every operation. */
struct nn_op {
    const struct nn_op_type *type;
    int index;
    struct nn_tensor *output;
    const struct nn_weight *weight; /* whose gradient its backward makes, or NULL */
    unsigned sides;                 /* bits 1 << identity: the outputs it is needed for */
};

struct nn_net {
    enum us_nn_status status;
    bool training;
    dnnl_data_type_t type; /* of activations */
    struct nn_params *params;
    struct nn_plan plan;
    struct nn_op *ops[NN_OPS];
    int op_count;
    struct nn_tensor tensors[NN_TENSORS];
    int tensor_count;
    unsigned sides;             /* given to new operations */
    float fade;                 /* of nn_blend, set before each forward */
    int scratch;                /* buffer of the primitives' scratchpads */
    char *arena;                /* NULL until bound */
    float *weights, *gradients; /* arenas of params, given at binding; gradients when training */
    /* (optional) Called in backward when all gradients from `offset` of the arena on are made. */
    void (*made)(void *context, size_t offset);
    void *made_context;
};

void nn_net_init(struct nn_net *net, struct nn_params *params, bool training, bool bf16);
void nn_net_finish(struct nn_net *net);
/* Bytes of the arena; the graph is complete. */
size_t nn_net_memory(struct nn_net *net);
enum us_nn_status nn_net_bind(struct nn_net *net, float *weights, float *gradients);
enum us_nn_status nn_net_forward(struct nn_net *net, unsigned sides);
enum us_nn_status nn_net_backward(struct nn_net *net);

/* For builders. A tensor's value buffer is made here, its gradients when they are claimed.
 * wide: the value is float whatever the type of the net. */
struct nn_tensor *nn_net_tensor(struct nn_net *net, enum nn_format format, int n, int c, int h,
                                int w, bool wide);
/* A planar tensor of floats whatever the type of the net. */
struct nn_tensor *nn_net_image(struct nn_net *net, int n, int c, int h, int w);
struct nn_tensor *nn_net_view(struct nn_net *net, struct nn_tensor *parent, int first, int n);
/* A new operation of `size` bytes that starts with a struct nn_op; NULL on failure. */
void *nn_net_op(struct nn_net *net, const struct nn_op_type *type, size_t size);
void nn_net_scratch(struct nn_net *net, size_t bytes);
/* A buffer that lives from moment to moment. */
struct nn_ref nn_net_temporary(struct nn_net *net, size_t bytes, int first, int last);

/* Moments: forward of an operation, its backward. */
int nn_forward_moment(const struct nn_op *op);
int nn_backward_moment(const struct nn_op *op);
#define NN_LOSS_MOMENT (2 * NN_OPS)
void nn_net_use_value(struct nn_net *net, const struct nn_tensor *tensor, int moment);
/* A gradient of `tensor` that is written at `moment`, or when `alias` is not NULL, one that is
 * already there then. Does nothing when not training. */
struct nn_ref nn_net_claim(struct nn_net *net, struct nn_tensor *tensor, int moment,
                           const struct nn_ref *alias);

/* Valid once bound. NULL for a ref without a buffer. */
void *nn_net_at(const struct nn_net *net, struct nn_ref ref);
size_t nn_tensor_elements(const struct nn_tensor *tensor);
size_t nn_type_size(dnnl_data_type_t type);

#endif
