/* What a family of architectures must say; one file per family, one row in arch.c. */
#ifndef US_KERNELS_NN_ARCH_INTERNAL_H
#define US_KERNELS_NN_ARCH_INTERNAL_H

#include "kernels/nn/net_internal.h"

/* What a decoder makes: planes in [n][3][R][R] and [n][1][R][R]. */
struct nn_outputs {
    struct nn_tensor *image, *mask;
};

struct nn_family {
    /* Appends the slices with nn_layout_conv and nn_layout_dense. */
    void (*layout)(const struct us_nn_arch *arch, struct us_nn_layout *layout);
    /* Adds the network after `input`, planes of faces. Training: the first half of the batch is the
     * source's, the second the destination's, each through its own decoder. Inference: the whole
     * batch through both, whose operations carry their side. */
    void (*build)(struct nn_net *net, const struct us_nn_arch *arch, struct nn_tensor *input,
                  struct nn_outputs outputs[2]);
};

extern const struct nn_family nn_df_family;

const struct nn_family *nn_family_of(const struct us_nn_arch *arch);

/* Both append name.weight and name.bias. */
void nn_layout_conv(struct us_nn_layout *layout, const char *name, int out, int in, int kernel);
void nn_layout_dense(struct us_nn_layout *layout, const char *name, int out, int in);

#endif
