#include "nodes/io/synth/maths.h"

static float fade(float t) {
    return t * t * t * (t * (t * 6.0f - 15.0f) + 10.0f);
}

static float lattice(int32_t x, int32_t y, int32_t z, uint32_t seed) {
    return unit_of(mix32((uint32_t)x * 0x8da6b343u ^ (uint32_t)y * 0xd8163841u ^
                         (uint32_t)z * 0xcb1ab31fu ^ seed * 0x9e3779b9u)) *
               2.0f -
           1.0f;
}

float noise1(float x, uint32_t seed) {
    float i = floorf(x);
    return mixf(lattice((int32_t)i, 0, 0, seed), lattice((int32_t)i + 1, 0, 0, seed), fade(x - i));
}

static float plane(int32_t i, int32_t j, int32_t k, float u, float v, uint32_t seed) {
    float a = mixf(lattice(i, j, k, seed), lattice(i + 1, j, k, seed), u);
    float b = mixf(lattice(i, j + 1, k, seed), lattice(i + 1, j + 1, k, seed), u);
    return mixf(a, b, v);
}

float noise2(float x, float y, uint32_t seed) {
    float i = floorf(x), j = floorf(y);
    return plane((int32_t)i, (int32_t)j, 0, fade(x - i), fade(y - j), seed);
}

float noise3(float x, float y, float z, uint32_t seed) {
    float i = floorf(x), j = floorf(y), k = floorf(z);
    float u = fade(x - i), v = fade(y - j);
    float a = plane((int32_t)i, (int32_t)j, (int32_t)k, u, v, seed);
    float b = plane((int32_t)i, (int32_t)j, (int32_t)k + 1, u, v, seed);
    return mixf(a, b, fade(z - k));
}

float cloud3(struct vec3 p, float scale, uint32_t seed) {
    float sum = 0.0f, weight = 0.57f;
    for (uint32_t octave = 0; octave < 3; octave++) {
        sum += weight * noise3(p.x * scale, p.y * scale, p.z * scale, seed + octave);
        scale *= 2.1f;
        weight *= 0.5f;
    }
    return sum;
}
