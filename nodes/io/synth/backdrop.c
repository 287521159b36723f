#include "nodes/io/synth/backdrop.h"

/* A point of light through an open lens: a disc, brighter at its edge. */
static float disc(float x, float y, float radius) {
    float d = sqrtf(x * x + y * y) / radius;
    return ramp(1.06f, 0.94f, d) * (0.82f + 0.18f * ramp(0.6f, 0.95f, d));
}

static struct vec3 lights_behind(const struct synth_light *light, uint32_t seed, float x, float y) {
    struct vec3 sum = vec3(0, 0, 0);
    for (uint32_t i = 0; i < 9; i++) {
        uint32_t h = hash3(seed, i, 401u);
        float cx = 1.7f * (unit_of(h) - 0.5f), cy = 0.95f * (unit_of(mix32(h + 1u)) - 0.55f);
        float radius = 0.035f + 0.045f * unit_of(mix32(h + 2u));
        float level = 0.22f + 0.65f * square(unit_of(mix32(h + 3u)));
        struct vec3 tint = vec_mix(light->practical, light->sky, unit_of(mix32(h + 4u)));
        sum = vec_add(sum, vec_scale(tint, level * disc(x - cx, y - cy, radius)));
    }
    return sum;
}

struct vec3 synth_backdrop(const struct synth_light *light, uint32_t seed, float peak,
                           float flicker, float x, float y) {
    float soft = noise2(1.7f * x + 3.0f, 1.3f * y, seed + 1u),
          broad = noise2(3.1f * x, 2.7f * y, seed + 2u);
    float t = saturate(0.5f + 0.35f * soft + 0.18f * broad - 0.35f * y);
    struct vec3 colour = vec_mix(light->wall_shade, light->wall, t);
    float post = 0.75f * (unit_of(hash3(seed, 3u, 3u)) - 0.5f);
    float frame = ramp(0.10f, 0.04f, fabsf(x - post - (post > 0 ? -0.9f : 0.9f)));
    colour = vec_scale(colour, 1.0f - 0.55f * frame);
    colour = vec_add(colour, vec_mul(colour, vec_scale(lights_behind(light, seed, x, y), 1.6f)));
    colour = vec_add(colour, vec_scale(lights_behind(light, seed + 7u, x, y), 0.12f));
    float side = (mix32(seed) & 1u) ? 1.0f : -1.0f;
    float cx = side * (0.46f + 0.10f * unit_of(mix32(seed + 5u))),
          cy = -0.27f + 0.10f * unit_of(mix32(seed + 6u));
    float d2 = square(x - cx) + square(y - cy);
    float lamp = peak * disc(x - cx, y - cy, 0.062f);
    float halo = 0.045f * peak * exp_det(-d2 / 0.035f) + 0.10f * peak * exp_det(-d2 / 0.009f);
    return vec_add(colour, vec_scale(light->practical, flicker * (lamp + halo * 0.5f)));
}

/* Sum of three uniforms: near enough to a bell, bounded. */
static float speck(int x, int y, uint32_t salt) {
    uint32_t h = hash3((uint32_t)x, (uint32_t)y, salt);
    uint32_t sum = (h & 1023u) + ((h >> 10) & 1023u) + ((h >> 20) & 1023u);
    return ((float)sum - 1534.5f) * (1.0f / 512.0f);
}

float synth_grain(float value, float amount, int x, int y, int channel, int32_t frame,
                  uint32_t seed) {
    uint32_t salt = hash3((uint32_t)frame, seed, 900u), own = salt + 1u + (uint32_t)channel;
    float noise = 0.0f;
    for (int j = -1; j <= 1; j++) {
        for (int i = -1; i <= 1; i++) {
            float weight = (i == 0 ? 1.0f : 0.35f) * (j == 0 ? 1.0f : 0.35f);
            noise +=
                weight * (0.62f * speck(x + i, y + j, salt) + 0.70f * speck(x + i, y + j, own));
        }
    }
    float light = value > 0.0f ? value : 0.0f;
    float strength = amount * (0.0035f + 0.060f * sqrtf(light) / (1.0f + 0.22f * light));
    return value + noise * strength * (channel == 2 ? 1.35f : 1.0f);
}
