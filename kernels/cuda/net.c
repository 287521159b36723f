#include <string.h>

#include "kernels/cuda/net_internal.h"

void cu_net_init(struct cu_net *net, const struct nn_graph *graph, struct cu_params *params,
                 enum nn_cuda_type type, int batch) {
    memset(net, 0, sizeof *net);
    net->graph = graph;
    net->params = params;
    net->type = type;
    net->batch = batch;
    net->status = graph->status;
    for (int i = 0; i < NN_GRAPH_NODES; i++) {
        struct cu_value *value = &net->values[i];
        value->ref.buffer = value->raw.buffer = CU_NOWHERE;
        value->units.buffer = value->gradient.buffer = CU_NOWHERE;
    }
}

struct cu_ref cu_net_buffer(struct cu_net *net, size_t bytes) {
    const struct cu_ref ref = {.buffer = nn_plan_add(&net->plan, bytes)};
    if (ref.buffer < 0) {
        net->status = net->status ? net->status : US_NN_FAILED;
    }
    return ref;
}

struct cu_ref cu_net_kept(struct cu_net *net, size_t bytes) {
    const struct cu_ref ref = cu_net_buffer(net, bytes);
    cu_net_keep(net, ref);
    return ref;
}

struct cu_ref cu_ref_behind(struct cu_ref ref, size_t bytes) {
    return (struct cu_ref){ref.buffer, ref.offset + bytes};
}

struct cu_op *cu_net_op(struct cu_net *net, cu_run *run, enum cu_phase phase, int node) {
    if (net->op_count == CU_OPS) {
        net->status = net->status ? net->status : US_NN_FAILED;
        net->op_count--; /* overwritten, never run */
    }
    struct cu_op *op = &net->ops[net->op_count++];
    *op = (struct cu_op){.run = run,
                         .phase = phase,
                         .decoders = net->graph->nodes[node].decoders,
                         .wait = -1,
                         .slope = 1,
                         .plan = -1};
    return op;
}

static void touch(struct cu_op *op, struct cu_ref ref, size_t bytes, bool write) {
    op->accesses[op->access_count++] = (struct cu_access){ref, bytes, write};
}

void cu_op_read(struct cu_op *op, struct cu_ref ref, size_t bytes) {
    touch(op, ref, bytes, false);
}

void cu_op_write(struct cu_op *op, struct cu_ref ref, size_t bytes) {
    touch(op, ref, bytes, true);
}

void cu_net_keep(struct cu_net *net, struct cu_ref ref) {
    if (ref.buffer >= 0) {
        net->kept[ref.buffer] = true;
    }
}

void *cu_net_at(const struct cu_net *net, struct cu_ref ref) {
    if (ref.buffer >= 0) {
        return net->spaces[0] + net->plan.buffers[ref.buffer].offset + ref.offset;
    }
    return ref.buffer == CU_NOWHERE ? NULL : net->spaces[-ref.buffer] + ref.offset;
}
