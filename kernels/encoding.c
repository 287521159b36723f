#include "kernels/encoding.h"

#include "kernels/encoding_internal.h"

void us_log_encode(const float *linear, float *encoded, size_t count) {
    for (size_t i = 0; i < count; i++) {
        encoded[i] = log_encoded(linear[i]);
    }
}

void us_log_decode(const float *encoded, float *linear, size_t count) {
    for (size_t i = 0; i < count; i++) {
        linear[i] = log_decoded(encoded[i]);
    }
}

void us_srgb_encode(const float *linear, float *encoded, size_t count) {
    for (size_t i = 0; i < count; i++) {
        encoded[i] = srgb_encoded(linear[i]);
    }
}

void us_srgb_decode(const float *encoded, float *linear, size_t count) {
    for (size_t i = 0; i < count; i++) {
        linear[i] = srgb_decoded(encoded[i]);
    }
}
