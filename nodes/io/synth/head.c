#include "nodes/io/synth/head.h"

#include <stddef.h>

static const float half_pi = 1.57079633f;

struct knot {
    float at, value;
};

/* Cubic Hermite through knots with falling `at`, slopes by differences. */
static float curve(const struct knot *knots, int count, float at) {
    if (at >= knots[0].at) {
        return knots[0].value;
    }
    for (int i = 0; i + 1 < count; i++) {
        if (at < knots[i + 1].at) {
            continue;
        }
        float step = knots[i + 1].at - knots[i].at, t = (at - knots[i].at) / step;
        int before = i > 0 ? i - 1 : 0, after = i + 2 < count ? i + 2 : count - 1;
        float m0 =
            (knots[i + 1].value - knots[before].value) / (knots[i + 1].at - knots[before].at);
        float m1 = (knots[after].value - knots[i].value) / (knots[after].at - knots[i].at);
        float t2 = t * t, t3 = t2 * t;
        return (2 * t3 - 3 * t2 + 1) * knots[i].value + (t3 - 2 * t2 + t) * m0 * step +
               (3 * t2 - 2 * t3) * knots[i + 1].value + (t3 - t2) * m1 * step;
    }
    return knots[count - 1].value;
}

/* 1 at the height where the skull is widest, falling like an ellipse to 0 at the crown. */
static float crown(float height) {
    float t = saturate((height - 0.42f) / 0.73f);
    return pow_det(1.0f - pow_det(t, 2.25f), 0.5f);
}

static float width_at(const struct synth_identity *id, float height) {
    const struct knot knots[] = {
        {0.42f, id->skull_width},
        {0.12f, 0.45f * id->skull_width + 0.55f * id->cheek_width},
        {-0.20f, id->cheek_width},
        {-0.50f, 0.5f * id->cheek_width + 0.5f * id->jaw_width},
        {-0.78f, id->jaw_width},
        {-1.00f, 0.90f * id->jaw_width},
        {-1.12f, 0.78f * id->jaw_width},
        {-1.19f, 0.5f * id->jaw_width},
        {-1.22f, 0.0f},
    };
    return curve(knots, 9, height) * crown(height);
}

static float front_at(const struct synth_identity *id, float height) {
    const struct knot knots[] = {
        {0.60f, 0.91f - id->forehead_slope},
        {0.20f, 0.925f},
        {0.0f, 0.90f},
        {-0.25f, 0.905f},
        {-0.50f, 0.91f},
        {-0.75f, 0.905f},
        {-0.95f, 0.875f},
        {-1.08f, 0.84f},
        {-1.16f, 0.74f},
        {-1.20f, 0.50f},
        {-1.22f, 0.0f},
    };
    return curve(knots, 11, height) * crown(height);
}

static float back_at(float height) {
    static const struct knot knots[] = {
        {0.42f, 1.02f}, {0.1f, 1.0f},    {-0.3f, 0.85f}, {-0.6f, 0.62f},
        {-0.9f, 0.40f}, {-1.15f, 0.25f}, {-1.22f, 0.0f},
    };
    return curve(knots, 7, height) * crown(height);
}

/* Exponent of the cross-section: below 1 square, above 1 pointed in front. */
static float squareness(const struct synth_identity *id, float height) {
    float pointed = log2_det(id->chin_width / id->jaw_width) / -0.9714f;
    return mixf(0.93f, clampf(pointed, 0.8f, 1.4f), ramp(-0.70f, -1.12f, height));
}

struct vec3 synth_head_rest(const struct synth_identity *id, float angle, float height) {
    float s = sin_det(angle), c = cos_det(angle);
    float x = width_at(id, height) * pow_det(fabsf(s), squareness(id, height));
    float z = c >= 0.0f ? front_at(id, height) * pow_det(c, 0.92f) : back_at(height) * c;
    float slant = ramp(-0.45f, -1.15f, height) * 0.42f * clampf((0.72f - z) / 0.72f, 0.0f, 1.5f);
    float y = height < 0.0f ? height * id->face_length : height;
    return vec3(s < 0.0f ? -x : x, y + slant, z);
}

float synth_head_angle(const struct synth_identity *id, float x, float y) {
    float height = y < 0.0f ? y / id->face_length : y;
    float ratio = saturate(fabsf(x) / (width_at(id, height) + 1e-6f));
    float s = pow_det(ratio, 1.0f / squareness(id, height));
    float low = 0.0f, high = half_pi;
    for (int i = 0; i < 24; i++) {
        float middle = 0.5f * (low + high);
        if (sin_det(middle) < s) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return x < 0.0f ? -low : low;
}

void synth_face_init(struct synth_face *face, const struct synth_identity *id,
                     const struct synth_motion *motion) {
    *face = (struct synth_face){.identity = id, .motion = *motion};
    face->nose_base = -id->nose_length * id->face_length;
    face->nose_tip = face->nose_base + 0.085f + id->nose_up;
    face->mouth = face->nose_base - 0.20f * id->face_length;
    face->lip_line = 0.0075f;
    face->chin = -1.03f * id->face_length;
    face->brow = id->brow_height;
    face->jaw_drop = 0.20f * motion->mouth_open;
    float angle = synth_head_angle(id, id->eye_spacing, 0.0f);
    float z = synth_head_rest(id, angle, 0.0f).z;
    face->eye_radius = 0.122f;
    face->eye = vec3(id->eye_spacing, 0.0f, z - 0.045f - 0.5f * id->eye_depth - face->eye_radius);
}

struct vec3 synth_face_point(const struct synth_face *face, float x, float y) {
    const struct synth_identity *id = face->identity;
    float angle = synth_head_angle(id, x, y);
    float height = y < 0.0f ? y / id->face_length : y;
    return synth_head_shaped(face, synth_head_rest(id, angle, height), angle);
}

struct vec3 synth_head_turn(const struct synth_motion *m, struct vec3 d) {
    float s = sin_det(m->pitch), c = cos_det(m->pitch);
    d = vec3(d.x, d.y * c - d.z * s, d.y * s + d.z * c);
    s = sin_det(m->yaw);
    c = cos_det(m->yaw);
    d = vec3(d.x * c + d.z * s, d.y, d.z * c - d.x * s);
    s = sin_det(m->roll);
    c = cos_det(m->roll);
    return vec3(d.x * c + d.y * s, d.y * c - d.x * s, d.z);
}

struct vec3 synth_head_pose(const struct synth_motion *m, struct vec3 p, float weight) {
    const struct vec3 pivot = {0.0f, -0.80f, -0.18f};
    struct vec3 turned = vec_add(synth_head_turn(m, vec_sub(p, pivot)), pivot);
    return vec_add(vec_mix(p, turned, weight), vec_scale(m->shift, mixf(0.6f, 1.0f, weight)));
}
