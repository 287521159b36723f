#include "kernels/nn/op_call.h"

struct us_nn_op_sizes us_nn_op_sizes(const struct us_nn_op_call *call, bool has_x2) {
    struct us_nn_op_sizes s = {.y_c = call->c, .y_h = call->h, .y_w = call->w};
    const size_t taps = (size_t)call->kernel * (size_t)call->kernel;
    switch (call->op) {
    case US_NN_OP_CONV:
        s.y_c = call->channels;
        s.y_h = (call->h + call->stride - 1) / call->stride;
        s.y_w = (call->w + call->stride - 1) / call->stride;
        s.weights = (size_t)call->channels * ((size_t)call->c * taps + 1);
        break;
    case US_NN_OP_DENSE:
        s.y_c = call->channels;
        s.y_h = s.y_w = 1;
        s.weights = (size_t)call->channels * ((size_t)(call->c * call->h * call->w) + 1);
        break;
    case US_NN_OP_DEPTH_TO_SPACE:
        s.y_c = call->c / 4, s.y_h *= 2, s.y_w *= 2;
        break;
    case US_NN_OP_HEAD:
        s.y_c = call->channels, s.y_h *= call->factor, s.y_w *= call->factor;
        break;
    case US_NN_OP_POOL:
        s.y_h /= 2, s.y_w /= 2;
        break;
    case US_NN_OP_UPSAMPLE:
        s.y_h *= 2, s.y_w *= 2;
        break;
    case US_NN_OP_CONCAT:
        s.y_c *= 2;
        break;
    default:
        break;
    }
    s.x = (size_t)(call->n * call->c * call->h * call->w);
    s.y = (size_t)(call->n * s.y_c * s.y_h * s.y_w);
    s.x2 = !has_x2 ? 0 : call->op == US_NN_OP_CONV ? s.y : s.x;
    return s;
}
