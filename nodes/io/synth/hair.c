#include <stdbool.h>

#include "nodes/io/synth/scene.h"

static const float pi = 3.14159265f;

/* Height of the hairline over the angle from the front, for short and for long hair. */
static float hairline(const struct synth_identity *id, float angle) {
    float side = fabsf(angle);
    float front = id->hairline + 0.10f * bell((side - 0.62f) / 0.2f);
    float temple = mixf(front, 0.10f, ramp(0.75f, 1.15f, side));
    float burn = mixf(temple, -0.25f, ramp(1.15f, 1.32f, side));
    float behind = mixf(burn, 0.08f, bell((side - 1.62f) / 0.16f));
    return mixf(behind, -0.62f, ramp(1.75f, 2.1f, side));
}

static float fringe(const struct synth_identity *id, float angle) {
    float part = angle * 0.8f - id->hair_part;
    return 0.5f + 0.5f * part / sqrtf(part * part + 0.02f);
}

/* Hair worn long hangs from the width of the skull instead of following the jaw. */
static struct vec3 hanging(const struct synth_identity *id, float angle, float height) {
    struct vec3 head = synth_head_rest(id, angle, height > -0.3f ? height : -0.3f);
    if (height >= 0.1f) {
        return head;
    }
    float down = 0.1f - height, s = sin_det(angle), c = cos_det(angle);
    float width = id->skull_width * (1.0f + 0.05f * down) + 0.02f;
    struct vec3 hang = vec3(width * s, height, c > 0.0f ? 0.42f * c : 0.95f * c - 0.02f * down);
    return vec_mix(head, hang, ramp(0.1f, -0.15f, height));
}

float synth_hair_edge(const struct synth_identity *id, float angle, float height) {
    if (id->hair_thickness <= 0.0f) {
        return -1.0f;
    }
    if (id->hair_length >= -0.5f) {
        return height - hairline(id, angle);
    }
    float opening =
        mixf(0.98f, 0.78f, ramp(0.7f, -0.4f, height)) + 0.10f * ramp(-0.6f, -1.2f, height);
    float curtain = fabsf(angle) - opening;
    float top = height - id->hairline + 0.10f * (fringe(id, angle) - 0.5f);
    return top > curtain ? top : curtain;
}

static float cover_at(const struct synth_identity *id, float angle, float height, float ragged) {
    float soft = mixf(0.28f, 0.11f, ramp(0.5f, 1.0f, fabsf(angle)));
    return ramp(-0.03f, soft, synth_hair_edge(id, angle, height) + ragged);
}

static struct vec3 hair_point(const struct synth_face *face, float angle, float height) {
    const struct synth_identity *id = face->identity;
    bool is_long = id->hair_length < -0.5f;
    float strand = noise2(angle * 16.0f, height * 1.2f, id->seed);
    float lock = noise2(angle * 5.0f + 0.6f * height, height * 1.6f, id->seed + 9u);
    float ragged = 0.016f * strand + 0.03f * lock;
    struct vec3 p = is_long ? hanging(id, angle, height) : synth_head_rest(id, angle, height);
    float cover = cover_at(id, angle, height, ragged);
    float volume = is_long ? 1.0f : 0.55f + 0.45f * ramp(0.0f, 0.7f, height);
    float lumps = 1.0f + 0.22f * lock * (0.3f + id->hair_wave) + 0.08f * strand;
    if (is_long && height < 0.0f) {
        lumps += 0.25f * id->hair_wave * sin_det(9.0f * height + 3.0f * angle + lock) *
                 ramp(0.0f, -0.5f, height);
    }
    float hidden = 0.035f + 0.25f * ramp(0.35f, 0.0f, cover) * ramp(1.4f, 1.0f, fabsf(angle)) *
                                ramp(0.6f, 0.3f, height);
    float out = cover * id->hair_thickness * volume * lumps - hidden * (1.0f - cover);
    struct vec3 outward = vec_unit(vec3(p.x, 0.6f * (height > 0.3f ? height - 0.3f : 0.0f), p.z));
    if (is_long && cover < 0.5f && height < -0.2f) {
        float inside = ramp(0.5f, 0.1f, cover);
        p.x *= 1.0f - 0.75f * inside;
        p.z = mixf(p.z, -0.2f, inside);
    }
    return vec_add(p, vec_scale(outward, out));
}

void synth_hair_build(struct synth_scene *scene, const struct synth_face *face) {
    enum { ROWS = 110, COLUMNS = 201 };
    const struct synth_identity *id = face->identity;
    if (id->hair_thickness <= 0.0f) {
        return;
    }
    float bottom = id->hair_length < -0.5f ? id->hair_length : -0.9f;
    struct synth_vertex *v = synth_scene_grid(scene, ROWS, COLUMNS, SYNTH_HAIR);
    for (int r = 0; r < ROWS; r++) {
        for (int c = 0; c < COLUMNS; c++, v++) {
            float t = (float)r / (ROWS - 1), angle = pi * ((float)c * 2.0f / (COLUMNS - 1) - 1.0f);
            float height = mixf(1.15f, bottom, t * (0.55f + 0.45f * t));
            float tip =
                0.06f * noise2(angle * 14.0f, 3.0f, id->seed + 4u) * ramp(-0.5f, bottom, height);
            struct vec3 p = hair_point(face, angle, height);
            p.y += id->hair_length < -0.5f ? tip : 0.0f;
            *v = (struct synth_vertex){.rest = vec3(angle, height, 0.0f), .local = p};
            v->position =
                synth_head_pose(&face->motion, p, mixf(0.45f, 1.0f, ramp(-1.7f, -0.6f, height)));
        }
    }
}
