#include "kernels/nn/arch_internal.h"

static const char *const decoder_names[2] = {"decoder_src", "decoder_dst"};

static void df_build(struct nn_graph *graph, const struct us_nn_arch *arch, bool whole) {
    (void)whole;
    const int size = arch->resolution;
    int x = nn_graph_input(graph, graph->training ? 2 : 1, 3, size, size);
    x = nn_arch_encoder(graph, arch, x);
    graph->code = nn_arch_inter(graph, arch, x, "inter", arch->ae_dims);
    for (int i = 0; i < 2; i++) {
        graph->decoders = 1u << i;
        const int own = graph->training ? nn_graph_part(graph, graph->code, i, 1) : graph->code;
        const struct nn_arch_outputs out = nn_arch_decoder(graph, arch, own, decoder_names[i]);
        graph->outputs[i].image = out.image;
        graph->outputs[i].mask = out.mask;
    }
}

const struct nn_family nn_df_family = {.build = df_build};
