#include "kernels/cuda/take_gradient.h"

#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"

#define THREADS 256

template <class T, class G>
static __global__ void take(const T *dw, const float *mask, bool add, G *gradient, size_t octets) {
    const size_t i = US_THREAD_INDEX;
    if (i >= octets) {
        return;
    }
    float v[8], other[8];
    us_load8(dw + i * 8, v);
    if (add) {
        us_load8(gradient + i * 8, other);
        for (int k = 0; k < 8; k++) {
            v[k] += other[k];
        }
    }
    if (mask) {
        us_load8(mask + i * 8, other);
        for (int k = 0; k < 8; k++) {
            v[k] *= other[k];
        }
    }
    us_store8(gradient + i * 8, v);
}

template <class T, class G>
static cudaError_t start(const void *dw, const float *mask, bool add, void *gradient, size_t count,
                         cudaStream_t stream) {
    return US_LAUNCH((take<T, G>), us_blocks(count / 8, THREADS), THREADS, stream, (const T *)dw,
                     mask, add, (G *)gradient, count / 8);
}

extern "C" cudaError_t cu_take_gradient(enum nn_cuda_type type, const void *dw, const float *mask,
                                        bool add, enum nn_cuda_type gradient_type, void *gradient,
                                        size_t count, cudaStream_t stream) {
    if (type == NN_CUDA_BF16) {
        return gradient_type == NN_CUDA_BF16
                   ? start<us_bf16, us_bf16>(dw, mask, add, gradient, count, stream)
                   : start<us_bf16, float>(dw, mask, add, gradient, count, stream);
    }
    return gradient_type == NN_CUDA_BF16
               ? start<float, us_bf16>(dw, mask, add, gradient, count, stream)
               : start<float, float>(dw, mask, add, gradient, count, stream);
}
