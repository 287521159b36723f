#include "nodes/io/synth/skin.h"

static struct vec3 iris_colour(const struct synth_identity *id, float radius, float angle) {
    float fibre = noise2(angle * 5.5f, radius * 3.0f, id->seed + 21u) +
                  0.6f * noise2(angle * 13.0f, radius * 2.0f, id->seed + 22u);
    struct vec3 colour = vec_scale(id->iris, 1.25f + 0.55f * fibre);
    colour =
        vec_mix(vec_scale(vec3(0.16f, 0.10f, 0.04f), 0.8f), colour, ramp(0.36f, 0.62f, radius));
    colour = vec_scale(colour, 1.0f - 0.75f * ramp(0.80f, 1.0f, radius));
    return vec_scale(colour, ramp(0.34f, 0.42f, radius));
}

bool synth_eye_at(const struct synth_face *face, struct vec3 rest, struct synth_surface *s,
                  struct vec3 *normal) {
    const struct synth_identity *id = face->identity;
    float sign = rest.x < 0.0f ? -1.0f : 1.0f, dx = fabsf(rest.x) - id->eye_spacing;
    if (fabsf(dx) >= id->eye_width || rest.z < 0.3f) {
        return false;
    }
    float lower, upper;
    synth_eye_lids(face, rest.x, &lower, &upper);
    if (rest.y <= lower || rest.y >= upper) {
        return false;
    }
    float r = face->eye_radius * 1.16f, dy = rest.y;
    float dz = sqrtf(saturate(r * r - dx * dx - dy * dy) + 1e-4f);
    struct vec3 n = vec_unit(vec3(sign * dx, dy, dz));
    float gx = sin_det(face->motion.gaze_x), gy = -sin_det(face->motion.gaze_y);
    float ix = n.x - gx - sign * 0.02f, iy = n.y - gy, iris_radius = 0.44f;
    float radius = sqrtf(ix * ix + iy * iy) / iris_radius;
    float angle = radius > 1e-3f ? ix / (fabsf(ix) + fabsf(iy)) * (iy < 0.0f ? 2.0f : -2.0f) +
                                       (iy < 0.0f ? 4.0f : 0.0f)
                                 : 0.0f;
    float vein = noise2(dx * 60.0f, dy * 60.0f, id->seed + 30u);
    float corner = ramp(0.55f, 1.0f, fabsf(dx) / id->eye_width);
    struct vec3 white = vec_mix(vec3(0.60f, 0.56f, 0.53f), vec3(0.46f, 0.27f, 0.23f),
                                saturate(0.75f * corner + 0.08f * vein));
    struct vec3 colour = vec_mix(iris_colour(id, radius, angle), white, ramp(0.94f, 1.06f, radius));
    float canthus = ramp(-0.80f, -0.95f, dx / id->eye_width);
    colour = vec_mix(colour, vec3(0.42f, 0.18f, 0.15f), 0.8f * canthus);
    float under_lid = ramp(0.0f, 0.030f, upper - rest.y),
          over = ramp(-0.002f, 0.014f, rest.y - lower);
    float shade = mixf(0.30f, 1.0f, under_lid) * mixf(0.62f, 1.0f, over);
    *s = (struct synth_surface){.albedo = vec_scale(colour, shade),
                                .gloss = 3.2f,
                                .roughness = 0.075f,
                                .thin = 0.35f * ramp(0.9f, 1.1f, radius),
                                .hdr = 1.0f};
    /* The cornea stands out: its normals are those of a smaller ball. */
    float cornea = ramp(1.25f, 0.85f, radius);
    *normal = vec_unit(vec_add(n, vec_scale(vec3(ix, iy, 0.0f), 0.55f * cornea)));
    return true;
}

static float tooth_gaps(float x, float width) {
    float along = x / width, nearest = along - floorf(along + 0.5f);
    return 1.0f - 0.55f * bell((0.5f - fabsf(nearest)) / 0.06f);
}

bool synth_mouth_at(const struct synth_face *face, struct vec3 rest, struct vec3 local,
                    struct synth_surface *s, float *light) {
    const struct synth_identity *id = face->identity;
    float e = rest.x / id->mouth_width, line = rest.y - synth_lip_line(face, rest.x);
    float half = face->lip_line * pow_det(saturate(1.0f - e * e), 0.5f);
    if (fabsf(line) >= half || rest.z < 0.3f) {
        return false;
    }
    float drop = face->jaw_drop;
    *s = (struct synth_surface){
        .albedo = vec3(0.075f, 0.022f, 0.018f), .gloss = 0.3f, .roughness = 0.4f, .hdr = 1.0f};
    *light = mixf(0.5f, 0.28f, saturate(drop * 12.0f));
    float open = ramp(0.02f, 0.07f, drop), across = ramp(0.95f, 0.7f, fabsf(e));
    float upper_edge = face->mouth - 0.022f - 0.18f * drop -
                       0.012f * bell(rest.x / 0.07f) * (1.0f - fabsf(rest.x));
    float upper = ramp(upper_edge - 0.005f, upper_edge + 0.005f, local.y);
    float lower_edge = face->mouth - drop + 0.040f;
    float lower = 0.75f * ramp(lower_edge + 0.005f, lower_edge - 0.005f, local.y);
    float teeth = open * across * (upper > lower ? upper : lower);
    float gaps = tooth_gaps(rest.x, upper > lower ? 0.082f : 0.055f);
    struct vec3 ivory = vec_scale(vec3(0.74f, 0.67f, 0.55f), gaps * (1.0f - 0.55f * square(e)));
    float tongue = open * ramp(face->mouth - 0.55f * drop, face->mouth - 0.95f * drop, local.y) *
                   (1.0f - lower);
    s->albedo = vec_mix(s->albedo, vec3(0.30f, 0.10f, 0.09f), 0.7f * tongue * across);
    s->albedo = vec_mix(s->albedo, ivory, teeth);
    s->gloss = mixf(0.3f, 1.2f, teeth);
    s->roughness = mixf(0.4f, 0.2f, teeth);
    *light = mixf(*light, 0.95f, teeth);
    return true;
}
