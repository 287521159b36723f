#include "kernels/nn/net_internal.h"

#include <string.h>

#include "kernels/nn/memory.h"
#include "kernels/nn/pointwise_internal.h"

int nn_forward_moment(const struct nn_op *op) {
    return 1 + op->index;
}

int nn_backward_moment(const struct nn_op *op) {
    return 3 * NN_OPS - op->index;
}

size_t nn_type_size(dnnl_data_type_t type) {
    return type == dnnl_bf16 ? 2 : 4;
}

size_t nn_tensor_elements(const struct nn_tensor *t) {
    const size_t channels = (size_t)(t->format == NN_BLOCKED ? t->padded : t->c);
    return (size_t)t->n * channels * (size_t)t->h * (size_t)t->w;
}

void nn_net_init(struct nn_net *net, struct nn_params *params, bool training, bool bf16) {
    memset(net, 0, sizeof *net);
    net->params = params;
    net->training = training;
    net->type = bf16 ? dnnl_bf16 : dnnl_f32;
    net->sides = NN_ALL_SIDES;
    net->scratch = nn_plan_add(&net->plan, 64);
    nn_plan_use(&net->plan, net->scratch, 0);
    nn_plan_use(&net->plan, net->scratch, NN_PLAN_END);
}

void nn_net_finish(struct nn_net *net) {
    for (int i = 0; i < net->op_count; i++) {
        if (net->ops[i]->type->release) {
            net->ops[i]->type->release(net->ops[i]);
        }
        us_nn_free(net->ops[i]);
    }
    us_nn_free(net->arena);
    net->op_count = 0;
    net->arena = NULL;
}

size_t nn_net_memory(struct nn_net *net) {
    for (int i = 0; i < net->tensor_count; i++) {
        struct nn_tensor *t = &net->tensors[i];
        if (t->residual && t->grad_count > 0) {
            nn_net_claim(net, t->residual, nn_backward_moment(t->producer), &t->grads[0]);
            t->residual = NULL;
        }
    }
    for (int i = 0; i < net->tensor_count; i++) {
        const struct nn_tensor *t = &net->tensors[i];
        for (int g = 0; g < t->grad_count && t->producer && !t->parent; g++) {
            nn_plan_use(&net->plan, t->grads[g].buffer, nn_backward_moment(t->producer));
        }
    }
    nn_plan_solve(&net->plan);
    return net->plan.size;
}

enum us_nn_status nn_net_bind(struct nn_net *net, float *weights, float *gradients) {
    if (net->status) {
        return net->status;
    }
    net->arena = us_nn_alloc(nn_net_memory(net));
    if (!net->arena) {
        return US_NN_NO_MEMORY;
    }
    net->weights = weights;
    net->gradients = gradients;
    for (int i = 0; i < net->op_count && !net->status; i++) {
        if (net->ops[i]->type->bind) {
            net->status = net->ops[i]->type->bind(net, net->ops[i]);
        }
    }
    return net->status;
}

enum us_nn_status nn_net_forward(struct nn_net *net, unsigned sides) {
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < net->op_count && !status; i++) {
        if (net->ops[i]->sides & sides) {
            status = net->ops[i]->type->forward(net, net->ops[i]);
        }
    }
    return status;
}

static void add_gradients(struct nn_net *net, const struct nn_op *op) {
    const struct nn_tensor *t = op->output;
    const int kept = op->type->gradients > 1 ? op->type->gradients : 1;
    for (int i = kept; t && i < t->grad_count; i++) {
        nn_add(t->grad_type, nn_net_at(net, t->grads[kept - 1]), nn_net_at(net, t->grads[i]),
               nn_tensor_elements(t));
    }
}

/* Where the gradients begin that no operation before `index` adds to: weights lie in the order of
 * their first use. */
static size_t made_from(const struct nn_net *net, int index) {
    size_t from = index > 0 ? net->params->arena_count : 0;
    for (int i = 0; i < index; i++) {
        const struct nn_weight *w = net->ops[i]->weight;
        const size_t end = w ? w->bias_offset + ((size_t)w->out + 15) / 16 * 16 : 0;
        from = i == 0 || end > from ? end : from;
    }
    return from;
}

enum us_nn_status nn_net_backward(struct nn_net *net) {
    enum us_nn_status status = US_NN_OK;
    for (int i = net->op_count; i-- > 0 && !status;) {
        add_gradients(net, net->ops[i]);
        status = net->ops[i]->type->backward(net, net->ops[i]);
        if (net->made && !status) {
            net->made(net->made_context, made_from(net, i));
        }
    }
    return status;
}

static struct nn_tensor *new_tensor(struct nn_net *net) {
    if (!net->status && net->tensor_count == NN_TENSORS) {
        net->status = US_NN_FAILED;
    }
    return net->status ? NULL : &net->tensors[net->tensor_count++];
}

static struct nn_ref new_buffer(struct nn_net *net, size_t bytes) {
    const struct nn_ref ref = {.buffer = nn_plan_add(&net->plan, bytes)};
    if (ref.buffer < 0) {
        net->status = US_NN_FAILED;
    }
    return ref;
}

static struct nn_tensor *make_tensor(struct nn_net *net, const struct nn_tensor *shape) {
    struct nn_tensor *t = new_tensor(net);
    if (!t) {
        return NULL;
    }
    *t = *shape;
    t->padded = nn_params_pad(net->params, t->c);
    for (int i = 0; i < NN_GRADIENTS; i++) {
        t->grads[i].buffer = -1;
    }
    t->value = new_buffer(net, nn_tensor_elements(t) * nn_type_size(t->type));
    return net->status ? NULL : t;
}

struct nn_tensor *nn_net_tensor(struct nn_net *net, enum nn_format format, int n, int c, int h,
                                int w, bool wide) {
    const struct nn_tensor shape = {.format = format,
                                    .n = n,
                                    .c = c,
                                    .h = h,
                                    .w = w,
                                    .type = wide ? dnnl_f32 : net->type,
                                    .grad_type = net->type};
    return make_tensor(net, &shape);
}

struct nn_tensor *nn_net_image(struct nn_net *net, int n, int c, int h, int w) {
    const struct nn_tensor shape = {.format = NN_PLANAR,
                                    .n = n,
                                    .c = c,
                                    .h = h,
                                    .w = w,
                                    .type = dnnl_f32,
                                    .grad_type = dnnl_f32};
    return make_tensor(net, &shape);
}

struct nn_tensor *nn_net_view(struct nn_net *net, struct nn_tensor *parent, int first, int n) {
    struct nn_tensor *t = parent ? new_tensor(net) : NULL;
    if (!t) {
        return NULL;
    }
    *t = *parent;
    t->parent = parent;
    t->first = first;
    t->n = n;
    t->grad_count = 0;
    t->value.offset += nn_tensor_elements(t) / (size_t)n * (size_t)first * nn_type_size(t->type);
    return t;
}

void *nn_net_op(struct nn_net *net, const struct nn_op_type *type, size_t size) {
    if (!net->status && net->op_count == NN_OPS) {
        net->status = US_NN_FAILED;
    }
    struct nn_op *op = net->status ? NULL : us_nn_alloc(size);
    if (!op) {
        net->status = net->status ? net->status : US_NN_NO_MEMORY;
        return NULL;
    }
    *op = (struct nn_op){.type = type, .index = net->op_count, .sides = net->sides};
    net->ops[net->op_count++] = op;
    return op;
}

void nn_net_scratch(struct nn_net *net, size_t bytes) {
    struct nn_plan_buffer *buffer = &net->plan.buffers[net->scratch];
    const size_t rounded = (bytes + 63) / 64 * 64;
    buffer->size = rounded > buffer->size ? rounded : buffer->size;
}

struct nn_ref nn_net_temporary(struct nn_net *net, size_t bytes, int first, int last) {
    const struct nn_ref ref = new_buffer(net, bytes);
    if (ref.buffer >= 0) {
        nn_plan_use(&net->plan, ref.buffer, first);
        nn_plan_use(&net->plan, ref.buffer, last);
    }
    return ref;
}

void nn_net_use_value(struct nn_net *net, const struct nn_tensor *tensor, int moment) {
    nn_plan_use(&net->plan, tensor->value.buffer, moment);
}

/* A view's gradients are parts of its parent's, so both views of a split fill the same buffers. */
static struct nn_ref claim_in_parent(struct nn_net *net, struct nn_tensor *view) {
    struct nn_tensor *parent = view->parent;
    const int slot = view->grad_count;
    const size_t image = nn_tensor_elements(parent) / (size_t)parent->n;
    if (slot == parent->grad_count) {
        parent->grads[parent->grad_count++] =
            new_buffer(net, nn_tensor_elements(parent) * nn_type_size(parent->grad_type));
    }
    struct nn_ref ref = parent->grads[slot];
    ref.offset += image * (size_t)view->first * nn_type_size(view->grad_type);
    return ref;
}

struct nn_ref nn_net_claim(struct nn_net *net, struct nn_tensor *tensor, int moment,
                           const struct nn_ref *alias) {
    struct nn_ref ref = {.buffer = -1};
    if (!net->training || net->status) {
        return ref;
    }
    if (tensor->grad_count == NN_GRADIENTS || (alias && tensor->parent)) {
        net->status = US_NN_FAILED;
        return ref;
    }
    if (alias) {
        ref = *alias;
    } else if (tensor->parent) {
        ref = claim_in_parent(net, tensor);
    } else {
        ref = new_buffer(net, nn_tensor_elements(tensor) * nn_type_size(tensor->grad_type));
    }
    tensor->grads[tensor->grad_count++] = ref;
    if (ref.buffer >= 0) {
        nn_plan_use(&net->plan, ref.buffer, moment);
    }
    return ref;
}

void *nn_net_at(const struct nn_net *net, struct nn_ref ref) {
    return ref.buffer < 0 ? NULL : net->arena + net->plan.buffers[ref.buffer].offset + ref.offset;
}
