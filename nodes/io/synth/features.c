#include "nodes/io/synth/head.h"

static float smooth_max(float a, float b, float k) {
    float h = saturate(0.5f + 0.5f * (a - b) / k);
    return mixf(b, a, h) + k * h * (1.0f - h);
}

void synth_eye_lids(const struct synth_face *face, float x, float *lower, float *upper) {
    const struct synth_identity *id = face->identity;
    float e = (fabsf(x) - id->eye_spacing) / id->eye_width;
    float tilt = id->eye_tilt * e, inside = 1.0f - e * e;
    if (inside <= 0.0f) {
        *lower = *upper = tilt;
        return;
    }
    float arch = pow_det(inside, 0.72f) * (1.0f - 0.16f * e);
    float bottom = -0.62f * id->eye_height * pow_det(inside, 0.85f) * (1.0f + 0.16f * e);
    float squint = 0.28f * face->motion.smile;
    float top = id->eye_height * arch * (1.0f + 0.22f * face->motion.brow - 0.4f * squint);
    top += 0.25f * face->motion.gaze_y * -id->eye_height * arch;
    bottom *= 1.0f - squint;
    *lower = tilt + bottom * (1.0f - 0.25f * face->motion.blink);
    *upper = tilt + mixf(top, bottom * 0.75f, face->motion.blink);
}

float synth_lip_line(const struct synth_face *face, float x) {
    float e = x / face->identity->mouth_width;
    return face->mouth + 0.004f * (e * e) - 0.006f * bell(e / 0.22f);
}

void synth_lip_edges(const struct synth_face *face, float x, float *above, float *below) {
    const struct synth_identity *id = face->identity;
    float e = fabsf(x) / id->mouth_width, inside = saturate(1.0f - e * e);
    *above = id->upper_lip * pow_det(inside, 0.8f) * (1.0f + 0.15f * bell((e - 0.2f) / 0.18f)) -
             id->cupid * bell(e / 0.09f);
    *below = id->lower_lip * pow_det(inside, 0.62f);
    *above = *above < 0.0f ? 0.0f : *above;
}

static float nose_relief(const struct synth_face *face, float x, float y) {
    const struct synth_identity *id = face->identity;
    float top = 0.10f, t = (top - y) / (top - face->nose_tip);
    float height;
    if (t <= 1.0f) {
        float u = saturate(t);
        height = id->nose_bridge * ramp(-0.35f, 0.35f, t) +
                 (id->nose_tip - id->nose_bridge) * pow_det(u, 1.5f) +
                 id->nose_hump * bell((t - 0.42f) / 0.2f);
    } else {
        float below = saturate((face->nose_tip - y) / (face->nose_tip - face->nose_base + 0.03f));
        height = id->nose_tip * (1.0f - below * below * (1.6f - 0.6f * below));
    }
    float width = mixf(0.060f, 0.40f * id->nose_width + 0.012f, ramp(0.0f, 0.9f, t));
    float c = fabsf(x) / width;
    float relief = height * exp_det(-0.42f * pow_det(c, 2.3f));
    float wing = face->nose_base + 0.062f;
    relief += 0.030f * bell2(x / 0.07f, (y - face->nose_tip) / 0.055f);
    relief += 0.115f * bell2((fabsf(x) - 0.76f * id->nose_width) / 0.042f, (y - wing) / 0.045f);
    relief -= 0.028f * bell2((fabsf(x) - 1.12f * id->nose_width) / 0.035f, (y - wing) / 0.07f);
    return relief;
}

static float mouth_relief(const struct synth_face *face, float x, float y) {
    const struct synth_identity *id = face->identity;
    float e = x / id->mouth_width, lens = saturate(1.0f - e * e);
    float up, down, from_line = y - synth_lip_line(face, x);
    synth_lip_edges(face, x, &up, &down);
    float relief = 0.045f * bell2(x / 0.30f, (y - face->mouth) / 0.19f);
    relief += (0.018f + 0.35f * id->upper_lip) *
              bell((from_line - 0.5f * up) / (0.6f * up + 0.012f)) * sqrtf(lens);
    relief += (0.020f + 0.40f * id->lower_lip) *
              bell((from_line + 0.5f * down) / (0.55f * down + 0.012f)) * sqrtf(lens);
    relief -= 0.040f * bell(from_line / 0.016f) * ramp(1.25f, 0.9f, fabsf(e));
    relief -= 0.012f * bell2((fabsf(e) - 1.05f) / 0.16f, from_line / 0.04f);
    relief -= 0.014f * bell(x / 0.032f) *
              ramp(face->nose_base + 0.02f, face->nose_base - 0.05f, y) *
              ramp(face->mouth, face->mouth + 0.05f, y);
    relief -= 0.045f * bell2(x / 0.24f, (y - face->mouth + id->lower_lip + 0.085f) / 0.05f);
    relief += id->chin * bell2(x / 0.17f, (y - face->chin) / 0.12f);
    return relief;
}

/* The fold from the wing of the nose past the corner of the mouth, deeper in a smile. */
static float fold_relief(const struct synth_face *face, float x, float y) {
    const struct synth_identity *id = face->identity;
    float t = (face->nose_base + 0.06f - y) / (face->nose_base + 0.06f - face->mouth);
    float line = mixf(id->nose_width + 0.02f, id->mouth_width + 0.09f, t);
    float along = ramp(-0.25f, 0.25f, t) * ramp(1.5f, 0.8f, t);
    float depth = 0.010f + 0.016f * id->lines + 0.020f * face->motion.smile;
    float side = fabsf(x) - line;
    return along * depth * (bell((side - 0.07f) / 0.06f) - 0.9f * bell((side + 0.005f) / 0.028f));
}

static float upper_relief(const struct synth_face *face, float x, float y) {
    const struct synth_identity *id = face->identity;
    float side = fabsf(x);
    float relief =
        -(0.062f + id->eye_depth) * bell2((side - id->eye_spacing) / 0.17f, (y + 0.01f) / 0.105f);
    relief -= (0.045f + 0.5f * id->eye_depth) * bell2((side - 0.165f) / 0.07f, (y - 0.01f) / 0.09f);
    relief += id->brow_ridge * bell2((side - 0.26f) / 0.22f, (y - face->brow + 0.02f) / 0.07f);
    relief -= 0.010f * id->lines * bell2((side - 0.035f) / 0.014f, (y - 0.19f) / 0.06f);
    return relief;
}

/* Replaces the relief by lids and eyeball around the eye. */
static float eye_depth(const struct synth_face *face, float x, float y, float z) {
    float dx = fabsf(x) - face->eye.x, dy = y - face->eye.y, r = face->eye_radius;
    float d2 = dx * dx + dy * dy;
    float lid = r + 0.020f;
    if (d2 >= lid * lid) {
        return z;
    }
    float lower, upper;
    synth_eye_lids(face, x, &lower, &upper);
    float with_lid = smooth_max(z, face->eye.z + sqrtf(lid * lid - d2), 0.02f);
    float crease = upper + face->identity->lid_crease;
    with_lid -= 0.014f * bell((y - crease) / 0.012f) *
                ramp(1.3f, 0.8f, fabsf(dx) / face->identity->eye_width);
    if (d2 >= r * r) {
        return with_lid;
    }
    float inside = (y - lower) * (upper - y);
    float edge = inside > 0.0f ? (y - lower < upper - y ? y - lower : upper - y) : 0.0f;
    return mixf(with_lid, face->eye.z + sqrtf(r * r - d2), ramp(0.0f, 0.008f, edge));
}

/* How much a point follows the jaw: soft over the cheeks, a step at the opening of the mouth. */
static float jaw_weight(const struct synth_face *face, struct vec3 p) {
    float e = p.x / face->identity->mouth_width, inside = saturate(1.0f - e * e);
    float lens = pow_det(inside, 0.42f);
    float from_line = p.y - synth_lip_line(face, p.x);
    float soft = ramp(0.22f, -0.38f, from_line);
    float step = 0.5f - 0.5f * clampf(from_line / face->lip_line, -1.0f, 1.0f);
    float lip = from_line > 0.0f ? -0.10f * bell(from_line / 0.06f) : 0.0f;
    float weight = mixf(soft, step + lip, lens);
    float behind = ramp(-0.10f, 0.45f, p.z);
    return weight * behind;
}

static struct vec3 express(const struct synth_face *face, struct vec3 rest, struct vec3 p) {
    const struct synth_motion *m = &face->motion;
    const struct synth_identity *id = face->identity;
    float sign = rest.x < 0.0f ? -1.0f : 1.0f, side = fabsf(rest.x), line = rest.y - face->mouth;
    float spread = 0.060f * m->smile + 0.045f * m->mouth_wide - 0.035f * m->mouth_open;
    float corner = bell2((side - id->mouth_width) / 0.14f, line / 0.13f);
    float reach = saturate(side / id->mouth_width);
    p.x += sign * spread * corner * reach;
    p.y += 0.050f * m->smile * corner * ramp(0.3f, 1.0f, reach);
    p.z -= (0.030f * m->smile + 0.03f * m->mouth_wide) * bell2(rest.x / 0.30f, line / 0.12f);
    float cheek = bell2((side - 0.40f) / 0.14f, (rest.y + 0.33f) / 0.14f);
    p.z += 0.040f * m->smile * cheek;
    p.y += 0.025f * m->smile * cheek;
    p.y += 0.055f * m->brow * bell2((side - 0.30f) / 0.24f, (rest.y - face->brow - 0.02f) / 0.11f);
    float jaw = face->jaw_drop * jaw_weight(face, rest);
    p.y -= jaw;
    p.z -= 0.35f * jaw;
    float from_line = rest.y - synth_lip_line(face, rest.x), e = rest.x / id->mouth_width;
    float cavity = saturate(1.0f - square(from_line / face->lip_line)) * saturate(1.0f - e * e);
    p.z -= 0.9f * face->jaw_drop * cavity;
    return p;
}

struct vec3 synth_head_shaped(const struct synth_face *face, struct vec3 rest, float angle) {
    const struct synth_identity *id = face->identity;
    struct vec3 p = rest;
    float facing = ramp(1.45f, 1.0f, fabsf(angle));
    if (facing > 0.0f) {
        float side = fabsf(rest.x);
        float out = id->cheekbone * bell2((side - 0.52f) / 0.15f, (rest.y + 0.20f) / 0.13f) +
                    id->fullness * bell2((side - 0.42f) / 0.22f, (rest.y + 0.52f) / 0.22f) -
                    0.35f * (0.06f - id->fullness) *
                        bell2((side - 0.50f) / 0.16f, (rest.y + 0.55f) / 0.16f);
        struct vec3 outward = vec_unit(vec3(rest.x, 0.0f, rest.z));
        float relief = nose_relief(face, rest.x, rest.y) + mouth_relief(face, rest.x, rest.y) +
                       fold_relief(face, rest.x, rest.y) + upper_relief(face, rest.x, rest.y);
        p = vec_add(p, vec_scale(outward, facing * out));
        p.z += facing * relief;
        p.z = mixf(p.z, eye_depth(face, rest.x, rest.y, p.z), facing);
    }
    return express(face, rest, p);
}
