/* Philox4x32-10: random numbers as a function of a counter, so that any step can be replayed alone.
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). */
#ifndef US_KERNELS_NN_PHILOX_H
#define US_KERNELS_NN_PHILOX_H

#include <stdint.h>

/* Of functions that the host and kernels share. */
#ifdef __CUDACC__
#define US_SHARED_INLINE __host__ __device__ static inline
#else
#define US_SHARED_INLINE static inline
#endif

/* Four words for (seed, stream, step, index): streams are the purposes randomness is drawn for,
 * step is cut to its low 32 bits, index counts groups of four. */
US_SHARED_INLINE void us_philox(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index,
                                uint32_t out[4]) {
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = (uint32_t)step, c3 = stream;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c0 = n0, c1 = (uint32_t)b, c2 = n2, c3 = (uint32_t)a;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* A float in [0, 1), 24 bits of it random. */
US_SHARED_INLINE float us_philox_unit(uint32_t word) {
    return (float)(word >> 8) * 0x1p-24f;
}

#endif
