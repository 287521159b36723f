#include <stdio.h>

#include "kernels/nn/arch_internal.h"

#define ACTIVATION 0.1f
#define RESIDUAL 0.2f

struct nn_layer_name nn_layer_name(const char *format, const char *prefix, int number) {
    struct nn_layer_name name;
    snprintf(name.text, sizeof name.text, format, prefix, number);
    return name;
}

static struct nn_after activation(const struct us_nn_arch *arch, float slope) {
    return (struct nn_after){
        .activation = arch->cosine ? NN_COSINE : NN_LEAKY, .slope = slope, .residual = -1};
}

static const struct nn_after linear = {.activation = NN_LINEAR, .slope = 1, .residual = -1};

static int down(struct nn_graph *graph, const struct us_nn_arch *arch, int x, int number,
                int channels) {
    const struct nn_after after = activation(arch, ACTIVATION);
    const struct nn_layer_name name = nn_layer_name("%s.down%d", "encoder", number);
    return nn_graph_conv(graph, x, name.text, channels, 5, 2, &after);
}

static int upscale(struct nn_graph *graph, const struct us_nn_arch *arch, int x, const char *name,
                   int channels) {
    const struct nn_after after = activation(arch, ACTIVATION);
    return nn_graph_depth_to_space(graph,
                                   nn_graph_conv(graph, x, name, 4 * channels, 3, 1, &after));
}

static int residual(struct nn_graph *graph, const struct us_nn_arch *arch, int x,
                    const char *prefix, int number) {
    struct nn_after after = activation(arch, RESIDUAL);
    const int channels = x < 0 ? 0 : graph->nodes[x].c;
    const struct nn_layer_name first = nn_layer_name("%s.res%d.conv1", prefix, number);
    const struct nn_layer_name second = nn_layer_name("%s.res%d.conv2", prefix, number);
    const int inner = nn_graph_conv(graph, x, first.text, channels, 3, 1, &after);
    after.residual = x;
    return nn_graph_conv(graph, inner, second.text, channels, 3, 1, &after);
}

int nn_arch_encoder(struct nn_graph *graph, const struct us_nn_arch *arch, int faces) {
    int x = faces;
    for (int i = 0; i < 4; i++) {
        x = down(graph, arch, x, i, arch->e_dims << i);
        if (i == 0 && arch->deeper) {
            x = residual(graph, arch, x, "encoder", 0);
        }
    }
    if (arch->deeper) {
        x = residual(graph, arch, down(graph, arch, x, 4, 8 * arch->e_dims), "encoder", 4);
    }
    return arch->likeness ? nn_graph_norm(graph, x) : x;
}

int nn_arch_inter(struct nn_graph *graph, const struct us_nn_arch *arch, int x, const char *prefix,
                  int channels) {
    const int size = arch->resolution / (arch->doubled ? 32 : 16);
    x = nn_graph_dense(graph, x, nn_layer_name("%s.dense%d", prefix, 1).text, arch->ae_dims, 1, 1,
                       &linear);
    x = nn_graph_dense(graph, x, nn_layer_name("%s.dense%d", prefix, 2).text, channels, size, size,
                       &linear);
    return arch->deeper
               ? x
               : upscale(graph, arch, x, nn_layer_name("%s.upscale", prefix, 0).text, channels);
}

/* Stages of the decoders widen the dims by 8, 4, 2 and 1; the deeper start with 8 twice. */
static int widening(const struct us_nn_arch *arch, int stage) {
    return arch->deeper && stage > 0 ? 8 >> (stage - 1) : 8 >> stage;
}

static int image_head(struct nn_graph *graph, const struct us_nn_arch *arch, int x,
                      const char *prefix) {
    static const int kernels[] = {1, 3, 3, 3};
    struct nn_layer_name names[4];
    for (int i = 0; i < 4; i++) {
        names[i] = nn_layer_name("%s.out_conv%d", prefix, i);
    }
    x = nn_graph_convs(graph, x, names, kernels, arch->doubled ? 4 : 1, 3, &linear);
    return nn_graph_planes(graph, arch->doubled ? nn_graph_depth_to_space(graph, x) : x, true);
}

struct nn_arch_outputs nn_arch_decoder(struct nn_graph *graph, const struct us_nn_arch *arch,
                                       int code, const char *prefix) {
    struct nn_arch_outputs out;
    const int stages = arch->deeper ? 4 : 3;
    int x = code;
    for (int i = 0; i < stages; i++) {
        const struct nn_layer_name name = nn_layer_name("%s.upscale%d", prefix, i);
        x = upscale(graph, arch, x, name.text, arch->d_dims * widening(arch, i));
        x = residual(graph, arch, x, prefix, i);
    }
    out.image = image_head(graph, arch, x, prefix);
    x = code;
    for (int i = 0; i < stages + (arch->doubled ? 1 : 0); i++) {
        const struct nn_layer_name name = nn_layer_name("%s.mask_upscale%d", prefix, i);
        x = upscale(graph, arch, x, name.text, arch->d_mask_dims * widening(arch, i));
    }
    x = nn_graph_conv(graph, x, nn_layer_name("%s.mask_out", prefix, 0).text, 1, 1, 1, &linear);
    out.mask = nn_graph_planes(graph, x, true);
    return out;
}
