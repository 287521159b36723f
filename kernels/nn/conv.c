#include "kernels/nn/linear_internal.h"

#include <omp.h>

enum {
    WINOGRAD_TILES = 64, /* fewer of 4 x 4, or fewer channels: the direct method is faster */
    WINOGRAD_CHANNELS = 32,
    WINOGRAD_THREADS = (1 << 20) - 1
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

/* Forward and the data's gradient share out no sum. But the number of threads decides between two
 * ways through Winograd's method that block their sums differently; with one as large as this it is
 * always the way that runs on whatever threads there are then. */
static enum us_nn_status make_desc(const struct nn_net *net, const struct shapes *s,
                                   const dnnl_convolution_desc_t *desc,
                                   const_dnnl_primitive_attr_t attr,
                                   const_dnnl_primitive_desc_t forward,
                                   dnnl_primitive_desc_t *made) {
    const int threads = omp_get_max_threads();
    if (s->method == dnnl_convolution_winograd) {
        omp_set_num_threads(WINOGRAD_THREADS);
    }
    const enum us_nn_status status =
        nn_dnnl(dnnl_primitive_desc_create(made, desc, attr, net->params->engine, forward));
    omp_set_num_threads(threads);
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
        status = make_desc(net, s, &desc, attr, NULL, &c->forward_desc);
    }
    dnnl_post_ops_destroy(ops);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

/* How the weights' gradient lies when one thread makes all of it. */
static enum us_nn_status describe_made(struct nn_net *net, struct nn_linear *c, struct shapes *s,
                                       const_dnnl_primitive_attr_t attr) {
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t whole = NULL;
    enum us_nn_status status = nn_dnnl(dnnl_convolution_backward_weights_desc_init(
        &desc, s->method, &s->input, &s->master, &s->bias, &s->output_gradient, s->strides,
        s->before, s->after));
    if (!status) {
        const int threads = omp_get_max_threads();
        omp_set_num_threads(1);
        status = nn_dnnl(
            dnnl_primitive_desc_create(&whole, &desc, attr, net->params->engine, c->forward_desc));
        omp_set_num_threads(threads);
    }
    if (!status) {
        c->made = *nn_query(whole, dnnl_query_diff_weights_md, 0);
        dnnl_primitive_desc_destroy(whole);
    }
    return status;
}

static enum us_nn_status describe_weights(struct nn_net *net, struct nn_linear *c, struct shapes *s,
                                          const_dnnl_primitive_attr_t attr) {
    const struct nn_tensor *x = c->input, *y = c->output;
    const struct nn_conv_shape shape = {.n = x->n,
                                        .in = c->weight->in,
                                        .out = c->weight->out,
                                        .block = net->params->block,
                                        .taps = c->weight->height * c->weight->width,
                                        .in_area = x->h * x->w,
                                        .out_area = y->h * y->w,
                                        .winograd = s->method == dnnl_convolution_winograd,
                                        .bf16 = net->type == dnnl_bf16};
    const struct nn_conv_recipe recipe = {.method = s->method,
                                          .source = &s->input,
                                          .weights = &c->made,
                                          .gradient_type = net->type,
                                          .out_height = y->h,
                                          .out_width = y->w,
                                          .strides = s->strides,
                                          .before = s->before,
                                          .after = s->after,
                                          .forward = c->forward_desc};
    const enum us_nn_status status = describe_made(net, c, s, attr);
    return status ? status : nn_conv_parts_init(&c->parts, net, &shape, &recipe);
}

static enum us_nn_status describe_data(struct nn_net *net, struct nn_linear *c, struct shapes *s,
                                       const_dnnl_primitive_attr_t attr) {
    dnnl_convolution_desc_t desc;
    const enum us_nn_status status = nn_dnnl(dnnl_convolution_backward_data_desc_init(
        &desc, s->method, &s->input, &s->weights, &s->output_gradient, s->strides, s->before,
        s->after));
    return status ? status : make_desc(net, s, &desc, attr, c->forward_desc, &c->data_desc);
}

static enum us_nn_status describe_backward(struct nn_net *net, struct nn_linear *c, bool first,
                                           struct shapes *s) {
    dnnl_primitive_attr_t attr = NULL;
    enum us_nn_status status = nn_attributes(&attr);
    if (!status) {
        status = describe_weights(net, c, s, attr);
    }
    if (!status && !first) {
        status = describe_data(net, c, s, attr);
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
