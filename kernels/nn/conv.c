#include "kernels/nn/linear_internal.h"

enum {
    WINOGRAD_TILES = 64, /* fewer of 4 x 4, or fewer channels: the direct method is faster */
    WINOGRAD_CHANNELS = 32
};

struct shapes {
    dnnl_memory_desc_t input, output, output_gradient, weights, master, bias;
    dnnl_dims_t strides, before, after;
    dnnl_alg_kind_t method;
};

/* Winograd's F(4x4, 3x3) (Lavin and Gray 2016) needs a quarter of the multiplications. */
static bool winograd_pays(const struct nn_net *net, const struct nn_linear *c, int stride) {
    const struct nn_weight *w = c->weight;
    const struct nn_tensor *y = c->output;
    const int tiles = y->n * ((y->h + 3) / 4) * ((y->w + 3) / 4);
    return net->type == dnnl_f32 && w->height == 3 && w->width == 3 && stride == 1 &&
           w->in >= WINOGRAD_CHANNELS && w->out >= WINOGRAD_CHANNELS && tiles >= WINOGRAD_TILES;
}

static enum us_nn_status describe(const struct nn_net *net, const struct nn_linear *c, int stride,
                                  struct shapes *s) {
    const struct nn_weight *w = c->weight;
    const dnnl_dims_t dims = {w->out, w->in, w->height, w->width}, bias = {w->out};
    enum us_nn_status status = nn_describe(net, c->input, false, net->type, &s->input);
    if (!status) {
        status = nn_describe(net, c->output, false, c->output->type, &s->output);
    }
    if (!status) {
        status = nn_describe(net, c->output, false, net->type, &s->output_gradient);
    }
    dnnl_memory_desc_init_by_tag(&s->weights, 4, dims, net->type, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&s->master, 4, dims, dnnl_f32, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&s->bias, 1, bias, dnnl_f32, dnnl_a);
    const int out[2] = {c->output->h, c->output->w}, in[2] = {c->input->h, c->input->w};
    const int kernel[2] = {w->height, w->width};
    for (int i = 0; i < 2; i++) {
        const int total = (out[i] - 1) * stride + kernel[i] - in[i];
        s->strides[i] = stride;
        s->before[i] = total > 0 ? total / 2 : 0;
        s->after[i] = total - s->before[i];
    }
    return status;
}

static enum us_nn_status describe_forward(struct nn_net *net, struct nn_linear *c,
                                          struct shapes *s) {
    dnnl_convolution_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    enum us_nn_status status = nn_attributes(&attr);
    if (!status) {
        status = nn_dnnl(dnnl_post_ops_create(&ops));
    }
    if (!status && c->residual && !c->bare) {
        status = nn_dnnl(dnnl_post_ops_append_binary(ops, dnnl_binary_add, &s->output));
    }
    if (!status && c->slope < 1 && !c->bare) {
        status = nn_dnnl(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, c->slope, 0));
    }
    if (!status) {
        dnnl_primitive_attr_set_post_ops(attr, ops);
        status = nn_dnnl(dnnl_convolution_forward_desc_init(
            &desc, net->training || c->bare ? dnnl_forward_training : dnnl_forward_inference,
            s->method, &s->input, &s->weights, &s->bias, &s->output, s->strides, s->before,
            s->after));
    }
    if (!status) {
        status = nn_dnnl(
            dnnl_primitive_desc_create(&c->forward_desc, &desc, attr, net->params->engine, NULL));
    }
    dnnl_post_ops_destroy(ops);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static enum us_nn_status describe_backward(struct nn_net *net, struct nn_linear *c, bool first,
                                           struct shapes *s) {
    dnnl_convolution_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    enum us_nn_status status = nn_attributes(&attr);
    if (!status) {
        status = nn_dnnl(dnnl_convolution_backward_weights_desc_init(
            &desc, s->method, &s->input, &s->master, &s->bias, &s->output_gradient, s->strides,
            s->before, s->after));
    }
    if (!status) {
        status = nn_dnnl(dnnl_primitive_desc_create(&c->weights_desc, &desc, attr,
                                                    net->params->engine, c->forward_desc));
    }
    if (!status && !first) {
        status = nn_dnnl(dnnl_convolution_backward_data_desc_init(&desc, s->method, &s->input,
                                                                  &s->weights, &s->output_gradient,
                                                                  s->strides, s->before, s->after));
        if (!status) {
            status = nn_dnnl(dnnl_primitive_desc_create(&c->data_desc, &desc, attr,
                                                        net->params->engine, c->forward_desc));
        }
    }
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static enum us_nn_status describe_all(struct nn_net *net, struct nn_linear *c, bool first,
                                      struct shapes *s) {
    enum us_nn_status status = describe_forward(net, c, s);
    if (!status && net->training) {
        status = describe_backward(net, c, first, s);
    }
    return status;
}

struct nn_tensor *nn_conv(struct nn_net *net, struct nn_tensor *input, struct nn_weight *weight,
                          const struct nn_conv_options *options) {
    struct nn_linear *c = input && weight ? nn_net_op(net, &nn_linear_type, sizeof *c) : NULL;
    if (!c) {
        net->status = net->status ? net->status : US_NN_FAILED;
        return NULL;
    }
    const int h = (input->h + options->stride - 1) / options->stride;
    const int w = (input->w + options->stride - 1) / options->stride;
    c->input = input;
    c->weight = weight;
    c->residual = options->residual;
    c->slope = options->slope;
    c->slope_after = options->slope_after;
    c->output = nn_net_tensor(net, NN_BLOCKED, input->n, weight->channels, h, w, options->wide);
    if (!c->output) {
        return NULL;
    }
    struct shapes shapes = {0};
    enum us_nn_status status = describe(net, c, options->stride, &shapes);
    if (status) {
        return nn_linear_finish(net, c, status);
    }
    shapes.method = dnnl_convolution_winograd;
    c->bare = true;
    if (!winograd_pays(net, c, options->stride) ||
        describe_all(net, c, options->first, &shapes) == US_NN_UNSUPPORTED) {
        nn_linear_release_descs(c);
        shapes.method = dnnl_convolution_direct;
        c->bare = false;
        status = describe_all(net, c, options->first, &shapes);
    }
    return nn_linear_finish(net, c, status);
}
