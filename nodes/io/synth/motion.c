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

/* Two waves of unrelated periods, in [-1, 1]: `rate` swings a second, so that two seconds show
 * most of the range whatever the seed. */
static float swing(const struct synth_motion_args *args, float rate, uint32_t channel) {
    const float turn = 6.28318531f;
    float t = args->frame / 24.0f * rate;
    uint32_t h = hash3(args->seed, channel, 78u);
    float slow = sin_det(turn * (t + unit_of(h)));
    float fast = sin_det(turn * (2.37f * t + unit_of(mix32(h + 1u))));
    return clampf(0.85f * slow + 0.32f * fast, -1.0f, 1.0f);
}

/* Syllables at about four a second under phrases of about a second and a half. */
static float mouth_at(const struct synth_motion_args *args) {
    float phrase = ramp(-0.75f, -0.15f, swing(args, 0.62f, 20u));
    float syllable = 0.5f + 0.34f * swing(args, 3.1f, 21u) + 0.32f * drift(args, 2.7f, 23u);
    float breath = 0.10f * ramp(0.0f, 0.8f, drift(args, 0.6f, 22u));
    return saturate(breath + args->speech * phrase * ramp(0.12f, 1.05f, syllable));
}

void synth_motion_at(const struct synth_motion_args *args, struct synth_motion *motion) {
    float range = args->pose_range * degree;
    *motion = (struct synth_motion){
        .yaw = range * swing(args, 0.37f, 1u),
        .pitch = 0.42f * range * swing(args, 0.46f, 2u),
        .roll = 0.33f * range * swing(args, 0.31f, 3u),
        .shift = vec3(0.16f * drift(args, 0.35f, 4u), 0.09f * drift(args, 0.4f, 5u),
                      0.25f * drift(args, 0.3f, 6u)),
        .mouth_open = mouth_at(args),
        .mouth_wide = 0.8f * args->speech * drift(args, 2.4f, 7u),
        .smile = ramp(-0.1f, 1.0f, swing(args, 0.33f, 8u)),
        .blink = blink_at(args),
        .brow = clampf(0.25f + 0.75f * swing(args, 0.41f, 9u), -0.5f, 1.0f),
        .light = 1.0f + 0.10f * swing(args, 0.5f, 12u),
        .light_azimuth = 12.0f * degree * swing(args, 0.3f, 13u),
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
