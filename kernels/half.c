#include "kernels/half.h"

#include "kernels/half_internal.h"

#ifdef __F16C__
#include <immintrin.h>
#endif

void us_half_to_float(const uint16_t *half, float *out, size_t count) {
    size_t i = 0;
#ifdef __F16C__
    for (; i + 8 <= count; i += 8) {
        __m128i bits = _mm_loadu_si128((const __m128i *)(const void *)(half + i));
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(bits));
    }
#endif
    for (; i < count; i++) {
        out[i] = half_widen(half[i]);
    }
}

void us_float_to_half(const float *in, uint16_t *half, size_t count) {
    size_t i = 0;
#ifdef __F16C__
    for (; i + 8 <= count; i += 8) {
        __m128i bits = _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(half + i), bits);
    }
#endif
    for (; i < count; i++) {
        half[i] = half_narrow(in[i]);
    }
}
