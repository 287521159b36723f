/* bfloat16 and binary16 in kernels, and eight channels at a time.
 *
 * Activations are NHWC with channels padded to a multiple of 8, so that eight channels are one
 * access of 16 bytes in bfloat16 and two in float; every tensor starts at a multiple of 16. */
#ifndef US_KERNELS_CUDA_BF16_H
#define US_KERNELS_CUDA_BF16_H

#include <cuda_runtime.h>
#include <stdint.h>

struct us_bf16 {
    uint16_t bits;
};

__host__ __device__ static inline unsigned us_bits_of(float v) {
    union {
        float value;
        unsigned bits;
    } both;
    both.value = v;
    return both.bits;
}

__host__ __device__ static inline float us_float_of(unsigned bits) {
    union {
        unsigned bits;
        float value;
    } both;
    both.bits = bits;
    return both.value;
}

/* Rounds to nearest even; a NaN keeps its top bits and stays quiet. */
__host__ __device__ static inline unsigned us_bf16_bits(float v) {
    const unsigned bits = us_bits_of(v);
    const unsigned rounded = bits + 0x7FFFu + ((bits >> 16) & 1u);
    return ((bits & 0x7FFFFFFFu) > 0x7F800000u ? bits | 0x400000u : rounded) >> 16;
}

/* Two values as bfloat16, the first in the low half. One instruction on the device, where a dozen
 * an element made kernels that only move memory wait for arithmetic; it makes every NaN the same.
 */
__device__ static inline unsigned us_bf16_pair(float low, float high) {
#ifdef __CUDA_ARCH__
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return us_bf16_bits(low) | us_bf16_bits(high) << 16;
#endif
}

__host__ __device__ static inline float us_get(float v) {
    return v;
}

__host__ __device__ static inline float us_get(us_bf16 v) {
    return us_float_of((unsigned)v.bits << 16);
}

__host__ __device__ static inline void us_put(float *at, float v) {
    *at = v;
}

__host__ __device__ static inline void us_put(us_bf16 *at, float v) {
    at->bits = (uint16_t)us_bf16_bits(v);
}

__device__ static inline void us_load8(const float *at, float v[8]) {
    const float4 a = *(const float4 *)at, b = *(const float4 *)(at + 4);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

__device__ static inline void us_load8(const us_bf16 *at, float v[8]) {
    const uint4 a = *(const uint4 *)at;
    v[0] = us_float_of(a.x << 16), v[1] = us_float_of(a.x & 0xFFFF0000u);
    v[2] = us_float_of(a.y << 16), v[3] = us_float_of(a.y & 0xFFFF0000u);
    v[4] = us_float_of(a.z << 16), v[5] = us_float_of(a.z & 0xFFFF0000u);
    v[6] = us_float_of(a.w << 16), v[7] = us_float_of(a.w & 0xFFFF0000u);
}

__device__ static inline void us_store8(float *at, const float v[8]) {
    *(float4 *)at = make_float4(v[0], v[1], v[2], v[3]);
    *(float4 *)(at + 4) = make_float4(v[4], v[5], v[6], v[7]);
}

__device__ static inline void us_store8(us_bf16 *at, const float v[8]) {
    *(uint4 *)at = make_uint4(us_bf16_pair(v[0], v[1]), us_bf16_pair(v[2], v[3]),
                              us_bf16_pair(v[4], v[5]), us_bf16_pair(v[6], v[7]));
}

/* binary16, infinities and NaNs kept. */
__device__ static inline float us_half_value(uint16_t half) {
#ifdef __CUDA_ARCH__
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
#else
    const unsigned sign = (half & 0x8000u) << 16, mantissa = half & 0x3FFu;
    const unsigned exponent = half >> 10 & 31u;
    if (exponent == 0) {
        const float tiny = (float)mantissa * 0x1p-24f;
        return us_float_of(us_bits_of(tiny) | sign);
    }
    const unsigned above = exponent == 31 ? 0x7F800000u : (exponent + 112) << 23;
    return us_float_of(sign | above | mantissa << 13);
#endif
}

#endif
