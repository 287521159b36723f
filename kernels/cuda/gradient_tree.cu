#include "kernels/cuda/gradient_tree.h"

#include "kernels/cuda/launch.h"

/* Bound by memory: every part is read once and the sum written once. */
#define THREADS 256
#define PART_LEVELS 6 /* 64 parts, and one more for their whole */

static __device__ float4 plus(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

static __global__ void fold(float *sum, struct cu_tree_waiting waiting, unsigned pass, int levels,
                            float *into, size_t quads) {
    const size_t i = US_THREAD_INDEX;
    if (i >= quads) {
        return;
    }
    float4 v = ((const float4 *)sum)[i];
    for (int level = 0; level < levels; level++) {
        if (pass >> level & 1) {
            v = plus(((const float4 *)waiting.at[level])[i], v);
        }
    }
    ((float4 *)sum)[i] = v;
    if (into) {
        ((float4 *)into)[i] = v;
    }
}

/* Parts come in order; sums of powers of two wait for their like, as bits of a counter do. What
 * waits at the end belongs to ever larger branches on the left. */
template <class T>
static __global__ void sum_parts(const T *parts, unsigned parts_count, size_t stride, T *out,
                                 size_t count) {
    const size_t i = US_THREAD_INDEX;
    if (i >= count) {
        return;
    }
    T waits[PART_LEVELS + 1] = {0};
    for (unsigned k = 0; k < parts_count; k++) {
        T v = parts[k * stride + i];
        bool placed = false;
        for (int level = 0; level <= PART_LEVELS; level++) {
            if (!placed && (k >> level & 1)) {
                v = waits[level] + v;
            } else if (!placed) {
                waits[level] = v;
                placed = true;
            }
        }
    }
    T total = 0;
    bool begun = false;
    for (int level = 0; level <= PART_LEVELS; level++) {
        if (parts_count >> level & 1) {
            total = begun ? waits[level] + total : waits[level];
            begun = true;
        }
    }
    out[i] = total;
}

cudaError_t cu_tree_fold(float *sum, const struct cu_tree_waiting *waiting, unsigned pass,
                         int levels, float *into, size_t count, cudaStream_t stream) {
    if (count % 4 != 0 || levels > CU_TREE_LEVELS) {
        return cudaErrorInvalidValue;
    }
    return US_LAUNCH(fold, us_blocks(count / 4, THREADS), THREADS, stream, sum, *waiting, pass,
                     levels, into, count / 4);
}

template <class T>
static cudaError_t start(const T *parts, int parts_count, size_t stride, T *out, size_t count,
                         cudaStream_t stream) {
    if (parts_count < 1 || parts_count > 1 << PART_LEVELS) {
        return cudaErrorInvalidValue;
    }
    return count == 0 ? cudaSuccess
                      : US_LAUNCH((sum_parts<T>), us_blocks(count, THREADS), THREADS, stream, parts,
                                  (unsigned)parts_count, stride, out, count);
}

cudaError_t cu_tree_sum(const float *parts, int parts_count, size_t stride, float *out,
                        size_t count, cudaStream_t stream) {
    return start(parts, parts_count, stride, out, count, stream);
}

cudaError_t cu_tree_sum_f64(const double *parts, int parts_count, size_t stride, double *out,
                            size_t count, cudaStream_t stream) {
    return start(parts, parts_count, stride, out, count, stream);
}
