#include "kernels/nn/arch_internal.h"

static void set_output(struct nn_graph *graph, int identity, struct nn_arch_outputs out, int unit) {
    graph->outputs[identity].image = out.image;
    graph->outputs[identity].mask = out.mask;
    graph->outputs[identity].unit = unit;
}

/* Both identities go through the one decoder at once. */
static void build_training(struct nn_graph *graph, const struct us_nn_arch *arch, int x) {
    const int ab = nn_arch_inter(graph, arch, x, "inter_AB", 2 * arch->ae_dims);
    const int b =
        nn_arch_inter(graph, arch, nn_graph_part(graph, x, 1, 1), "inter_B", 2 * arch->ae_dims);
    const int own = nn_graph_stack(graph, nn_graph_part(graph, ab, 0, 1), b);
    const struct nn_arch_outputs out =
        nn_arch_decoder(graph, arch, nn_graph_concat(graph, own, ab), "decoder");
    set_output(graph, 0, out, 0);
    set_output(graph, 1, out, 1);
}

/* Any face as the source's, or as the destination's. */
static void build_inference(struct nn_graph *graph, const struct us_nn_arch *arch, int x) {
    const int ab = nn_arch_inter(graph, arch, x, "inter_AB", 2 * arch->ae_dims);
    graph->decoders = 2;
    const int b = nn_arch_inter(graph, arch, x, "inter_B", 2 * arch->ae_dims);
    for (int i = 0; i < 2; i++) {
        graph->decoders = 1u << i;
        const int code = nn_graph_concat(graph, i == 0 ? ab : b, ab);
        set_output(graph, i, nn_arch_decoder(graph, arch, code, "decoder"), 0);
    }
}

static void liae_build(struct nn_graph *graph, const struct us_nn_arch *arch, bool whole) {
    (void)whole;
    const int size = arch->resolution;
    int x = nn_graph_input(graph, graph->training ? 2 : 1, 3, size, size);
    x = nn_arch_encoder(graph, arch, x);
    (graph->training ? build_training : build_inference)(graph, arch, x);
}

const struct nn_family nn_liae_family = {.build = liae_build};
