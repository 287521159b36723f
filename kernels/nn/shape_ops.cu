#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"
#include "kernels/nn/shape_ops_cuda.h"

/* A block takes up to THREADS groups of eight channels of one row of a map: 16 bytes an access in
 * bfloat16, a division a thread. All of these are bound by memory: one read and one write of the
 * larger map, and a quarter of that for the smaller one. */
#define THREADS 128

namespace {
struct shape {
    unsigned h, w, octets; /* of the smaller map; of a pixel of the larger one */
};
} // namespace

/* The octet of the row this thread takes, or `row` and more: none. */
static __device__ unsigned own_octet() {
    return blockIdx.y * THREADS + threadIdx.x;
}

template <class T> static __global__ void upsample_forward(const T *x, T *y, struct shape s) {
    const unsigned row = blockIdx.x, at = own_octet(); /* of x */
    if (at >= s.w * s.octets) {
        return;
    }
    float v[8];
    us_load8(x + ((size_t)row * s.w * s.octets + at) * 8, v);
    const unsigned column = at / s.octets, octet = at % s.octets;
    for (unsigned k = 0; k < 4; k++) {
        const size_t pixel = ((size_t)row * 2 + k / 2) * 2 * s.w + 2 * column + k % 2;
        us_store8(y + (pixel * s.octets + octet) * 8, v);
    }
}

template <class T>
static __global__ void upsample_backward(const T *gradient, const T *more, T *x_gradient,
                                         struct shape s) {
    const unsigned row = blockIdx.x, at = own_octet();
    if (at >= s.w * s.octets) {
        return;
    }
    const unsigned column = at / s.octets, octet = at % s.octets;
    float sum[8] = {0};
    for (unsigned k = 0; k < 4; k++) {
        const size_t pixel = ((size_t)row * 2 + k / 2) * 2 * s.w + 2 * column + k % 2;
        float g[8], second[8] = {0};
        us_load8(gradient + (pixel * s.octets + octet) * 8, g);
        if (more) {
            us_load8(more + (pixel * s.octets + octet) * 8, second);
        }
        for (int c = 0; c < 8; c++) {
            sum[c] += g[c] + second[c];
        }
    }
    us_store8(x_gradient + ((size_t)row * s.w * s.octets + at) * 8, sum);
}

/* Where tap k of the 2 x 2 above pixel `column` of row `row` of y lies in x; s is x's. */
static __device__ size_t pool_tap(const struct shape &s, unsigned row, unsigned at, unsigned k) {
    const unsigned image = row / (s.h / 2), i = row % (s.h / 2);
    const unsigned column = at / s.octets, octet = at % s.octets;
    const size_t pixel = ((size_t)image * s.h + 2 * i + k / 2) * s.w + 2 * column + k % 2;
    return (pixel * s.octets + octet) * 8;
}

template <class T> static __global__ void pool_forward(const T *x, T *y, struct shape s) {
    const unsigned row = blockIdx.x, at = own_octet();
    if (at >= s.w / 2 * s.octets) {
        return;
    }
    float most[8], v[8];
    us_load8(x + pool_tap(s, row, at, 0), most);
    for (unsigned k = 1; k < 4; k++) {
        us_load8(x + pool_tap(s, row, at, k), v);
        for (int c = 0; c < 8; c++) {
            most[c] = v[c] > most[c] ? v[c] : most[c];
        }
    }
    us_store8(y + ((size_t)row * (s.w / 2) * s.octets + at) * 8, most);
}

/* One thread for each octet of x: it looks at its 2 x 2 again, which is mostly in the cache. */
template <class T>
static __global__ void pool_backward(const T *gradient, const T *more, const T *x, T *x_gradient,
                                     struct shape s) {
    const unsigned row = blockIdx.x, at = own_octet(); /* of x */
    if (at >= s.w * s.octets) {
        return;
    }
    const unsigned image = row / s.h, i = row % s.h, column = at / s.octets;
    float out[8] = {0};
    if (i / 2 < s.h / 2 && column / 2 < s.w / 2) {
        const unsigned pooled = image * (s.h / 2) + i / 2, own = i % 2 * 2 + column % 2;
        const unsigned where = column / 2 * s.octets + at % s.octets;
        const size_t from = ((size_t)pooled * (s.w / 2) * s.octets + where) * 8;
        float g[8], second[8] = {0}, mine[8], v[8];
        us_load8(gradient + from, g);
        if (more) {
            us_load8(more + from, second);
        }
        us_load8(x + pool_tap(s, pooled, where, own), mine);
        for (int c = 0; c < 8; c++) {
            out[c] = g[c] + second[c];
        }
        for (unsigned k = 0; k < 4; k++) {
            us_load8(x + pool_tap(s, pooled, where, k), v);
            for (int c = 0; c < 8; c++) {
                const bool beaten = k < own ? v[c] >= mine[c] : v[c] > mine[c];
                out[c] = beaten ? 0 : out[c];
            }
        }
    }
    us_store8(x_gradient + ((size_t)row * s.w * s.octets + at) * 8, out);
}

namespace {
struct strip {
    unsigned from_octets, from_first, to_octets, to_first, count;
};
} // namespace

template <class T>
static __global__ void copy_channels(const T *from, T *to, struct strip s, size_t total) {
    const size_t i = US_THREAD_INDEX;
    if (i >= total) {
        return;
    }
    const size_t row = i / s.count, octet = i % s.count;
    float v[8];
    us_load8(from + (row * s.from_octets + s.from_first + octet) * 8, v);
    us_store8(to + (row * s.to_octets + s.to_first + octet) * 8, v);
}

/* One thread for eight channels of a pixel; neighbours read neighbours of each plane. */
template <class T>
static __global__ void pack(const float *planes, unsigned c, T *y, unsigned octets, size_t area,
                            size_t pixels) {
    const size_t pixel = US_THREAD_INDEX;
    if (pixel >= pixels) {
        return;
    }
    const size_t image = pixel / area, at = pixel % area;
    float v[8];
    for (unsigned k = 0; k < 8; k++) {
        const unsigned channel = blockIdx.y * 8 + k;
        v[k] = channel < c ? planes[(image * c + channel) * area + at] : 0;
    }
    us_store8(y + (pixel * octets + blockIdx.y) * 8, v);
}

template <class T>
static __global__ void unpack(const T *x, float *planes, unsigned c, unsigned octets, size_t area,
                              size_t pixels) {
    const size_t pixel = US_THREAD_INDEX;
    if (pixel >= pixels) {
        return;
    }
    const size_t image = pixel / area, at = pixel % area;
    float v[8];
    us_load8(x + (pixel * octets + blockIdx.y) * 8, v);
    for (unsigned k = 0; k < 8; k++) {
        const unsigned channel = blockIdx.y * 8 + k;
        if (channel < c) {
            planes[(image * c + channel) * area + at] = v[k];
        }
    }
}

static bool fits(const struct nn_cuda_map *m) {
    return m->channels > 0 && m->channels % 8 == 0 && m->n > 0 && m->h > 0 && m->w > 0 &&
           (size_t)m->w * (size_t)m->channels < (size_t)1 << 22;
}

static struct shape shape_of(const struct nn_cuda_map *m) {
    return {(unsigned)m->h, (unsigned)m->w, (unsigned)m->channels / 8};
}

/* A block row by row: `rows` of `width` pixels. */
static dim3 rows_of(const struct nn_cuda_map *m, int rows, int width) {
    const size_t octets = (size_t)width * (size_t)m->channels / 8;
    return dim3((unsigned)m->n * (unsigned)rows, us_blocks(octets, THREADS));
}

#define START(name, T, blocks, ...) US_LAUNCH((name<T>), blocks, THREADS, stream, __VA_ARGS__)
#define FIT(map)                      \
    if (!fits(map)) {                 \
        return cudaErrorInvalidValue; \
    }

cudaError_t nn_cuda_upsample_forward(enum nn_cuda_type type, const void *x, void *y,
                                     const struct nn_cuda_map *map, cudaStream_t stream) {
    FIT(map)
    const dim3 blocks = rows_of(map, map->h, map->w);
    return type == NN_CUDA_BF16 ? START(upsample_forward, us_bf16, blocks, (const us_bf16 *)x,
                                        (us_bf16 *)y, shape_of(map))
                                : START(upsample_forward, float, blocks, (const float *)x,
                                        (float *)y, shape_of(map));
}

cudaError_t nn_cuda_upsample_backward(enum nn_cuda_type type, const void *gradient,
                                      const void *more, void *x_gradient,
                                      const struct nn_cuda_map *map, cudaStream_t stream) {
    FIT(map)
    const dim3 blocks = rows_of(map, map->h, map->w);
    return type == NN_CUDA_BF16
               ? START(upsample_backward, us_bf16, blocks, (const us_bf16 *)gradient,
                       (const us_bf16 *)more, (us_bf16 *)x_gradient, shape_of(map))
               : START(upsample_backward, float, blocks, (const float *)gradient,
                       (const float *)more, (float *)x_gradient, shape_of(map));
}

cudaError_t nn_cuda_pool_forward(enum nn_cuda_type type, const void *x, void *y,
                                 const struct nn_cuda_map *map, cudaStream_t stream) {
    FIT(map)
    if (map->h < 2 || map->w < 2) {
        return cudaErrorInvalidValue;
    }
    const dim3 blocks = rows_of(map, map->h / 2, map->w / 2);
    return type == NN_CUDA_BF16
               ? START(pool_forward, us_bf16, blocks, (const us_bf16 *)x, (us_bf16 *)y,
                       shape_of(map))
               : START(pool_forward, float, blocks, (const float *)x, (float *)y, shape_of(map));
}

cudaError_t nn_cuda_pool_backward(enum nn_cuda_type type, const void *gradient, const void *more,
                                  const void *x, void *x_gradient, const struct nn_cuda_map *map,
                                  cudaStream_t stream) {
    FIT(map)
    const dim3 blocks = rows_of(map, map->h, map->w);
    return type == NN_CUDA_BF16
               ? START(pool_backward, us_bf16, blocks, (const us_bf16 *)gradient,
                       (const us_bf16 *)more, (const us_bf16 *)x, (us_bf16 *)x_gradient,
                       shape_of(map))
               : START(pool_backward, float, blocks, (const float *)gradient, (const float *)more,
                       (const float *)x, (float *)x_gradient, shape_of(map));
}

cudaError_t nn_cuda_copy_channels(enum nn_cuda_type type, const void *from, int from_channels,
                                  int from_first, void *to, int to_channels, int to_first,
                                  int count, size_t rows, cudaStream_t stream) {
    if ((from_channels | from_first | to_channels | to_first | count) % 8 != 0 || count <= 0) {
        return cudaErrorInvalidValue;
    }
    const struct strip s = {(unsigned)from_channels / 8, (unsigned)from_first / 8,
                            (unsigned)to_channels / 8, (unsigned)to_first / 8, (unsigned)count / 8};
    const size_t total = rows * s.count;
    const unsigned blocks = us_blocks(total, THREADS);
    return type == NN_CUDA_BF16
               ? START(copy_channels, us_bf16, blocks, (const us_bf16 *)from, (us_bf16 *)to, s,
                       total)
               : START(copy_channels, float, blocks, (const float *)from, (float *)to, s, total);
}

cudaError_t nn_cuda_pack(enum nn_cuda_type type, const float *planes, int c, void *y,
                         const struct nn_cuda_map *map, cudaStream_t stream) {
    FIT(map)
    const size_t area = (size_t)map->h * (size_t)map->w, pixels = area * (size_t)map->n;
    const unsigned octets = (unsigned)map->channels / 8;
    const dim3 blocks(us_blocks(pixels, THREADS), octets);
    return type == NN_CUDA_BF16
               ? START(pack, us_bf16, blocks, planes, (unsigned)c, (us_bf16 *)y, octets, area,
                       pixels)
               : START(pack, float, blocks, planes, (unsigned)c, (float *)y, octets, area, pixels);
}

cudaError_t nn_cuda_unpack(enum nn_cuda_type type, const void *x, float *planes, int c,
                           const struct nn_cuda_map *map, cudaStream_t stream) {
    FIT(map)
    const size_t area = (size_t)map->h * (size_t)map->w, pixels = area * (size_t)map->n;
    const unsigned octets = (unsigned)map->channels / 8;
    const dim3 blocks(us_blocks(pixels, THREADS), octets);
    return type == NN_CUDA_BF16 ? START(unpack, us_bf16, blocks, (const us_bf16 *)x, planes,
                                        (unsigned)c, octets, area, pixels)
                                : START(unpack, float, blocks, (const float *)x, planes,
                                        (unsigned)c, octets, area, pixels);
}
