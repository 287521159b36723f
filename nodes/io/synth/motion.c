#include "nodes/io/synth/motion.h"

static const float degree = 0.01745329f;

/* Slow drift in about [-1, 1]: `rate` features a second. */
static float drift(const struct synth_motion_args *args, float rate, uint32_t channel) {
    float t = args->frame / 24.0f * rate;
    uint32_t seed = hash3(args->seed, channel, 77u);
    return 0.75f * noise1(t + 100.0f, seed) + 0.35f * noise1(2.3f * t + 57.0f, seed + 1u);
}

/* A blink every three seconds or so, six frames long: closing is faster than opening. */
static float blink_at(const struct synth_motion_args *args) {
    const float period = 68.0f;
    float shut = 0.0f;
    float slot = floorf(args->frame / period);
    for (int i = -1; i <= 1; i++) {
        uint32_t h = hash3(args->seed, (uint32_t)((int32_t)slot + i), 5u);
        float peak = (slot + (float)i + 0.15f + 0.7f * unit_of(h)) * period;
        float d = args->frame - peak;
        float value = d < 0.0f ? ramp(-3.2f, -0.4f, d) : ramp(5.0f, 0.8f, d);
        shut = value > shut ? value : shut;
    }
    return shut;
}

/* Syllables at about four a second under phrases of about a second and a half. */
static float mouth_at(const struct synth_motion_args *args) {
    float phrase = ramp(-0.35f, 0.25f, drift(args, 0.9f, 20u));
    float syllable = 0.5f + 0.62f * drift(args, 4.2f, 21u);
    float breath = 0.10f * ramp(0.0f, 0.8f, drift(args, 0.6f, 22u));
    return saturate(breath + args->speech * phrase * ramp(0.12f, 1.0f, syllable));
}

void synth_motion_at(const struct synth_motion_args *args, struct synth_motion *motion) {
    float range = args->pose_range * degree;
    *motion = (struct synth_motion){
        .yaw = range * clampf(1.25f * drift(args, 0.55f, 1u), -1.0f, 1.0f),
        .pitch = 0.42f * range * drift(args, 0.6f, 2u),
        .roll = 0.33f * range * drift(args, 0.45f, 3u),
        .shift = vec3(0.16f * drift(args, 0.35f, 4u), 0.09f * drift(args, 0.4f, 5u),
                      0.25f * drift(args, 0.3f, 6u)),
        .mouth_open = mouth_at(args),
        .mouth_wide = 0.8f * args->speech * drift(args, 2.4f, 7u),
        .smile = ramp(0.05f, 0.85f, drift(args, 0.4f, 8u)),
        .blink = blink_at(args),
        .brow = clampf(0.9f * drift(args, 0.7f, 9u), -0.5f, 1.0f),
        .light = 1.0f + 0.10f * drift(args, 0.5f, 12u),
        .light_azimuth = 12.0f * degree * drift(args, 0.3f, 13u),
    };
    float look = 24.0f * 0.9f;
    float slot = floorf(args->frame / look), within = args->frame / look - slot;
    float saccade = ramp(0.0f, 0.12f, within);
    uint32_t now = hash3(args->seed, (uint32_t)(int32_t)slot, 31u);
    uint32_t before = hash3(args->seed, (uint32_t)((int32_t)slot - 1), 31u);
    motion->gaze_x =
        0.28f * (mixf(unit_of(before), unit_of(now), saccade) - 0.5f) - 0.6f * motion->yaw;
    motion->gaze_y = 0.16f * (mixf(unit_of(mix32(before)), unit_of(mix32(now)), saccade) - 0.5f) +
                     0.6f * motion->pitch;
}
