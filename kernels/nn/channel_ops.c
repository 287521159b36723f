#include <string.h>

#include "kernels/nn/ops_internal.h"
#include "kernels/nn/pointwise_internal.h"

/* Operations that put tensors together, take them apart or change their size. */
struct channel_op {
    struct nn_op op;
    struct nn_tensor *inputs[2], *output;
    struct nn_ref gradients[2]; /* of the inputs */
    int first;                  /* part: the input's first image */
};

static struct channel_op *begin(struct nn_net *net, const struct nn_op_type *type,
                                struct nn_tensor *a, struct nn_tensor *b) {
    struct channel_op *s = a && b ? nn_net_op(net, type, sizeof *s) : NULL;
    if (!s) {
        net->status = net->status ? net->status : US_NN_FAILED;
        return NULL;
    }
    s->inputs[0] = a;
    s->inputs[1] = a == b ? NULL : b;
    s->gradients[0].buffer = s->gradients[1].buffer = -1;
    return s;
}

static struct nn_tensor *end(struct nn_net *net, struct channel_op *s, bool keeps_values) {
    if (!s->output) {
        return NULL;
    }
    const int now = nn_forward_moment(&s->op), later = nn_backward_moment(&s->op);
    s->op.output = s->output;
    s->output->producer = &s->op;
    nn_net_use_value(net, s->output, now);
    for (int i = 0; i < 2 && s->inputs[i]; i++) {
        nn_net_use_value(net, s->inputs[i], now);
        if (net->training) {
            s->gradients[i] = nn_net_claim(net, s->inputs[i], later, NULL);
        }
        if (net->training && keeps_values) {
            nn_net_use_value(net, s->inputs[i], later);
            nn_net_use_value(net, s->output, later);
        }
    }
    return net->status ? NULL : s->output;
}

static size_t image_bytes(const struct nn_tensor *t, dnnl_data_type_t type) {
    return nn_tensor_elements(t) / (size_t)t->n * nn_type_size(type);
}

static struct nn_map_shape map_shape(const struct nn_net *net, const struct nn_tensor *t) {
    return (struct nn_map_shape){
        .maps = t->format == NN_BLOCKED ? t->n * t->padded / net->params->block : t->n * t->c,
        .h = t->h,
        .w = t->w,
        .block = t->format == NN_BLOCKED ? net->params->block : 1};
}

/* Channels of `from` from one on become channels of `to`, for every image. */
static void copy_channels(const struct nn_net *net, const struct nn_tensor *from,
                          const void *source, int first, const struct nn_tensor *to, void *target,
                          int first_to, int count, dnnl_data_type_t type) {
    const struct nn_channel_run run = {
        .n = to->n,
        .area = to->h * to->w,
        .block = to->format == NN_BLOCKED ? net->params->block : 1,
        .from_channels = from->format == NN_BLOCKED ? from->padded : from->c,
        .to_channels = to->format == NN_BLOCKED ? to->padded : to->c,
        .from = first,
        .to = first_to,
        .count = count,
    };
    nn_copy_channels(type, source, target, &run);
}

static enum us_nn_status concat_forward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    const struct nn_tensor *a = s->inputs[0], *b = s->inputs[1] ? s->inputs[1] : a, *y = s->output;
    char *out = nn_net_at(net, y->value);
    if (a->c + b->c < y->padded && y->format == NN_BLOCKED) {
        memset(out, 0, (size_t)y->n * image_bytes(y, y->type));
    }
    copy_channels(net, a, nn_net_at(net, a->value), 0, y, out, 0, a->c, y->type);
    copy_channels(net, b, nn_net_at(net, b->value), 0, y, out, a->c, b->c, y->type);
    return US_NN_OK;
}

static void split_gradient(struct nn_net *net, const struct channel_op *s, int input, int first,
                           struct nn_ref ref) {
    const struct nn_tensor *x = s->inputs[input], *y = s->output;
    char *out = nn_net_at(net, ref);
    if (x->c < x->padded && x->format == NN_BLOCKED) {
        memset(out, 0, (size_t)x->n * image_bytes(x, x->grad_type));
    }
    copy_channels(net, y, nn_net_at(net, y->grads[0]), first, x, out, 0, x->c, x->grad_type);
}

static enum us_nn_status concat_backward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    split_gradient(net, s, 0, 0, s->gradients[0]);
    split_gradient(net, s, s->inputs[1] ? 1 : 0, s->inputs[0]->c, s->gradients[1]);
    return US_NN_OK;
}

static const struct nn_op_type concat_type = {NULL, concat_forward, concat_backward, NULL, 0};

struct nn_tensor *nn_concat(struct nn_net *net, struct nn_tensor *a, struct nn_tensor *b) {
    struct channel_op *s = a && b && a->format == b->format ? begin(net, &concat_type, a, b) : NULL;
    if (!s) {
        net->status = net->status ? net->status : US_NN_UNSUPPORTED;
        return NULL;
    }
    s->output = nn_net_tensor(net, a->format, a->n, a->c + b->c, a->h, a->w, false);
    struct nn_tensor *y = end(net, s, false);
    if (y && a == b && net->training) {
        s->gradients[1] = nn_net_claim(net, a, nn_backward_moment(&s->op), NULL);
    }
    return net->status ? NULL : y;
}

static enum us_nn_status stack_forward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    char *out = nn_net_at(net, s->output->value);
    for (int i = 0; i < 2; i++) {
        const struct nn_tensor *x = s->inputs[i];
        const size_t bytes = (size_t)x->n * image_bytes(x, x->type);
        memcpy(out, nn_net_at(net, x->value), bytes);
        out += bytes;
    }
    return US_NN_OK;
}

static enum us_nn_status stack_backward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    const char *from = nn_net_at(net, s->output->grads[0]);
    for (int i = 0; i < 2; i++) {
        const struct nn_tensor *x = s->inputs[i];
        const size_t bytes = (size_t)x->n * image_bytes(x, x->grad_type);
        memcpy(nn_net_at(net, s->gradients[i]), from, bytes);
        from += bytes;
    }
    return US_NN_OK;
}

static const struct nn_op_type stack_type = {NULL, stack_forward, stack_backward, NULL, 0};

struct nn_tensor *nn_stack(struct nn_net *net, struct nn_tensor *a, struct nn_tensor *b) {
    struct channel_op *s = a == b ? NULL : begin(net, &stack_type, a, b);
    if (!s) {
        net->status = net->status ? net->status : US_NN_UNSUPPORTED;
        return NULL;
    }
    s->output = nn_net_tensor(net, a->format, a->n + b->n, a->c, a->h, a->w, false);
    return end(net, s, false);
}

static enum us_nn_status part_forward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    const struct nn_tensor *x = s->inputs[0], *y = s->output;
    const size_t image = image_bytes(y, y->type);
    memcpy(nn_net_at(net, y->value),
           (const char *)nn_net_at(net, x->value) + (size_t)s->first * image, (size_t)y->n * image);
    return US_NN_OK;
}

static enum us_nn_status part_backward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    const struct nn_tensor *x = s->inputs[0], *y = s->output;
    const size_t image = image_bytes(y, y->grad_type);
    char *out = nn_net_at(net, s->gradients[0]);
    memset(out, 0, (size_t)x->n * image);
    memcpy(out + (size_t)s->first * image, nn_net_at(net, y->grads[0]), (size_t)y->n * image);
    return US_NN_OK;
}

static const struct nn_op_type part_type = {NULL, part_forward, part_backward, NULL, 0};

struct nn_tensor *nn_part(struct nn_net *net, struct nn_tensor *input, int first, int n) {
    struct channel_op *s = begin(net, &part_type, input, input);
    if (!s) {
        return NULL;
    }
    s->first = first;
    s->output = nn_net_tensor(net, input->format, n, input->c, input->h, input->w, false);
    return end(net, s, false);
}

static enum us_nn_status pool_forward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    const struct nn_map_shape shape = map_shape(net, s->output);
    nn_pool_forward(net->type, nn_net_at(net, s->inputs[0]->value),
                    nn_net_at(net, s->output->value), &shape);
    return US_NN_OK;
}

static enum us_nn_status pool_backward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    const struct nn_map_shape shape = map_shape(net, s->output);
    nn_pool_backward(net->type, nn_net_at(net, s->output->grads[0]),
                     nn_net_at(net, s->inputs[0]->value), nn_net_at(net, s->output->value),
                     nn_net_at(net, s->gradients[0]), &shape);
    return US_NN_OK;
}

static const struct nn_op_type pool_type = {NULL, pool_forward, pool_backward, NULL, 0};

struct nn_tensor *nn_pool(struct nn_net *net, struct nn_tensor *input) {
    struct channel_op *s = begin(net, &pool_type, input, input);
    if (!s) {
        return NULL;
    }
    s->output =
        nn_net_tensor(net, input->format, input->n, input->c, input->h / 2, input->w / 2, false);
    return end(net, s, true);
}

static enum us_nn_status upsample_forward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    const struct nn_map_shape shape = map_shape(net, s->inputs[0]);
    nn_upsample_forward(s->output->type, nn_net_at(net, s->inputs[0]->value),
                        nn_net_at(net, s->output->value), &shape);
    return US_NN_OK;
}

static enum us_nn_status upsample_backward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    const struct nn_map_shape shape = map_shape(net, s->inputs[0]);
    nn_upsample_backward(s->output->grad_type, nn_net_at(net, s->output->grads[0]),
                         nn_net_at(net, s->gradients[0]), &shape);
    return US_NN_OK;
}

static const struct nn_op_type upsample_type = {NULL, upsample_forward, upsample_backward, NULL, 0};

static bool is_wide(const struct nn_net *net, const struct nn_tensor *t) {
    return t->type != net->type;
}

struct nn_tensor *nn_upsample(struct nn_net *net, struct nn_tensor *input) {
    struct channel_op *s = begin(net, &upsample_type, input, input);
    if (!s) {
        return NULL;
    }
    s->output = nn_net_tensor(net, input->format, input->n, input->c, 2 * input->h, 2 * input->w,
                              is_wide(net, input));
    return end(net, s, false);
}

static enum us_nn_status blend_forward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    nn_blend_forward(s->output->type, nn_net_at(net, s->inputs[0]->value),
                     nn_net_at(net, s->inputs[1]->value), net->fade,
                     nn_net_at(net, s->output->value), nn_tensor_elements(s->output));
    return US_NN_OK;
}

static enum us_nn_status blend_backward(struct nn_net *net, struct nn_op *op) {
    const struct channel_op *s = (struct channel_op *)op;
    const void *g = nn_net_at(net, s->output->grads[0]);
    const float shares[2] = {1 - net->fade, net->fade};
    for (int i = 0; i < 2; i++) {
        nn_scale(s->output->grad_type, g, shares[i], nn_net_at(net, s->gradients[i]),
                 nn_tensor_elements(s->output));
    }
    return US_NN_OK;
}

static const struct nn_op_type blend_type = {NULL, blend_forward, blend_backward, NULL, 0};

struct nn_tensor *nn_blend(struct nn_net *net, struct nn_tensor *a, struct nn_tensor *b) {
    struct channel_op *s =
        a == b || !a || !b || a->type != b->type ? NULL : begin(net, &blend_type, a, b);
    if (!s) {
        net->status = net->status ? net->status : US_NN_UNSUPPORTED;
        return NULL;
    }
    s->output = nn_net_tensor(net, a->format, a->n, a->c, a->h, a->w, is_wide(net, a));
    return end(net, s, false);
}
