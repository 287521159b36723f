/* The discriminators ("judges") that a face-swapping autoencoder can be trained against, as graphs
 * of two units: what is true first, then what was made.
 *
 * With conv(k, s, c) padded "same" with bias, leaky ReLU .1 (code) or .2 (face) after it:
 *   code   tells the source's codes from the destination's: conv(4, 2, 256), then conv(3, 2, .) of
 *          512, 1024 and 2048 channels until there are 1 + side / 8 of them; conv(1, 1, 1)
 *   face   a U-Net over the image (Schönfeld et al. 2020): conv(1, 1, dims), then 3 x 3
 *          convolutions of stride 1 or 2 whose receptive field comes nearest to `patch` pixels,
 *          channels doubling with each stride 2 up to 512; a conv(1, 1, 1) judges patches there;
 *          then back up, each step joined with the input of its like on the way down; a
 *          conv(1, 1, 1) judges every pixel
 * Outputs are logits, positive for true. Initial weights are glorot uniform, biases 0. */
#ifndef US_KERNELS_NN_DISCRIMINATOR_H
#define US_KERNELS_NN_DISCRIMINATOR_H

#include "kernels/nn/graph.h"

enum { NN_CODE_JUDGE, NN_FACE_JUDGE, NN_JUDGES };
enum { NN_JUDGE_OUTPUTS = 2, NN_PATCH_LAYERS = 8 };

struct nn_judge_graph {
    struct nn_graph *graph; /* node 0 is the input, and differentiable; nn_graph_destroy frees it */
    int outputs[NN_JUDGE_OUTPUTS]; /* nodes */
    int output_count;
};

/* Of a code of c x h x w. */
enum us_nn_status nn_code_judge_graph(int c, int h, int w, struct nn_judge_graph *judge);
enum us_nn_status nn_face_judge_graph(int size, int patch, int dims, struct nn_judge_graph *judge);

/* Strides of the face judge's 3 x 3 convolutions; returns how many (at least 1). At most 4 of them
 * are 2, as many as halve `size` evenly. */
int nn_patch_strides(int size, int patch, int strides[NN_PATCH_LAYERS]);
/* Pixels each way that an output of such convolutions sees. */
int nn_receptive_field(const int *strides, int count);

#endif
