#include <cuda_runtime.h>

extern "C" {
#include "kernels/encoding.h"
}
#include "kernels/cuda/grid_internal.h"
#include "kernels/encoding_internal.h"

static __global__ void log_encode(const float *in, float *out, size_t count) {
    size_t i = grid_index();
    if (i < count) {
        out[i] = log_encoded(in[i]);
    }
}

void us_log_encode_cuda(const float *in, float *out, size_t count, void *stream) {
    GRID_LAUNCH(log_encode, count, stream, in, out, count);
}

static __global__ void log_decode(const float *in, float *out, size_t count) {
    size_t i = grid_index();
    if (i < count) {
        out[i] = log_decoded(in[i]);
    }
}

void us_log_decode_cuda(const float *in, float *out, size_t count, void *stream) {
    GRID_LAUNCH(log_decode, count, stream, in, out, count);
}

static __global__ void srgb_encode(const float *in, float *out, size_t count) {
    size_t i = grid_index();
    if (i < count) {
        out[i] = srgb_encoded(in[i]);
    }
}

void us_srgb_encode_cuda(const float *in, float *out, size_t count, void *stream) {
    GRID_LAUNCH(srgb_encode, count, stream, in, out, count);
}

static __global__ void srgb_decode(const float *in, float *out, size_t count) {
    size_t i = grid_index();
    if (i < count) {
        out[i] = srgb_decoded(in[i]);
    }
}

void us_srgb_decode_cuda(const float *in, float *out, size_t count, void *stream) {
    GRID_LAUNCH(srgb_decode, count, stream, in, out, count);
}
