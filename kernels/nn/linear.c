#include "kernels/nn/linear_internal.h"

#include "kernels/nn/pointwise_internal.h"

/* A buffer for a tensor whose layout or type is not the arena's. */
static struct nn_ref shadow(struct nn_net *net, const struct nn_weight *w,
                            const dnnl_memory_desc_t *desc, int moment) {
    const struct nn_ref none = {.buffer = -1};
    if (!desc || dnnl_memory_desc_equal(desc, &w->desc)) {
        return none;
    }
    return nn_net_temporary(net, dnnl_memory_desc_get_size(desc), moment, moment);
}

/* Where the weights live: as their gradient comes out when training, else as forward reads them. */
static enum us_nn_status place(struct nn_net *net, struct nn_linear *c) {
    dnnl_memory_desc_t home =
        net->training ? c->made : *nn_query(c->forward_desc, dnnl_query_weights_md, 0);
    if (!c->weight->placed && home.data_type != dnnl_f32) {
        return US_NN_UNSUPPORTED;
    }
    return nn_params_place(net->params, c->weight, &home);
}

static void plan_buffers(struct nn_net *net, struct nn_linear *c) {
    const int now = nn_forward_moment(&c->op), later = nn_backward_moment(&c->op);
    nn_net_use_value(net, c->input, now);
    nn_net_use_value(net, c->output, now);
    nn_net_scratch(net, nn_scratch_bytes(c->forward_desc));
    c->forward_weights =
        shadow(net, c->weight, nn_query(c->forward_desc, dnnl_query_weights_md, 0), now);
    if (c->residual) {
        nn_net_use_value(net, c->residual, now);
    }
    c->data_weights.buffer = c->weights_gradient.buffer = c->input_gradient.buffer = -1;
    if (!net->training) {
        return;
    }
    nn_net_use_value(net, c->input, later);
    if (c->slope < 1 && !c->slope_after) {
        nn_net_use_value(net, c->output, later);
    }
    nn_conv_parts_plan(&c->parts, net, later);
    c->weights_gradient = shadow(net, c->weight, &c->made, later);
    if (c->data_desc) {
        nn_net_scratch(net, nn_scratch_bytes(c->data_desc));
        c->data_weights =
            shadow(net, c->weight, nn_query(c->data_desc, dnnl_query_weights_md, 0), later);
        c->input_gradient = nn_net_claim(net, c->input, later, NULL);
    }
}

static enum us_nn_status bind_forward(struct nn_net *net, struct nn_linear *c) {
    float *master = net->weights + c->weight->offset;
    void *loaded = nn_net_at(net, c->forward_weights);
    const dnnl_memory_desc_t *wanted = nn_query(c->forward_desc, dnnl_query_weights_md, 0);
    struct nn_call *call = &c->forward;
    enum us_nn_status status = nn_call_create(net, call, c->forward_desc);
    const dnnl_memory_desc_t *output = nn_query(c->forward_desc, dnnl_query_dst_md, 0);
    status = status ? status
                    : nn_call_bind(net, call, DNNL_ARG_SRC,
                                   nn_query(c->forward_desc, dnnl_query_src_md, 0),
                                   nn_net_at(net, c->input->value));
    status = status ? status
                    : nn_call_bind(net, call, DNNL_ARG_WEIGHTS, wanted, loaded ? loaded : master);
    status = status ? status
                    : nn_call_bind(net, call, DNNL_ARG_BIAS,
                                   nn_query(c->forward_desc, dnnl_query_weights_md, 1),
                                   net->weights + c->weight->bias_offset);
    status = status
                 ? status
                 : nn_call_bind(net, call, DNNL_ARG_DST, output, nn_net_at(net, c->output->value));
    if (!status && c->residual && !c->bare) {
        status = nn_call_bind(net, call, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, output,
                              nn_net_at(net, c->residual->value));
    }
    if (!status && loaded) {
        status = nn_reorder_bind(net, &c->load_forward, &c->weight->desc, master, wanted, loaded);
    }
    return status;
}

static enum us_nn_status bind_weights(struct nn_net *net, struct nn_linear *c) {
    float *arena = net->gradients + c->weight->offset, *own = nn_net_at(net, c->weights_gradient);
    const struct nn_conv_gradient gradient = {.source = nn_net_at(net, c->input->value),
                                              .output_gradient =
                                                  nn_net_at(net, c->output->grads[0]),
                                              .weights = own ? own : arena,
                                              .bias = net->gradients + c->weight->bias_offset};
    const enum us_nn_status status = nn_conv_parts_bind(&c->parts, net, &gradient);
    return status || !own
               ? status
               : nn_reorder_bind(net, &c->store_gradient, &c->made, own, &c->weight->desc, arena);
}

static enum us_nn_status bind_data(struct nn_net *net, struct nn_linear *c) {
    float *master = net->weights + c->weight->offset;
    void *loaded = nn_net_at(net, c->data_weights);
    const dnnl_memory_desc_t *wanted = nn_query(c->data_desc, dnnl_query_weights_md, 0);
    struct nn_call *call = &c->data;
    enum us_nn_status status = nn_call_create(net, call, c->data_desc);
    status = status ? status
                    : nn_call_bind(net, call, DNNL_ARG_WEIGHTS, wanted, loaded ? loaded : master);
    status = status ? status
                    : nn_call_bind(net, call, DNNL_ARG_DIFF_DST,
                                   nn_query(c->data_desc, dnnl_query_diff_dst_md, 0),
                                   nn_net_at(net, c->output->grads[0]));
    status = status ? status
                    : nn_call_bind(net, call, DNNL_ARG_DIFF_SRC,
                                   nn_query(c->data_desc, dnnl_query_diff_src_md, 0),
                                   nn_net_at(net, c->input_gradient));
    if (!status && loaded) {
        status = nn_reorder_bind(net, &c->load_data, &c->weight->desc, master, wanted, loaded);
    }
    return status;
}

static enum us_nn_status linear_bind(struct nn_net *net, struct nn_op *op) {
    struct nn_linear *c = (struct nn_linear *)op;
    enum us_nn_status status = bind_forward(net, c);
    if (!status && net->training) {
        status = bind_weights(net, c);
    }
    if (!status && c->data_desc) {
        status = bind_data(net, c);
    }
    return status;
}

static enum us_nn_status linear_forward(struct nn_net *net, struct nn_op *op) {
    struct nn_linear *c = (struct nn_linear *)op;
    enum us_nn_status status = nn_call_run(net, &c->load_forward);
    status = status ? status : nn_call_run(net, &c->forward);
    if (!status && c->bare && (c->residual || c->slope < 1)) {
        nn_slope_forward(nn_net_at(net, c->output->value),
                         c->residual ? nn_net_at(net, c->residual->value) : NULL, c->slope,
                         nn_tensor_elements(c->output));
    }
    return status;
}

/* The gradient before the leaky ReLU, in place of the first gradient of the output. */
static void through_slope(struct nn_net *net, struct nn_linear *c) {
    const struct nn_tensor *y = c->output;
    if (c->slope_after || (c->slope >= 1 && y->grad_count < 2)) {
        return;
    }
    nn_slope_backward(net->type, nn_net_at(net, y->grads[0]), nn_net_at(net, y->grads[1]),
                      nn_net_at(net, y->value), c->slope, nn_tensor_elements(y));
}

static enum us_nn_status linear_backward(struct nn_net *net, struct nn_op *op) {
    struct nn_linear *c = (struct nn_linear *)op;
    through_slope(net, c);
    enum us_nn_status status = nn_conv_parts_run(&c->parts, net);
    if (!status) {
        status = nn_call_run(net, &c->store_gradient);
    }
    for (size_t i = 0; c->weight->mask && i < c->weight->count; i++) {
        net->gradients[c->weight->offset + i] *= c->weight->mask[i];
    }
    if (!status) {
        status = nn_call_run(net, &c->load_data);
    }
    return status ? status : nn_call_run(net, &c->data);
}

void nn_linear_release_descs(struct nn_linear *c) {
    dnnl_primitive_desc_t *descs[] = {&c->forward_desc, &c->data_desc};
    for (size_t i = 0; i < sizeof descs / sizeof *descs; i++) {
        if (*descs[i]) {
            dnnl_primitive_desc_destroy(*descs[i]);
        }
        *descs[i] = NULL;
    }
    nn_conv_parts_release(&c->parts);
}

static void linear_release(struct nn_op *op) {
    struct nn_linear *c = (struct nn_linear *)op;
    struct nn_call *calls[] = {&c->forward, &c->data, &c->load_forward, &c->load_data,
                               &c->store_gradient};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        nn_call_release(calls[i]);
    }
    nn_linear_release_descs(c);
}

const struct nn_op_type nn_linear_type = {linear_bind, linear_forward, linear_backward,
                                          linear_release, 2};

struct nn_tensor *nn_linear_finish(struct nn_net *net, struct nn_linear *c,
                                   enum us_nn_status status) {
    status = status ? status : place(net, c);
    if (!status) {
        c->output->producer = &c->op;
        c->op.output = c->output;
        c->op.weight = c->weight;
        c->output->residual = c->residual;
        plan_buffers(net, c);
    }
    net->status = net->status ? net->status : status;
    return net->status ? NULL : c->output;
}
