/* Vectors, smooth steps, noise and elementary functions of the head renderer.
 *
 * Elementary functions are polynomials over IEEE operations, so that a frame has the same bytes on
 * every machine; the C library's last bits differ between processors. Errors are about 1e-5, which
 * is below half precision. */
#ifndef US_NODES_IO_SYNTH_MATHS_H
#define US_NODES_IO_SYNTH_MATHS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

struct vec3 {
    float x, y, z;
};

static inline struct vec3 vec3(float x, float y, float z) {
    return (struct vec3){x, y, z};
}

static inline struct vec3 vec_add(struct vec3 a, struct vec3 b) {
    return vec3(a.x + b.x, a.y + b.y, a.z + b.z);
}

static inline struct vec3 vec_sub(struct vec3 a, struct vec3 b) {
    return vec3(a.x - b.x, a.y - b.y, a.z - b.z);
}

static inline struct vec3 vec_scale(struct vec3 a, float s) {
    return vec3(a.x * s, a.y * s, a.z * s);
}

static inline struct vec3 vec_mul(struct vec3 a, struct vec3 b) {
    return vec3(a.x * b.x, a.y * b.y, a.z * b.z);
}

static inline struct vec3 vec_mix(struct vec3 a, struct vec3 b, float t) {
    return vec_add(a, vec_scale(vec_sub(b, a), t));
}

static inline float vec_dot(struct vec3 a, struct vec3 b) {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

static inline struct vec3 vec_cross(struct vec3 a, struct vec3 b) {
    return vec3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x);
}

static inline struct vec3 vec_unit(struct vec3 a) {
    float d = vec_dot(a, a);
    return d > 1e-20f ? vec_scale(a, 1.0f / sqrtf(d)) : vec3(0, 0, 1);
}

static inline float clampf(float x, float low, float high) {
    return x < low ? low : x > high ? high : x;
}

static inline float saturate(float x) {
    return clampf(x, 0.0f, 1.0f);
}

static inline float mixf(float a, float b, float t) {
    return a + (b - a) * t;
}

/* 0 at or before `low`, 1 at or after `high`; `low` may be the greater. */
static inline float ramp(float low, float high, float x) {
    float t = saturate((x - low) / (high - low));
    return t * t * (3.0f - 2.0f * t);
}

static inline float square(float x) {
    return x * x;
}

static inline float exp2_det(float x) {
    x = clampf(x, -120.0f, 120.0f);
    float whole = floorf(x), f = x - whole;
    float p =
        1.0f + f * (0.69314718f +
                    f * (0.24022651f + f * (0.05550411f + f * (0.00961813f + f * 0.00133336f))));
    uint32_t bits = (uint32_t)((int32_t)whole + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static inline float exp_det(float x) {
    return exp2_det(x * 1.44269504f);
}

/* exp(-x^2 / 2) */
static inline float bell(float x) {
    return exp_det(-0.5f * x * x);
}

static inline float bell2(float x, float y) {
    return exp_det(-0.5f * (x * x + y * y));
}

static inline float log2_det(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    float e = (float)((int32_t)(bits >> 23) - 127);
    bits = (bits & 0x7fffffu) | 0x3f800000u;
    memcpy(&x, &bits, sizeof x);
    if (x > 1.41421356f) {
        x *= 0.5f;
        e += 1.0f;
    }
    float t = (x - 1.0f) / (x + 1.0f), s = t * t;
    return e + t * (2.88539008f + s * (0.96179669f + s * (0.57707802f + s * 0.41219859f)));
}

/* x^y for x >= 0. */
static inline float pow_det(float x, float y) {
    return x <= 1e-30f ? 0.0f : exp2_det(y * log2_det(x));
}

static inline float sin_det(float x) {
    float turns = x * 0.15915494f;
    turns -= floorf(turns + 0.5f);
    if (turns > 0.25f) {
        turns = 0.5f - turns;
    } else if (turns < -0.25f) {
        turns = -0.5f - turns;
    }
    float a = turns * 6.28318531f, s = a * a;
    return a *
           (1.0f + s * (-0.16666667f + s * (0.00833333f + s * (-0.00019841f + s * 2.7525e-6f))));
}

static inline float cos_det(float x) {
    return sin_det(x + 1.57079633f);
}

/* Integer hash (Wellons, "Prospecting for hash functions", lowbias32). */
static inline uint32_t mix32(uint32_t x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

static inline uint32_t hash3(uint32_t a, uint32_t b, uint32_t c) {
    return mix32(a ^ mix32(b ^ mix32(c + 0x9e3779b9u)));
}

/* [0, 1) */
static inline float unit_of(uint32_t hash) {
    return (float)(hash >> 8) * (1.0f / 16777216.0f);
}

/* Smooth noise in [-1, 1] over one, two or three dimensions; about one feature a unit. */
float noise1(float x, uint32_t seed);
float noise2(float x, float y, uint32_t seed);
float noise3(float x, float y, float z, uint32_t seed);
/* Three octaves of noise3, in about [-1, 1]. */
float cloud3(struct vec3 p, float scale, uint32_t seed);

#endif
