#include <string.h>

#include "kernels/nn/arch_internal.h"

static const struct nn_after leaky = {.activation = NN_LEAKY, .slope = 0.2f, .residual = -1};
static const struct nn_after linear = {.activation = NN_LINEAR, .slope = 1, .residual = -1};

static int width(int most, int size) {
    const int channels = size > 32 ? most * 32 / size : most;
    return channels < 4 ? 4 : channels;
}

static struct nn_layer_name block(const char *prefix, int size, const char *layer) {
    struct nn_layer_name name = nn_layer_name("%s.block%d", prefix, size);
    strncat(name.text, layer, sizeof name.text - strlen(name.text) - 1);
    return name;
}

/* Colours to the channels of a size. */
static int from_colours(struct nn_graph *graph, const struct us_nn_arch *arch, int faces,
                        int size) {
    const struct nn_layer_name name = nn_layer_name("%s.rgb%d", "encoder", size);
    return nn_graph_conv(graph, faces, name.text, width(arch->e_dims, size), 1, 1, &leaky);
}

static int encoder(struct nn_graph *graph, const struct us_nn_arch *arch, int size, bool fading,
                   int faces) {
    int x = from_colours(graph, arch, faces, size);
    for (int p = size; p > 4; p /= 2) {
        x = nn_graph_conv(graph, x, block("encoder", p, ".conv1").text, width(arch->e_dims, p), 3,
                          1, &leaky);
        x = nn_graph_conv(graph, x, block("encoder", p, ".conv2").text, width(arch->e_dims, p / 2),
                          3, 1, &leaky);
        x = nn_graph_pool(graph, x);
        if (p == size && fading) {
            const int before = nn_graph_pool(graph, from_colours(graph, arch, faces, size / 2));
            x = nn_graph_blend(graph, before, x);
        }
    }
    x = nn_graph_conv(graph, x, "encoder.block4.conv", width(arch->e_dims, 4), 3, 1, &leaky);
    return nn_graph_dense(graph, x, "encoder.latent", arch->ae_dims, 1, 1, &leaky);
}

/* What a decoder makes of its channels at a size: colours or the mask, before the sigmoid. */
static int to_planes(struct nn_graph *graph, int x, const char *prefix, const char *format,
                     int size, int channels) {
    return nn_graph_conv(graph, x, nn_layer_name(format, prefix, size).text, channels, 1, 1,
                         &linear);
}

static int output(struct nn_graph *graph, int x, int before, const char *prefix, const char *format,
                  int size, int channels) {
    int y = to_planes(graph, x, prefix, format, size, channels);
    if (before >= 0) {
        const int old = to_planes(graph, before, prefix, format, size / 2, channels);
        y = nn_graph_blend(graph, nn_graph_upsample(graph, old), y);
    }
    return nn_graph_planes(graph, y, true);
}

static struct nn_arch_outputs decoder(struct nn_graph *graph, const struct us_nn_arch *arch,
                                      int size, bool fading, bool whole, int latent,
                                      const char *prefix) {
    const int first = width(arch->d_dims, 4);
    int x = nn_graph_dense(graph, latent, block(prefix, 4, ".dense").text, first, 4, 4, &leaky);
    int before = -1;
    x = nn_graph_conv(graph, x, block(prefix, 4, ".conv").text, first, 3, 1, &leaky);
    for (int p = 8; p <= size; p *= 2) {
        if (whole && p < size) {
            to_planes(graph, x, prefix, "%s.rgb%d", p / 2, 3);
            to_planes(graph, x, prefix, "%s.mask%d", p / 2, 1);
        }
        before = x;
        x = nn_graph_upsample(graph, x);
        x = nn_graph_conv(graph, x, block(prefix, p, ".conv1").text, width(arch->d_dims, p), 3, 1,
                          &leaky);
        x = nn_graph_conv(graph, x, block(prefix, p, ".conv2").text, width(arch->d_dims, p), 3, 1,
                          &leaky);
    }
    before = fading ? before : -1;
    struct nn_arch_outputs out;
    out.image = output(graph, x, before, prefix, "%s.rgb%d", size, 3);
    out.mask = output(graph, x, before, prefix, "%s.mask%d", size, 1);
    return out;
}

static void comb_build(struct nn_graph *graph, const struct us_nn_arch *arch, bool whole) {
    const int size = whole ? arch->resolution : us_nn_arch_size(arch);
    const bool fading = whole || arch->fading, training = graph->training;
    const int faces = nn_graph_input(graph, training ? graph->identities : 1, 3, size, size);
    for (int p = 4; whole && p < size / 2; p *= 2) {
        from_colours(graph, arch, faces, p);
    }
    const int latent = encoder(graph, arch, size, fading, faces);
    for (int i = 0; i < graph->identities; i++) {
        static const char *const two[2] = {"decoder_src", "decoder_dst"};
        const struct nn_layer_name name =
            i < 2 ? nn_layer_name(two[i], "", 0) : nn_layer_name("%s%d", "decoder_other", i - 1);
        graph->decoders = 1u << i;
        const int own = training ? nn_graph_part(graph, latent, i, 1) : latent;
        const struct nn_arch_outputs out =
            decoder(graph, arch, size, fading, whole, own, name.text);
        graph->outputs[i].image = out.image;
        graph->outputs[i].mask = out.mask;
    }
}

static const char *comb_problem(const struct us_nn_arch *arch) {
    const int size = us_nn_arch_size(arch);
    if (arch->likeness || arch->doubled || arch->deeper || arch->cosine) {
        return "comb has no options";
    }
    if (arch->resolution < 32 || arch->resolution > 1024 ||
        (arch->resolution & (arch->resolution - 1))) {
        return "the resolution of comb must be a power of two from 32 to 1024";
    }
    if (arch->identities < 2 || arch->identities > US_NN_IDENTITIES) {
        return "comb takes 2 to 8 identities";
    }
    if (size < 4 || size > arch->resolution || (size & (size - 1)) || (arch->fading && size < 8)) {
        return "the size that comb has grown to is no power of two from 4 to the resolution";
    }
    return NULL;
}

const struct nn_family nn_comb_family = {.problem = comb_problem, .build = comb_build};
