#include "kernels/cuda/op_desk.h"

#include <string.h>

#include "kernels/nn/memory.h"
#include "kernels/nn/pointwise_cuda.h"
#include "kernels/nn/shape_ops_cuda.h"

void us_desk_check(struct us_desk *desk, cudaError_t error) {
    if (error != cudaSuccess && !desk->status) {
        desk->status = error == cudaErrorMemoryAllocation ? US_NN_NO_MEMORY : US_NN_FAILED;
    }
}

void us_desk_open(struct us_desk *desk) {
    *desk = (struct us_desk){0};
    us_desk_check(desk, cudaStreamCreateWithFlags(&desk->stream, cudaStreamNonBlocking));
}

enum us_nn_status us_desk_close(struct us_desk *desk) {
    if (desk->stream) {
        us_desk_check(desk, cudaStreamSynchronize(desk->stream));
        us_desk_check(desk, cudaStreamDestroy(desk->stream));
    }
    for (int i = 0; i < desk->count; i++) {
        us_desk_check(desk, cudaFree(desk->blocks[i]));
    }
    return desk->status;
}

int us_desk_padded(int channels) {
    return (channels + 7) / 8 * 8;
}

size_t us_desk_elements(const struct us_desk_map *map) {
    return (size_t)map->n * (size_t)map->h * (size_t)map->w * (size_t)us_desk_padded(map->c);
}

void *us_desk_block(struct us_desk *desk, size_t bytes) {
    void *block = NULL;
    if (desk->status || desk->count == US_DESK_BLOCKS) {
        desk->status = desk->status ? desk->status : US_NN_FAILED;
        return NULL;
    }
    us_desk_check(desk, cudaMalloc(&block, bytes));
    if (block) {
        desk->blocks[desk->count++] = block;
        us_desk_check(desk, cudaMemsetAsync(block, 0xFF, bytes, desk->stream));
    }
    return block;
}

void *us_desk_bytes(struct us_desk *desk, const void *from, size_t bytes) {
    void *block = us_desk_block(desk, bytes);
    if (!desk->status) {
        us_desk_check(desk,
                      cudaMemcpyAsync(block, from, bytes, cudaMemcpyHostToDevice, desk->stream));
        us_desk_check(desk, cudaStreamSynchronize(desk->stream));
    }
    return block;
}

void *us_desk_values(struct us_desk *desk, enum nn_cuda_type type, const float *from,
                     size_t count) {
    const size_t whole = (count + 7) / 8 * 8;
    float *padded = us_nn_alloc(whole * sizeof *padded);
    if (!padded) {
        desk->status = desk->status ? desk->status : US_NN_NO_MEMORY;
        return NULL;
    }
    memcpy(padded, from, count * sizeof *padded);
    void *wide = us_desk_bytes(desk, padded, whole * sizeof *padded);
    us_nn_free(padded);
    if (type == NN_CUDA_F32) {
        return wide;
    }
    void *narrow = us_desk_block(desk, whole * nn_cuda_size(type));
    if (!desk->status) {
        us_desk_check(desk, nn_cuda_cast(NN_CUDA_F32, wide, type, narrow, whole, desk->stream));
    }
    return narrow;
}

static struct nn_cuda_map padded_map(const struct us_desk_map *map) {
    return (struct nn_cuda_map){map->n, map->h, map->w, us_desk_padded(map->c)};
}

static size_t canonical_bytes(const struct us_desk_map *map) {
    return (size_t)map->n * (size_t)map->c * (size_t)map->h * (size_t)map->w * sizeof(float);
}

void *us_desk_room(struct us_desk *desk, enum nn_cuda_type type, const struct us_desk_map *map) {
    return us_desk_block(desk, us_desk_elements(map) * nn_cuda_size(type));
}

void *us_desk_upload(struct us_desk *desk, enum nn_cuda_type type, const float *from,
                     const struct us_desk_map *map) {
    const struct nn_cuda_map padded = padded_map(map);
    float *planes = us_desk_bytes(desk, from, canonical_bytes(map));
    void *packed = us_desk_room(desk, type, map);
    if (!desk->status) {
        us_desk_check(desk, nn_cuda_pack(type, planes, map->c, packed, &padded, desk->stream));
    }
    return packed;
}

void us_desk_read(struct us_desk *desk, const void *from, void *to, size_t bytes) {
    if (!desk->status) {
        us_desk_check(desk, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, desk->stream));
        us_desk_check(desk, cudaStreamSynchronize(desk->stream));
    }
}

void us_desk_read_values(struct us_desk *desk, enum nn_cuda_type type, const void *from, float *to,
                         size_t count) {
    const size_t whole = (count + 7) / 8 * 8;
    float *wide = us_desk_block(desk, whole * sizeof *wide);
    if (!desk->status) {
        us_desk_check(desk, nn_cuda_cast(type, from, NN_CUDA_F32, wide, whole, desk->stream));
    }
    us_desk_read(desk, wide, to, count * sizeof *to);
}

void us_desk_download(struct us_desk *desk, enum nn_cuda_type type, const void *from, float *to,
                      const struct us_desk_map *map) {
    const struct nn_cuda_map padded = padded_map(map);
    float *planes = us_desk_block(desk, canonical_bytes(map));
    if (!desk->status) {
        us_desk_check(desk, nn_cuda_unpack(type, from, planes, map->c, &padded, desk->stream));
    }
    us_desk_read(desk, planes, to, canonical_bytes(map));
}
