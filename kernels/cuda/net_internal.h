/* A graph (kernels/nn/graph.h) as a fixed list of device operations over planned memory.
 *
 * Describing comes first and touches no device: layers get their place in the arenas, values and
 * gradients their buffers, operations their order. Binding takes the memory and the convolution
 * plans. Running only enqueues. Activations are [n][h][w][channels padded to 8]; a leaky ReLU is
 * part of the operation before it, forward, and of whatever makes the gradient of its output,
 * backward, so that the gradient kept for a node is that of the sum before its leaky ReLU. */
#ifndef US_KERNELS_CUDA_NET_INTERNAL_H
#define US_KERNELS_CUDA_NET_INTERNAL_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cuda/conv_plan.h"
#include "kernels/nn/adversarial_loss_cuda.h"
#include "kernels/nn/graph.h"
#include "kernels/nn/loss.h"
#include "kernels/nn/plan_internal.h"
#include "kernels/nn/types_cuda.h"

#define CU_LAYERS 192
#define CU_OPS 2048
#define CU_ACCESSES 10
#define CU_PENDING 6
#define CU_STREAMS 2
#define CU_FACTORS 4

static inline int cu_pad(int channels) {
    return (channels + 7) / 8 * 8;
}

/* --- parameters --- */

enum cu_row_order {
    CU_ROWS_PLAIN,
    CU_ROWS_SHUFFLE, /* four groups for depth-to-space, each padded by itself */
    CU_ROWS_VECTOR,  /* (channel, row, column) kept as [row][column][padded channels] */
};

/* The parameters of one convolution or dense layer, [out][height][width][in] then bias [out]; for a
 * dense layer height and width are those of what it sees. What no parameter lies at stays 0. */
struct cu_layer {
    const struct us_nn_slice *weights[NN_GRAPH_PARTS], *biases[NN_GRAPH_PARTS];
    int part_count, each; /* slices and the rows of one */
    enum cu_row_order order;
    int row_c, row_h, row_w; /* CU_ROWS_VECTOR: what the rows are; else all rows, 1, 1 */
    int real_in, in, out;    /* the last two padded */
    int split, gap;          /* inputs from `split` on lie `gap` further: between what a
                                concatenation joined is padding */
    int height, width;
    bool partial;         /* some slice is smaller than the kernel */
    size_t offset, count; /* of the weights, in arena elements */
    size_t bias_offset;
    size_t mask_offset; /* partial: in floats of the masks */
};

struct cu_params {
    const struct us_nn_layout *layout; /* borrowed */
    struct cu_layer layers[CU_LAYERS];
    int count;
    size_t arena_count, mask_count; /* set by cu_params_place; the first is a multiple of 64 */
};

void cu_params_init(struct cu_params *params, const struct us_nn_layout *layout);
/* The layer of a node, made on first use; NULL when names or shapes do not fit together. */
struct cu_layer *cu_params_layer(struct cu_params *params, const struct nn_graph *graph,
                                 const struct nn_node *node, enum cu_row_order order);
/* Gives every layer its place: the last used first, which is the order in which backward completes
 * their gradients. */
void cu_params_place(struct cu_params *params);
/* Between a layer's canonical values (the whole flat buffer) and its part of an arena, `layer_at`,
 * with its bias at layer_at + bias_offset - offset. Import writes parameters only. */
void cu_layer_import(const struct cu_layer *layer, const float *flat, float *layer_at);
void cu_layer_export(const struct cu_layer *layer, const float *layer_at, float *flat);
/* Elements of a layer in the arena, with its bias and padding. */
size_t cu_layer_span(const struct cu_layer *layer);
/* 1 where a weight is, else 0. */
void cu_layer_mask(const struct cu_layer *layer, float *mask);

/* Between the canonical flat buffer and an arena on the device; what is enqueued there is done. */
enum us_nn_status cu_params_read(const struct cu_params *params, enum nn_cuda_type type,
                                 const void *arena, float *flat);
enum us_nn_status cu_params_write(const struct cu_params *params, const float *flat, float *arena);
/* The masks of partial layers. */
enum us_nn_status cu_params_write_masks(const struct cu_params *params, float *masks);

/* --- operations --- */

/* A place: offset bytes into a planned buffer or into one of the arenas below. */
struct cu_ref {
    int buffer; /* of the plan, or one of these: */
    size_t offset;
};
enum {
    CU_NOWHERE = -1,
    CU_WEIGHTS = -2,   /* what convolutions read: the masters, or their bfloat16 copies */
    CU_MASTERS = -3,   /* floats: biases */
    CU_GRADIENTS = -4, /* of the net's gradient_type */
    CU_MASKS = -5,     /* floats */
    CU_TERMS = -6,     /* struct us_nn_loss_terms of each identity */
};
enum { CU_SPACES = 7 };
/* Offsets into these arenas while places are not known: of the operation's layer. */
enum { CU_OF_WEIGHTS, CU_OF_BIAS };

/* CU_LATE: once what was gathered from other ranks is there. */
enum cu_phase { CU_FORWARD, CU_LOSS, CU_JUDGE, CU_BACKWARD, CU_LATE };

struct cu_access {
    struct cu_ref ref;
    size_t bytes;
    bool write;
};

struct cu_net;
struct cu_op;
struct cu_judge; /* net_judge_internal.h */
typedef enum us_nn_status cu_run(const struct cu_net *net, const struct cu_op *op, void *const *at,
                                 void *stream);

struct cu_op {
    cu_run *run;
    enum cu_phase phase;
    unsigned decoders; /* as in struct nn_node */
    int stream;        /* 0 or 1 */
    int wait;          /* an operation of the other stream to wait for, or -1 */
    bool signal;       /* another operation waits for this one */
    struct cu_access accesses[CU_ACCESSES];
    int access_count;
    size_t scratch; /* bytes */
    /* What its run function needs of these. */
    int n, h, w, c, stride, stride2, from, to;
    size_t count, real;
    float slope;
    bool add;
    int channels, factor; /* of planes */
    bool sigmoid;
    struct nn_cuda_entropy entropy;
    const struct cu_judge *judge; /* a discriminator's network that runs inside of this, or NULL */
    struct us_conv_desc desc;
    int plan;                     /* of net->plans, or -1 */
    const struct cu_layer *layer; /* where weights, bias, gradient and mask lie: places in those
                                     arenas are relative to the layer's */
    int gathers;                  /* 1 + one of net->factors that is complete with it, or 0 */
    size_t final;                 /* gradients from the arena's start that no later one adds to;
                                     0: it makes none */
};

struct cu_value {
    struct cu_ref ref; /* of the output */
    struct cu_ref raw; /* NN_COSINE: before it; NN_NORM: scales */
    int n, stride;
    size_t bytes;
    bool planes;
    bool folded; /* NN_DEPTH_TO_SPACE inside the head after it */
    struct cu_layer *layer;
    int readers;  /* nodes that read it; twice when both inputs of a node are it */
    int uses;     /* readers whose gradient reaches it and was not described yet */
    bool wanted;  /* its gradient is needed: parameters made it */
    bool reached; /* and an output depends on it */
    bool summed;  /* its layer's bias gradient comes with the gradient of its reader */
    /* while backward is described */
    struct cu_ref pending[CU_PENDING];
    int pending_count;
    bool sloped;            /* the only pending gradient has the leaky ReLU's derivative in it */
    struct cu_ref units;    /* buffer that its NN_PARTs' gradients go to, or nowhere */
    unsigned covered;       /* units of it that are written */
    struct cu_ref gradient; /* planes: what the loss writes; a differentiable input's: what comes
                               out, as planes */
};

/* A dense layer whose weight gradient every rank computes from all ranks' factors of it: in both
 * places lie those of the ranks, one after another. */
struct cu_factor {
    int node;
    const struct cu_layer *layer;
    struct cu_ref x, g;      /* what it read, its output's gradient */
    size_t x_bytes, g_bytes; /* of one rank's */
};

struct cu_net {
    enum us_nn_status status;
    enum nn_cuda_type type;
    enum nn_cuda_type gradient_type; /* of the arena; f32 unless set before cu_net_backward */
    int batch;
    int world, rank; /* of a group whose factors may be gathered; 0 unless set before
                        cu_net_backward */
    struct cu_factor factors[CU_FACTORS];
    int factor_count;
    const struct nn_graph *graph; /* borrowed, also after describing */
    struct cu_params *params;     /* borrowed */
    struct nn_plan plan;
    bool kept[NN_PLAN_BUFFERS]; /* buffers that live all the time */
    struct cu_value values[NN_GRAPH_NODES];
    struct cu_op ops[CU_OPS];
    int op_count;
    struct us_conv_job plans[CU_OPS];
    int plan_count;
    struct us_conv_planner *planner;              /* borrowed, given at binding */
    size_t scratch;                               /* bytes of each stream's */
    bool taken[CU_LAYERS], bias_taken[CU_LAYERS]; /* whose gradients were written, while
                                                     describing */
    bool still;              /* layers get no gradient from what is described now */
    char *spaces[CU_SPACES]; /* by -buffer: arenas; [0]: the planned memory */
    char *scratches[CU_STREAMS];
    const float *fade; /* on the device */
    /* Inference of a net that is smaller than its faces: 3 planes a face of that resolution. */
    float *whole; /* NULL: it is not */
    int resolution;
    /* Losses: planes of each identity that the caller fills, and what comes out. */
    struct {
        struct cu_ref targets, masks, priorities; /* the last nowhere when they have no weight */
    } wanted[US_NN_IDENTITIES];
    struct us_nn_loss_weights loss;
    float loss_scale;     /* of the gradients */
    void *events[CU_OPS]; /* cudaEvent_t of operations that signal */
    void *fork, *join;
};

/* Describes the forward pass, then (training) losses and backward pass, in this order. */
void cu_net_init(struct cu_net *net, const struct nn_graph *graph, struct cu_params *params,
                 enum nn_cuda_type type, int batch);
void cu_net_forward(struct cu_net *net);
void cu_net_losses(struct cu_net *net, const struct us_nn_loss_weights *weights, float scale);
void cu_net_backward(struct cu_net *net);
/* Solves the memory plan and gives operations their streams and events; after cu_params_place. */
void cu_net_settle(struct cu_net *net);
/* Bytes of planned memory and of scratch, once plans are made (0 scratch for plans before). */
size_t cu_net_memory(const struct cu_net *net);
enum us_nn_status cu_net_make_plans(struct cu_net *net, struct us_conv_planner *planner);
enum us_nn_status cu_net_make_events(struct cu_net *net);
void cu_net_finish(struct cu_net *net);
void *cu_net_at(const struct cu_net *net, struct cu_ref ref);

struct cu_streams {
    void *at[CU_STREAMS]; /* cudaStream_t; the first is the one the caller continues on */
};

/* Called during a backward pass when the first `elements` of the gradient arena are final, once
 * what is on the streams is done. */
typedef enum us_nn_status cu_complete(void *context, size_t elements,
                                      const struct cu_streams *streams);

/* Called when this rank's part of a factor is made, once what is on the streams is done. */
typedef enum us_nn_status cu_gather(void *context, const struct cu_factor *factor,
                                    const struct cu_streams *streams);

struct cu_selection {
    enum cu_phase from, to;
    unsigned decoders;
    cu_complete *complete; /* NULL: nobody asks */
    cu_gather *gather;     /* needed in a backward pass of a net with factors */
    void *context;
    bool packed; /* the inputs are there as the first layer reads them */
};

/* Enqueues the operations of the phases from..to whose decoders meet `decoders`. What is on the
 * first stream before is done first, and what is put there after waits for all of it. */
enum us_nn_status cu_net_run(const struct cu_net *net, const struct cu_selection *what,
                             const struct cu_streams *streams);

/* Any number of faces in host memory through one identity's decoder, the net's batch at a time; as
 * us_nn_trainer_infer. Waits. */
enum us_nn_status cu_net_infer(const struct cu_net *net, const struct cu_streams *streams,
                               int identity, const float *faces, int count, float *images,
                               float *masks);

/* --- for those that describe --- */
/* The convolution of a node without bias, residual and slope. */
struct us_conv_desc cu_conv_desc(const struct cu_net *net, int node, enum us_conv_op kind);
void cu_op_plan(struct cu_net *net, struct cu_op *op, const struct us_conv_desc *desc);
/* Says which gradients are needed for those of `heads` (nodes) and makes the planes that their
 * losses are to write them to. May be called again, for another backward pass of the same values.
 */
void cu_net_look_back(struct cu_net *net, const int *heads, int count);
/* A gradient of a node's output that something beside the graph makes; after cu_net_look_back and
 * before cu_net_backward. It is written over. */
void cu_net_bring(struct cu_net *net, int node, struct cu_ref gradient);
/* Puts a dense layer's factors where they are gathered, if that is less than its gradient; else
 * false. cu_net_late describes what is made of them, at the end. */
bool cu_net_factor(struct cu_net *net, int node, struct cu_ref gradient);
void cu_net_late(struct cu_net *net);
/* Shape of a head; `input` is the node whose value it reads. */
void cu_head_shape(const struct cu_net *net, int node, struct cu_op *op, int *input);
struct cu_ref cu_net_buffer(struct cu_net *net, size_t bytes);
struct cu_ref cu_net_kept(struct cu_net *net, size_t bytes); /* with cu_net_keep */
struct cu_ref cu_ref_behind(struct cu_ref ref, size_t bytes);
struct cu_op *cu_net_op(struct cu_net *net, cu_run *run, enum cu_phase phase, int node);
void cu_op_read(struct cu_op *op, struct cu_ref ref, size_t bytes);
void cu_op_write(struct cu_op *op, struct cu_ref ref, size_t bytes);
/* Keeps a buffer's bytes from before the first operation to after the last. */
void cu_net_keep(struct cu_net *net, struct cu_ref ref);

/* Run functions; accesses in the order given here. */
cu_run cu_run_pack;              /* planes, out */
cu_run cu_run_conv;              /* forward: x, w, y, bias, residual; data gradient: dy, w, dx, x,
                                    residual; weight gradient: x, dy, dw */
cu_run cu_run_add;               /* a, out, b, y */
cu_run cu_run_cosine;            /* z, y */
cu_run cu_run_cosine_gradient;   /* z, g, dz */
cu_run cu_run_channels;          /* from, to; c channels from channel `from` of `stride` to `to` */
cu_run cu_run_copy;              /* from, to */
cu_run cu_run_zero;              /* to */
cu_run cu_run_blend;             /* a, b, out */
cu_run cu_run_blend_gradient;    /* g, da, db */
cu_run cu_run_bias;              /* g, bias */
cu_run cu_run_take;              /* dw, gradient, mask */
cu_run cu_run_shuffle;           /* x, y */
cu_run cu_run_shuffle_gradient;  /* g, y, dx, bias: its gradient, or nowhere */
cu_run cu_run_pool;              /* x, y */
cu_run cu_run_pool_gradient;     /* g, x, dx */
cu_run cu_run_upsample;          /* x, y */
cu_run cu_run_upsample_gradient; /* g, x, dx */
cu_run cu_run_norm;              /* x, y, scales */
cu_run cu_run_norm_gradient;     /* g, y, scales, dx */
cu_run cu_run_unpack;            /* x, planes */
cu_run cu_run_head;              /* x, planes */
cu_run cu_run_head_gradient;     /* g, planes, dx */
cu_run cu_run_loss; /* image, mask, target, target mask, priority, both gradients, terms */

/* Bytes of scratch that cu_run_bias takes for an operation. */
size_t cu_bias_scratch(const struct cu_op *op);
enum us_nn_status cu_status(cudaError_t error);

#endif
