/* The weights as the compute library wants them.
 *
 * Weights, gradients and moments are kept all the time in one arena layout: per layer a blocked
 * tensor padded to whole channel blocks, then its bias. Padding and taps that a slice does not
 * have are 0 and stay 0. The canonical flat buffers of us_nn_layout are made on demand. */
#ifndef US_KERNELS_NN_PARAMS_INTERNAL_H
#define US_KERNELS_NN_PARAMS_INTERNAL_H

#include <stdbool.h>

#include "kernels/nn/arch.h"
#include "kernels/nn/dnnl_library.h"

#define NN_WEIGHTS 512

/* Which slice, and which of its output rows, one output row of a layer is. */
struct nn_row {
    const struct us_nn_slice *weight, *bias; /* NULL: a row of padding */
    int row;
};

struct nn_weight {
    char name[48];
    struct nn_row *rows; /* [out] */
    int out, in;         /* padded */
    int channels;        /* of the output that are not padding at its end */
    int real_in;
    int height, width;       /* of the kernel; for a dense layer of what it sees */
    bool dense;              /* no height and width: the layer's tensor has rank 2 */
    bool partial;            /* some slice is smaller than the kernel: gradients need the mask */
    dnnl_memory_desc_t desc; /* f32; set by the first network that uses the layer */
    bool placed;
    size_t offset, count; /* of the tensor in the arena, in floats */
    size_t bias_offset;   /* `out` floats */
    float *mask;          /* [count], 1 where a parameter is; only when partial */
};

struct nn_params {
    struct us_nn_layout layout;
    struct nn_weight weights[NN_WEIGHTS];
    int count;
    int block;          /* channels in a block: 16 with AVX-512, else 8 */
    size_t arena_count; /* floats in the arena, once all layers are placed */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

enum us_nn_status nn_params_init(struct nn_params *params, const struct us_nn_arch *arch);
/* For the layers of a graph of one's own. */
struct nn_graph;
enum us_nn_status nn_params_init_for(struct nn_params *params, const struct nn_graph *graph);
void nn_params_finish(struct nn_params *params);
int nn_params_pad(const struct nn_params *params, int channels);

enum nn_row_order {
    NN_ROWS_PLAIN,   /* channels, padded at the end */
    NN_ROWS_SHUFFLE, /* four groups for depth-to-space, each padded by itself */
    NN_ROWS_VECTOR,  /* (channel, y, x) of size x size kept as blocks of channels */
};

/* The layer whose slices are name.weight and name.bias, made on first use; NULL when it cannot be.
 * `size` is for dense layers: the height and width of the blocks they make (NN_ROWS_VECTOR) or see.
 */
struct nn_weight *nn_params_layer(struct nn_params *params, const char *name,
                                  enum nn_row_order order, int size);
/* One 3x3 layer of several slices below each other, smaller kernels in the centre. */
struct nn_weight *nn_params_merged(struct nn_params *params, const char *name,
                                   const char *const *parts, int part_count);
/* Fixes where and how the layer lies; does nothing the second time. */
enum us_nn_status nn_params_place(struct nn_params *params, struct nn_weight *weight,
                                  const dnnl_memory_desc_t *desc);

/* Between a canonical flat buffer and an arena. */
enum us_nn_status nn_params_import(const struct nn_params *params, const float *flat, float *arena);
enum us_nn_status nn_params_export(const struct nn_params *params, const float *arena, float *flat);
/* Makes the masks of the partial layers. */
enum us_nn_status nn_params_make_masks(struct nn_params *params);

#endif
