#include <stdio.h>

#include "kernels/nn/arch_internal.h"
#include "kernels/nn/ops_internal.h"

#define ACTIVATION 0.1f
#define RESIDUAL 0.2f

static const char *const decoder_names[2] = {"decoder_src", "decoder_dst"};

/* Image stages widen by 8, 4, 2; mask stages by 8, 4, 2 and, doubled, 1. */
static int stage_dims(int dims, int stage) {
    return dims * (8 >> stage);
}

static int code_size(const struct us_nn_arch *arch) {
    return arch->resolution / (arch->doubled ? 32 : 16);
}

static int mask_stages(const struct us_nn_arch *arch) {
    return arch->doubled ? 4 : 3;
}

struct name {
    char text[48];
};

static struct name join(const char *format, const char *prefix, int number) {
    struct name name;
    snprintf(name.text, sizeof name.text, format, prefix, number);
    return name;
}

static void layout_decoder(const struct us_nn_arch *arch, struct us_nn_layout *layout,
                           const char *prefix) {
    int in = arch->ae_dims;
    for (int i = 0; i < 3; i++) {
        const int out = stage_dims(arch->d_dims, i);
        nn_layout_conv(layout, join("%s.upscale%d", prefix, i).text, 4 * out, in, 3);
        nn_layout_conv(layout, join("%s.res%d.conv1", prefix, i).text, out, out, 3);
        nn_layout_conv(layout, join("%s.res%d.conv2", prefix, i).text, out, out, 3);
        in = out;
    }
    for (int i = 0; i < (arch->doubled ? 4 : 1); i++) {
        nn_layout_conv(layout, join("%s.out_conv%d", prefix, i).text, 3, in, i == 0 ? 1 : 3);
    }
    in = arch->ae_dims;
    for (int i = 0; i < mask_stages(arch); i++) {
        const int out = stage_dims(arch->d_mask_dims, i);
        nn_layout_conv(layout, join("%s.mask_upscale%d", prefix, i).text, 4 * out, in, 3);
        in = out;
    }
    nn_layout_conv(layout, join("%s.mask_out", prefix, 0).text, 1, in, 1);
}

static void df_layout(const struct us_nn_arch *arch, struct us_nn_layout *layout) {
    const int corner = arch->resolution / 16, size = code_size(arch), ae = arch->ae_dims;
    int in = 3;
    for (int i = 0; i < 4; i++) {
        const int out = arch->e_dims << i;
        nn_layout_conv(layout, join("%s.down%d", "encoder", i).text, out, in, 5);
        in = out;
    }
    nn_layout_dense(layout, "inter.dense1", ae, in * corner * corner);
    nn_layout_dense(layout, "inter.dense2", ae * size * size, ae);
    nn_layout_conv(layout, "inter.upscale", 4 * ae, ae, 3);
    layout_decoder(arch, layout, decoder_names[0]);
    layout_decoder(arch, layout, decoder_names[1]);
}

static struct nn_tensor *upscale(struct nn_net *net, struct nn_tensor *x, const char *name,
                                 int channels) {
    const struct nn_conv_options options = {.stride = 1, .slope = ACTIVATION, .slope_after = true};
    struct nn_weight *weight = nn_params_layer(net->params, name, NN_ROWS_SHUFFLE, 0);
    return nn_shuffle(net, nn_conv(net, x, weight, &options), channels, ACTIVATION);
}

static struct nn_tensor *residual(struct nn_net *net, struct nn_tensor *x, const char *prefix,
                                  int stage) {
    struct nn_params *params = net->params;
    struct nn_weight *first =
        nn_params_layer(params, join("%s.res%d.conv1", prefix, stage).text, NN_ROWS_PLAIN, 0);
    struct nn_weight *second =
        nn_params_layer(params, join("%s.res%d.conv2", prefix, stage).text, NN_ROWS_PLAIN, 0);
    struct nn_conv_options options = {.stride = 1, .slope = RESIDUAL};
    struct nn_tensor *inner = nn_conv(net, x, first, &options);
    options.residual = x;
    return nn_conv(net, inner, second, &options);
}

static struct nn_tensor *inter_and_encoder(struct nn_net *net, const struct us_nn_arch *arch,
                                           struct nn_tensor *input) {
    struct nn_params *params = net->params;
    struct nn_tensor *x = nn_input(net, input);
    for (int i = 0; i < 4; i++) {
        const struct nn_conv_options options = {.stride = 2, .slope = ACTIVATION, .first = i == 0};
        struct nn_weight *weight =
            nn_params_layer(params, join("%s.down%d", "encoder", i).text, NN_ROWS_PLAIN, 0);
        x = nn_conv(net, x, weight, &options);
    }
    if (arch->likeness) {
        x = nn_pixel_norm(net, x);
    }
    const int size = code_size(arch), ae = arch->ae_dims;
    x = nn_dense(net, x,
                 nn_params_layer(params, "inter.dense1", NN_ROWS_PLAIN, arch->resolution / 16), ae,
                 0);
    x = nn_dense(net, x, nn_params_layer(params, "inter.dense2", NN_ROWS_VECTOR, size), ae, size);
    return upscale(net, x, "inter.upscale", ae);
}

static struct nn_tensor *image_head(struct nn_net *net, const struct us_nn_arch *arch,
                                    struct nn_tensor *x, const char *prefix) {
    struct name parts[4];
    const char *names[4];
    for (int i = 0; i < 4; i++) {
        parts[i] = join("%s.out_conv%d", prefix, i);
        names[i] = parts[i].text;
    }
    struct nn_weight *weight =
        arch->doubled ? nn_params_merged(net->params, join("%s.out", prefix, 0).text, names, 4)
                      : nn_params_layer(net->params, names[0], NN_ROWS_PLAIN, 0);
    const struct nn_conv_options options = {.stride = 1, .slope = 1, .wide = true};
    return nn_head(net, nn_conv(net, x, weight, &options), 3, arch->doubled ? 2 : 1);
}

static struct nn_outputs decoder(struct nn_net *net, const struct us_nn_arch *arch,
                                 struct nn_tensor *code, const char *prefix) {
    struct nn_outputs out;
    struct nn_tensor *x = code;
    for (int i = 0; i < 3; i++) {
        const int channels = stage_dims(arch->d_dims, i);
        x = upscale(net, x, join("%s.upscale%d", prefix, i).text, channels);
        x = residual(net, x, prefix, i);
    }
    out.image = image_head(net, arch, x, prefix);
    x = code;
    for (int i = 0; i < mask_stages(arch); i++) {
        const int channels = stage_dims(arch->d_mask_dims, i);
        x = upscale(net, x, join("%s.mask_upscale%d", prefix, i).text, channels);
    }
    const struct nn_conv_options options = {.stride = 1, .slope = 1, .wide = true};
    struct nn_weight *last =
        nn_params_layer(net->params, join("%s.mask_out", prefix, 0).text, NN_ROWS_PLAIN, 0);
    out.mask = nn_head(net, nn_conv(net, x, last, &options), 1, 1);
    return out;
}

static void df_build(struct nn_net *net, const struct us_nn_arch *arch, struct nn_tensor *input,
                     struct nn_outputs outputs[2]) {
    struct nn_tensor *code = inter_and_encoder(net, arch, input);
    for (int side = 0; side < 2; side++) {
        struct nn_tensor *own = code;
        if (net->training && code) {
            own = nn_net_view(net, code, side * code->n / 2, code->n / 2);
        }
        net->sides = 1 << side;
        outputs[side] = decoder(net, arch, own, decoder_names[side]);
    }
    net->sides = 3;
}

const struct nn_family nn_df_family = {.layout = df_layout, .build = df_build};
