#include "kernels/nn/dnnl_internal.h"

enum us_nn_status nn_dnnl(dnnl_status_t status) {
    return status == dnnl_success         ? US_NN_OK
           : status == dnnl_out_of_memory ? US_NN_NO_MEMORY
           : status == dnnl_unimplemented ? US_NN_UNSUPPORTED
                                          : US_NN_FAILED;
}

void nn_call_release(struct nn_call *call) {
    for (int i = 0; i < call->count; i++) {
        dnnl_memory_destroy(call->args[i].memory);
    }
    if (call->primitive) {
        dnnl_primitive_destroy(call->primitive);
    }
    *call = (struct nn_call){0};
}

enum us_nn_status nn_call_bind(struct nn_net *net, struct nn_call *call, int argument,
                               const dnnl_memory_desc_t *desc, void *data) {
    dnnl_memory_t memory;
    const enum us_nn_status status =
        nn_dnnl(dnnl_memory_create(&memory, desc, net->params->engine, data));
    if (!status) {
        call->args[call->count++] = (dnnl_exec_arg_t){.arg = argument, .memory = memory};
    }
    return status;
}

enum us_nn_status nn_call_create(struct nn_net *net, struct nn_call *call,
                                 const_dnnl_primitive_desc_t desc) {
    const enum us_nn_status status = nn_dnnl(dnnl_primitive_create(&call->primitive, desc));
    const dnnl_memory_desc_t *scratch = nn_query(desc, dnnl_query_scratchpad_md, 0);
    if (status || dnnl_memory_desc_get_size(scratch) == 0) {
        return status;
    }
    const struct nn_ref ref = {.buffer = net->scratch};
    return nn_call_bind(net, call, DNNL_ARG_SCRATCHPAD, scratch, nn_net_at(net, ref));
}

enum us_nn_status nn_call_run(struct nn_net *net, struct nn_call *call) {
    if (!call->primitive) {
        return US_NN_OK;
    }
    return nn_dnnl(
        dnnl_primitive_execute(call->primitive, net->params->stream, call->count, call->args));
}

const dnnl_memory_desc_t *nn_query(const_dnnl_primitive_desc_t desc, dnnl_query_t what, int index) {
    return dnnl_primitive_desc_query_md(desc, what, index);
}

size_t nn_scratch_bytes(const_dnnl_primitive_desc_t desc) {
    return dnnl_memory_desc_get_size(nn_query(desc, dnnl_query_scratchpad_md, 0));
}

enum us_nn_status nn_attributes(dnnl_primitive_attr_t *attr) {
    const enum us_nn_status status = nn_dnnl(dnnl_primitive_attr_create(attr));
    return status
               ? status
               : nn_dnnl(dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user));
}

enum us_nn_status nn_describe(const struct nn_net *net, const struct nn_tensor *tensor, bool flat,
                              dnnl_data_type_t type, dnnl_memory_desc_t *desc) {
    if (flat || tensor->format == NN_FLAT) {
        const dnnl_dims_t dims = {tensor->n,
                                  (dnnl_dim_t)(nn_tensor_elements(tensor) / (size_t)tensor->n)};
        return nn_dnnl(dnnl_memory_desc_init_by_tag(desc, 2, dims, type, dnnl_ab));
    }
    const bool planar = tensor->format == NN_PLANAR;
    const dnnl_format_tag_t tag = planar                     ? dnnl_abcd
                                  : net->params->block == 16 ? dnnl_aBcd16b
                                                             : dnnl_aBcd8b;
    const dnnl_dims_t dims = {tensor->n, planar ? tensor->c : tensor->padded, tensor->h, tensor->w};
    return nn_dnnl(dnnl_memory_desc_init_by_tag(desc, 4, dims, type, tag));
}

static dnnl_status_t make_reorder(dnnl_engine_t engine, const dnnl_memory_desc_t *from,
                                  const dnnl_memory_desc_t *to, dnnl_primitive_t *primitive) {
    dnnl_primitive_desc_t desc;
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&desc, from, engine, to, engine, NULL);
    if (status == dnnl_success) {
        status = dnnl_primitive_create(primitive, desc);
        dnnl_primitive_desc_destroy(desc);
    }
    return status;
}

enum us_nn_status nn_reorder_bind(struct nn_net *net, struct nn_call *call,
                                  const dnnl_memory_desc_t *from, void *from_data,
                                  const dnnl_memory_desc_t *to, void *to_data) {
    if (dnnl_memory_desc_equal(from, to)) {
        return US_NN_OK;
    }
    enum us_nn_status status =
        nn_dnnl(make_reorder(net->params->engine, from, to, &call->primitive));
    if (!status) {
        status = nn_call_bind(net, call, DNNL_ARG_FROM, from, from_data);
    }
    if (!status) {
        status = nn_call_bind(net, call, DNNL_ARG_TO, to, to_data);
    }
    return status;
}

enum us_nn_status nn_reorder_once(const struct nn_params *params, const dnnl_memory_desc_t *from,
                                  void *from_data, const dnnl_memory_desc_t *to, void *to_data) {
    struct nn_net net = {.params = (struct nn_params *)params};
    struct nn_call call = {0};
    enum us_nn_status status = nn_dnnl(make_reorder(params->engine, from, to, &call.primitive));
    if (!status) {
        status = nn_call_bind(&net, &call, DNNL_ARG_FROM, from, from_data);
    }
    if (!status) {
        status = nn_call_bind(&net, &call, DNNL_ARG_TO, to, to_data);
    }
    if (!status) {
        status = nn_call_run(&net, &call);
    }
    nn_call_release(&call);
    return status;
}
