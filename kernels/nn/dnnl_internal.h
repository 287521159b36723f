/* Small helpers over oneDNN's C API (2.x). */
#ifndef US_KERNELS_NN_DNNL_INTERNAL_H
#define US_KERNELS_NN_DNNL_INTERNAL_H

#include <stdbool.h>

#include "kernels/nn/dnnl_library.h"
#include "kernels/nn/net_internal.h"
#include "kernels/nn/params_internal.h"

enum us_nn_status nn_dnnl(dnnl_status_t status);

/* A primitive with its arguments bound. All zero: nothing to run. */
struct nn_call {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[8];
    int count;
};

void nn_call_release(struct nn_call *call);
/* The primitive of a descriptor, with the scratchpad it asks for. */
enum us_nn_status nn_call_create(struct nn_net *net, struct nn_call *call,
                                 const_dnnl_primitive_desc_t desc);
/* `query` names the argument's descriptor: dnnl_query_src_md and so on. */
enum us_nn_status nn_call_bind(struct nn_net *net, struct nn_call *call, int argument,
                               const dnnl_memory_desc_t *desc, void *data);
enum us_nn_status nn_call_run(struct nn_net *net, struct nn_call *call);

const dnnl_memory_desc_t *nn_query(const_dnnl_primitive_desc_t desc, dnnl_query_t what, int index);
size_t nn_scratch_bytes(const_dnnl_primitive_desc_t desc);
/* An attribute set that asks for the caller's scratchpad. */
enum us_nn_status nn_attributes(dnnl_primitive_attr_t *attr);

/* What oneDNN calls a tensor's value (or gradient). `flat` reads a blocked tensor as n x vector. */
enum us_nn_status nn_describe(const struct nn_net *net, const struct nn_tensor *tensor, bool flat,
                              dnnl_data_type_t type, dnnl_memory_desc_t *desc);

/* A copy between layouts and types, kept as a call; does nothing when both are equal. */
enum us_nn_status nn_reorder_bind(struct nn_net *net, struct nn_call *call,
                                  const dnnl_memory_desc_t *from, void *from_data,
                                  const dnnl_memory_desc_t *to, void *to_data);
enum us_nn_status nn_reorder_once(const struct nn_params *params, const dnnl_memory_desc_t *from,
                                  void *from_data, const dnnl_memory_desc_t *to, void *to_data);

#endif
