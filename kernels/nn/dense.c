#include "kernels/nn/linear_internal.h"

struct shapes {
    dnnl_memory_desc_t input, output, weights, master, bias;
};

static enum us_nn_status describe(const struct nn_net *net, const struct nn_linear *d,
                                  struct shapes *s) {
    const struct nn_weight *w = d->weight;
    const int rank = d->input->format == NN_FLAT ? 2 : 4;
    const dnnl_dims_t dims = {w->out, w->in, w->height, w->width}, bias = {w->out};
    enum us_nn_status status = nn_describe(net, d->input, false, net->type, &s->input);
    if (!status) {
        status = nn_describe(net, d->output, true, net->type, &s->output);
    }
    dnnl_memory_desc_init_by_tag(&s->weights, rank, dims, net->type, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&s->master, rank, dims, dnnl_f32, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&s->bias, 1, bias, dnnl_f32, dnnl_a);
    return status;
}

static enum us_nn_status describe_forward(struct nn_net *net, struct nn_linear *d,
                                          const struct shapes *s,
                                          const_dnnl_primitive_attr_t attr) {
    dnnl_inner_product_desc_t desc;
    const enum us_nn_status status = nn_dnnl(dnnl_inner_product_forward_desc_init(
        &desc, net->training ? dnnl_forward_training : dnnl_forward_inference, &s->input,
        &s->weights, &s->bias, &s->output));
    return status ? status
                  : nn_dnnl(dnnl_primitive_desc_create(&d->forward_desc, &desc, attr,
                                                       net->params->engine, NULL));
}

static enum us_nn_status describe_backward(struct nn_net *net, struct nn_linear *d,
                                           const struct shapes *s,
                                           const_dnnl_primitive_attr_t attr) {
    dnnl_inner_product_desc_t desc;
    enum us_nn_status status = nn_dnnl(dnnl_inner_product_backward_weights_desc_init(
        &desc, &s->input, &s->master, &s->bias, &s->output));
    if (!status) {
        status = nn_dnnl(dnnl_primitive_desc_create(&d->weights_desc, &desc, attr,
                                                    net->params->engine, d->forward_desc));
    }
    if (!status) {
        status = nn_dnnl(
            dnnl_inner_product_backward_data_desc_init(&desc, &s->input, &s->weights, &s->output));
    }
    return status ? status
                  : nn_dnnl(dnnl_primitive_desc_create(&d->data_desc, &desc, attr,
                                                       net->params->engine, d->forward_desc));
}

static enum us_nn_status set_slope(dnnl_primitive_attr_t attr, float slope) {
    dnnl_post_ops_t ops = NULL;
    if (slope >= 1) {
        return US_NN_OK;
    }
    enum us_nn_status status = nn_dnnl(dnnl_post_ops_create(&ops));
    if (!status) {
        status = nn_dnnl(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, slope, 0));
    }
    if (!status) {
        status = nn_dnnl(dnnl_primitive_attr_set_post_ops(attr, ops));
    }
    dnnl_post_ops_destroy(ops);
    return status;
}

static enum us_nn_status describe_all(struct nn_net *net, struct nn_linear *d) {
    struct shapes shapes = {0};
    dnnl_primitive_attr_t attr = NULL, plain = NULL;
    enum us_nn_status status = describe(net, d, &shapes);
    status = status ? status : nn_attributes(&attr);
    status = status ? status : set_slope(attr, d->slope);
    status = status ? status : describe_forward(net, d, &shapes, attr);
    status = status ? status : nn_attributes(&plain);
    if (!status && net->training) {
        status = describe_backward(net, d, &shapes, plain);
    }
    dnnl_primitive_attr_destroy(plain);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

struct nn_tensor *nn_dense(struct nn_net *net, struct nn_tensor *input, struct nn_weight *weight,
                           int channels, int size, float slope) {
    struct nn_linear *d = input && weight ? nn_net_op(net, &nn_linear_type, sizeof *d) : NULL;
    if (!d) {
        net->status = net->status ? net->status : US_NN_FAILED;
        return NULL;
    }
    d->input = input;
    d->weight = weight;
    d->slope = slope;
    d->output = size > 0 ? nn_net_tensor(net, NN_BLOCKED, input->n, channels, size, size, false)
                         : nn_net_tensor(net, NN_FLAT, input->n, channels, 1, 1, false);
    return d->output ? nn_linear_finish(net, d, describe_all(net, d)) : NULL;
}
