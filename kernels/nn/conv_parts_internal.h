/* The weights' gradient of a convolution, in parts that follow from its shape alone: the library
 * shares out the images among the threads it has, and so sums in another order with another number.
 *
 * A part has a range of images and a slice of output channels, and is one thread's work from end to
 * end; which thread's does not matter. The sums of the ranges are added in their order. Where
 * slices have several images, the output's gradient is copied slice by slice first. */
#ifndef US_KERNELS_NN_CONV_PARTS_INTERNAL_H
#define US_KERNELS_NN_CONV_PARTS_INTERNAL_H

#include "kernels/nn/dnnl_internal.h"

/* What a partition follows from. Channels are padded; areas in pixels. */
struct nn_conv_shape {
    int n, in, out, block, taps, in_area, out_area;
    bool winograd, bf16;
};

struct nn_partition {
    int ranges; /* of images, all of one size */
    int slices; /* of blocks of output channels, the first of them one larger than the others */
};

struct nn_partition nn_partition_of(const struct nn_conv_shape *shape);

/* Two kinds of slices: those with one block more, and the others. */
enum { NN_SLICE_KINDS = 2, NN_PART_ARGS = 4 };

struct nn_conv_part {
    int kind;
    dnnl_exec_arg_t args[NN_PART_ARGS]; /* source, output's gradient, weights' and bias's */
};

/* Where the whole lies. */
struct nn_conv_gradient {
    void *source, *output_gradient;
    float *weights, *bias;
};

struct nn_conv_parts {
    struct nn_conv_shape shape;
    struct nn_partition partition;
    dnnl_primitive_desc_t descs[NN_SLICE_KINDS]; /* the second NULL when all are of one size */
    dnnl_primitive_t primitives[NN_SLICE_KINDS];
    size_t weight_count;    /* floats of all slices */
    dnnl_data_type_t type;  /* of the output's gradient */
    struct nn_ref copied;   /* the output's gradient by slices, or nowhere */
    struct nn_ref sums;     /* weights and bias of every range but the first, or nowhere */
    int slots;              /* parts that run at once */
    size_t slot_bytes;      /* of the scratch memory */
    dnnl_memory_t *scratch; /* [slots] for each kind; NULL entries where none is wanted */
    struct nn_conv_part *parts;
    struct nn_conv_gradient gradient;
};

/* The whole gradient as it is described to the library; `weights` in the layout that it has when
 * one thread makes all of it. */
struct nn_conv_recipe {
    dnnl_alg_kind_t method;
    const dnnl_memory_desc_t *source, *weights;
    dnnl_data_type_t gradient_type; /* of the output's */
    int out_height, out_width;
    const dnnl_dim_t *strides, *before, *after;
    const_dnnl_primitive_desc_t forward;
};

enum us_nn_status nn_conv_parts_init(struct nn_conv_parts *parts, const struct nn_net *net,
                                     const struct nn_conv_shape *shape,
                                     const struct nn_conv_recipe *recipe);
void nn_conv_parts_release(struct nn_conv_parts *parts);
void nn_conv_parts_plan(struct nn_conv_parts *parts, struct nn_net *net, int moment);

enum us_nn_status nn_conv_parts_bind(struct nn_conv_parts *parts, struct nn_net *net,
                                     const struct nn_conv_gradient *gradient);
enum us_nn_status nn_conv_parts_run(struct nn_conv_parts *parts, struct nn_net *net);

#endif
