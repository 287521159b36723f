#include "kernels/cuda/take_gradient.h"

#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"

#define THREADS 256

template <class T>
static __global__ void take(const T *dw, const float *mask, bool add, float *gradient,
                            size_t octets) {
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

extern "C" cudaError_t cu_take_gradient(enum nn_cuda_type type, const void *dw, const float *mask,
                                        bool add, float *gradient, size_t count,
                                        cudaStream_t stream) {
    const size_t octets = count / 8;
    const unsigned blocks = us_blocks(octets, THREADS);
    if (type == NN_CUDA_BF16) {
        return US_LAUNCH((take<us_bf16>), blocks, THREADS, stream, (const us_bf16 *)dw, mask, add,
                         gradient, octets);
    }
    return US_LAUNCH((take<float>), blocks, THREADS, stream, (const float *)dw, mask, add, gradient,
                     octets);
}
