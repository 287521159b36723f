/* What a family of architectures must say; one file per family, one row in arch.c. */
#ifndef US_KERNELS_NN_ARCH_INTERNAL_H
#define US_KERNELS_NN_ARCH_INTERNAL_H

#include "kernels/nn/graph.h"

struct nn_family {
    /* (optional) what us_nn_arch_problem says beyond the ranges of all families */
    const char *(*problem)(const struct us_nn_arch *arch);
    /* Adds inputs, network and outputs; sets graph->code. whole: for the layout alone, with every
     * layer that the architecture has at any size it grows through. */
    void (*build)(struct nn_graph *graph, const struct us_nn_arch *arch, bool whole);
};

extern const struct nn_family nn_df_family, nn_liae_family, nn_comb_family;

/* What df and liae share: arch.h says what each is made of. All return nodes of the graph. */
struct nn_layer_name nn_layer_name(const char *format, const char *prefix, int number);
int nn_arch_encoder(struct nn_graph *graph, const struct us_nn_arch *arch, int faces);
/* `channels` of the code, under the layer names PREFIX.dense1, .dense2 and .upscale. */
int nn_arch_inter(struct nn_graph *graph, const struct us_nn_arch *arch, int x, const char *prefix,
                  int channels);
struct nn_arch_outputs {
    int image, mask;
};
struct nn_arch_outputs nn_arch_decoder(struct nn_graph *graph, const struct us_nn_arch *arch,
                                       int code, const char *prefix);

/* Every layer of the architecture, in the order of the layout; never to be computed. */
struct nn_graph *nn_graph_whole(const struct us_nn_arch *arch);

/* Both append name.weight and name.bias. */
enum us_nn_status nn_layout_conv(struct us_nn_layout *layout, const char *name, int out, int in,
                                 int kernel);
enum us_nn_status nn_layout_dense(struct us_nn_layout *layout, const char *name, int out, int in);
/* The layers of a graph in the order of their first use. */
enum us_nn_status nn_layout_of_graph(struct us_nn_layout *layout, const struct nn_graph *graph);

#endif
