#include "kernels/cuda/bf16.h"
#include "kernels/cuda/conv_epilogue.h"
#include "kernels/cuda/launch.h"

/* One thread eight channels of one pixel; bias, residual and sign may be NULL. `sign` holds the
 * values whose sign decides, else the sum's own does. */
template <typename T>
__global__ void epilogue(T *out, size_t eights, int channels, const float *bias, const T *residual,
                         const T *sign, float slope) {
    const size_t index = US_THREAD_INDEX;
    if (index >= eights) {
        return;
    }
    float v[8], other[8];
    us_load8(out + 8 * index, v);
    if (bias) {
        us_load8(bias + 8 * index % (size_t)channels, other);
        for (int i = 0; i < 8; i++) {
            v[i] += other[i];
        }
    }
    if (residual) {
        us_load8(residual + 8 * index, other);
        for (int i = 0; i < 8; i++) {
            v[i] += other[i];
        }
    }
    if (sign) {
        us_load8(sign + 8 * index, other);
    }
    for (int i = 0; i < 8; i++) {
        v[i] = (sign ? other[i] : v[i]) > 0 ? v[i] : slope * v[i];
    }
    us_store8(out + 8 * index, v);
}

template <typename T>
static cudaError_t run(cudaStream_t stream, const struct us_conv_desc *desc,
                       const struct us_conv_buffers *buffers) {
    const bool forward = desc->op == US_CONV_FORWARD;
    const int channels = forward ? desc->out_channels : desc->in_channels;
    const size_t pixels = (size_t)desc->batch *
                          (size_t)(forward ? desc->out_height : desc->in_height) *
                          (size_t)(forward ? desc->out_width : desc->in_width);
    const size_t eights = pixels * (size_t)channels / 8;
    const float *bias = forward && desc->bias ? buffers->bias : NULL;
    const T *residual = desc->residual ? (const T *)buffers->residual : NULL;
    const T *sign = !forward && desc->slope != 1 ? (const T *)buffers->x : NULL;
    return US_LAUNCH((epilogue<T>), us_blocks(eights, 256), 256, stream, (T *)buffers->out, eights,
                     channels, bias, residual, sign, desc->slope);
}

cudaError_t us_conv_epilogue(cudaStream_t stream, const struct us_conv_desc *desc,
                             const struct us_conv_buffers *buffers) {
    return desc->type == US_CONV_BF16 ? run<us_bf16>(stream, desc, buffers)
                                      : run<float>(stream, desc, buffers);
}
