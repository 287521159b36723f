#include "kernels/nn/ops_internal.h"
#include "kernels/nn/pointwise_internal.h"

struct shape_op {
    struct nn_op op;
    struct nn_tensor *input, *output;
    struct nn_ref input_gradient;
    struct nn_ref scales; /* pixel norm's */
    float slope;
    int channels, factor;
    bool sigmoid;
};

/* The common part: an operation that reads one tensor and, in backward, its output. */
static struct shape_op *begin(struct nn_net *net, const struct nn_op_type *type,
                              struct nn_tensor *input) {
    struct shape_op *s = input ? nn_net_op(net, type, sizeof *s) : NULL;
    if (!s) {
        net->status = net->status ? net->status : US_NN_FAILED;
        return NULL;
    }
    s->input = input;
    s->input_gradient.buffer = s->scales.buffer = -1;
    return s;
}

static struct nn_tensor *end(struct nn_net *net, struct shape_op *s, bool keeps_output) {
    if (!s->output) {
        return NULL;
    }
    const int now = nn_forward_moment(&s->op), later = nn_backward_moment(&s->op);
    s->output->producer = &s->op;
    s->op.output = s->output;
    nn_net_use_value(net, s->input, now);
    nn_net_use_value(net, s->output, now);
    if (net->training && keeps_output) {
        nn_net_use_value(net, s->output, later);
        s->input_gradient = nn_net_claim(net, s->input, later, NULL);
    }
    return net->status ? NULL : s->output;
}

static struct nn_shuffle_shape shuffle_shape(const struct nn_net *net, const struct shape_op *s) {
    const struct nn_tensor *x = s->input;
    return (struct nn_shuffle_shape){x->n, s->output->padded, x->h, x->w, net->params->block};
}

static enum us_nn_status shuffle_forward(struct nn_net *net, struct nn_op *op) {
    const struct shape_op *s = (struct shape_op *)op;
    const struct nn_shuffle_shape shape = shuffle_shape(net, s);
    nn_shuffle_forward(net->type, nn_net_at(net, s->input->value), nn_net_at(net, s->output->value),
                       &shape);
    return US_NN_OK;
}

static enum us_nn_status shuffle_backward(struct nn_net *net, struct nn_op *op) {
    const struct shape_op *s = (struct shape_op *)op;
    const struct nn_shuffle_shape shape = shuffle_shape(net, s);
    nn_shuffle_backward(net->type, nn_net_at(net, s->output->grads[0]),
                        nn_net_at(net, s->output->grads[1]), nn_net_at(net, s->output->value),
                        s->slope, nn_net_at(net, s->input_gradient), &shape);
    return US_NN_OK;
}

static const struct nn_op_type shuffle_type = {NULL, shuffle_forward, shuffle_backward, NULL, 2};

struct nn_tensor *nn_shuffle(struct nn_net *net, struct nn_tensor *input, int channels,
                             float slope) {
    struct shape_op *s = begin(net, &shuffle_type, input);
    if (!s) {
        return NULL;
    }
    s->slope = slope;
    s->output =
        nn_net_tensor(net, NN_BLOCKED, input->n, channels, 2 * input->h, 2 * input->w, false);
    return end(net, s, true);
}

static size_t sample_size(const struct nn_tensor *t) {
    return nn_tensor_elements(t) / (size_t)t->n;
}

static enum us_nn_status norm_forward(struct nn_net *net, struct nn_op *op) {
    const struct shape_op *s = (struct shape_op *)op;
    const struct nn_tensor *x = s->input;
    nn_norm_forward(net->type, nn_net_at(net, x->value), nn_net_at(net, s->output->value),
                    nn_net_at(net, s->scales), x->n, sample_size(x), (size_t)(x->c * x->h * x->w));
    return US_NN_OK;
}

static enum us_nn_status norm_backward(struct nn_net *net, struct nn_op *op) {
    const struct shape_op *s = (struct shape_op *)op;
    const struct nn_tensor *x = s->input;
    nn_norm_backward(net->type, nn_net_at(net, s->output->grads[0]),
                     nn_net_at(net, s->output->value), nn_net_at(net, s->scales),
                     nn_net_at(net, s->input_gradient), x->n, sample_size(x),
                     (size_t)(x->c * x->h * x->w));
    return US_NN_OK;
}

static const struct nn_op_type norm_type = {NULL, norm_forward, norm_backward, NULL, 0};

struct nn_tensor *nn_pixel_norm(struct nn_net *net, struct nn_tensor *input) {
    struct shape_op *s = begin(net, &norm_type, input);
    if (!s) {
        return NULL;
    }
    s->output = nn_net_tensor(net, input->format, input->n, input->c, input->h, input->w, false);
    s->scales = nn_net_temporary(net, (size_t)input->n * sizeof(float), nn_forward_moment(&s->op),
                                 nn_backward_moment(&s->op));
    return end(net, s, true);
}

static enum us_nn_status cosine_forward(struct nn_net *net, struct nn_op *op) {
    const struct shape_op *s = (struct shape_op *)op;
    nn_cosine_forward(net->type, nn_net_at(net, s->input->value), nn_net_at(net, s->output->value),
                      nn_tensor_elements(s->input));
    return US_NN_OK;
}

static enum us_nn_status cosine_backward(struct nn_net *net, struct nn_op *op) {
    const struct shape_op *s = (struct shape_op *)op;
    nn_cosine_backward(net->type, nn_net_at(net, s->output->grads[0]),
                       nn_net_at(net, s->input->value), nn_net_at(net, s->input_gradient),
                       nn_tensor_elements(s->input));
    return US_NN_OK;
}

static const struct nn_op_type cosine_type = {NULL, cosine_forward, cosine_backward, NULL, 0};

struct nn_tensor *nn_cosine(struct nn_net *net, struct nn_tensor *input) {
    struct shape_op *s = begin(net, &cosine_type, input);
    if (!s) {
        return NULL;
    }
    s->output = nn_net_tensor(net, input->format, input->n, input->c, input->h, input->w, false);
    if (net->training) {
        nn_net_use_value(net, input, nn_backward_moment(&s->op));
    }
    return end(net, s, true);
}

static struct nn_head_shape head_shape(const struct nn_net *net, const struct shape_op *s) {
    const struct nn_tensor *x = s->input;
    return (struct nn_head_shape){x->n, s->channels, x->padded,          x->h,
                                  x->w, s->factor,   net->params->block, s->sigmoid};
}

static enum us_nn_status head_forward(struct nn_net *net, struct nn_op *op) {
    const struct shape_op *s = (struct shape_op *)op;
    const struct nn_head_shape shape = head_shape(net, s);
    nn_head_forward(nn_net_at(net, s->input->value), nn_net_at(net, s->output->value), &shape);
    return US_NN_OK;
}

static enum us_nn_status head_backward(struct nn_net *net, struct nn_op *op) {
    const struct shape_op *s = (struct shape_op *)op;
    const struct nn_head_shape shape = head_shape(net, s);
    nn_head_backward(net->type, nn_net_at(net, s->output->grads[0]),
                     nn_net_at(net, s->output->value), nn_net_at(net, s->input_gradient), &shape);
    return US_NN_OK;
}

static const struct nn_op_type head_type = {NULL, head_forward, head_backward, NULL, 0};

struct nn_tensor *nn_head(struct nn_net *net, struct nn_tensor *input, int channels, int factor,
                          bool sigmoid) {
    struct shape_op *s = begin(net, &head_type, input);
    if (!s) {
        return NULL;
    }
    s->channels = channels;
    s->factor = factor;
    s->sigmoid = sigmoid;
    s->output = nn_net_image(net, input->n, channels, input->h * factor, input->w * factor);
    if (!end(net, s, true)) {
        return NULL;
    }
    nn_net_use_value(net, s->output, NN_LOSS_MOMENT);
    nn_net_claim(net, s->output, NN_LOSS_MOMENT, NULL);
    return net->status ? NULL : s->output;
}

static struct nn_pack_shape pack_shape(const struct nn_net *net, const struct nn_tensor *blocked) {
    return (struct nn_pack_shape){.n = blocked->n,
                                  .channels = blocked->c,
                                  .padded = blocked->padded,
                                  .area = blocked->h * blocked->w,
                                  .block = net->params->block};
}

static enum us_nn_status input_forward(struct nn_net *net, struct nn_op *op) {
    const struct shape_op *s = (struct shape_op *)op;
    const struct nn_pack_shape shape = pack_shape(net, s->output);
    const float *from = nn_net_at(net, s->input->value);
    void *to = nn_net_at(net, s->output->value);
    if (s->output->format == NN_BLOCKED) {
        nn_pack(net->type, from, to, &shape);
    } else {
        nn_cast(net->type, from, to, nn_tensor_elements(s->input));
    }
    return US_NN_OK;
}

static enum us_nn_status input_backward(struct nn_net *net, struct nn_op *op) {
    const struct shape_op *s = (struct shape_op *)op;
    const struct nn_pack_shape shape = pack_shape(net, s->output);
    const void *from = nn_net_at(net, s->output->grads[0]);
    float *to = nn_net_at(net, s->input_gradient);
    if (to && s->output->format == NN_BLOCKED) {
        nn_unpack(net->type, from, to, &shape);
    } else if (to) {
        nn_widen(net->type, from, to, nn_tensor_elements(s->input));
    }
    return US_NN_OK;
}

static const struct nn_op_type input_type = {NULL, input_forward, input_backward, NULL, 0};

struct nn_tensor *nn_input(struct nn_net *net, struct nn_tensor *image, bool differentiable) {
    const bool colours = image && image->c <= 3; /* which layers take as planes */
    if (colours && net->type == dnnl_f32) {
        return image;
    }
    struct shape_op *s = begin(net, &input_type, image);
    if (!s) {
        return NULL;
    }
    s->output = nn_net_tensor(net, colours ? NN_PLANAR : NN_BLOCKED, image->n, image->c, image->h,
                              image->w, false);
    return end(net, s, differentiable);
}
