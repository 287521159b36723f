#include "nodes/io/synth/skin.h"

static float brow_mask(const struct synth_face *face, float side, float y) {
    const struct synth_identity *id = face->identity;
    float inner = 0.115f, outer = id->eye_spacing + id->eye_width + 0.055f;
    float t = (side - inner) / (outer - inner);
    if (t < -0.1f || t > 1.1f) {
        return 0.0f;
    }
    float u = saturate(t);
    float centre =
        id->brow_height + id->brow_arch * sin_det(3.4f * pow_det(u, 1.25f) - 0.15f) - 0.01f * u;
    float thick = id->brow_thickness * (1.0f - 0.65f * u * u) * ramp(-0.12f, 0.18f, t);
    float away = fabsf(y - centre) / (thick + 1e-4f);
    float slope = y - centre + 0.35f * side;
    float hairs = noise2(side * 75.0f - slope * 60.0f, slope * 16.0f, id->seed + 3u);
    float edge = ramp(1.15f, 0.45f, away + 0.28f * hairs) * ramp(1.1f, 0.92f, t);
    return saturate(edge * (0.86f + 0.3f * hairs)) * id->brow_density;
}

static float beard_mask(const struct synth_face *face, float side, float y) {
    const struct synth_identity *id = face->identity;
    float cheek = face->mouth + 0.055f + 0.60f * ramp(0.34f, 0.68f, side);
    float jaw = ramp(cheek + 0.06f, cheek - 0.12f, y) *
                ramp(id->mouth_width - 0.02f, id->mouth_width + 0.07f, side);
    float up, down;
    synth_lip_edges(face, side, &up, &down);
    float line = synth_lip_line(face, side);
    float chin = ramp(line - down - 0.015f, line - down - 0.085f, y);
    float tuft = 0.7f * bell(side / 0.04f) * ramp(line - down, line - down - 0.03f, y);
    chin = chin > tuft ? chin : tuft;
    float top = face->nose_base - 0.035f;
    float moustache = ramp(top + 0.02f, top - 0.03f, y) * ramp(line + up, line + up + 0.02f, y) *
                      ramp(id->mouth_width + 0.07f, id->mouth_width, side) *
                      (1.0f - 0.5f * bell(side / 0.022f));
    float all = jaw > chin ? jaw : chin;
    all = all > moustache ? all : moustache;
    return all;
}

static float lash_mask(const struct synth_face *face, float side, float y) {
    const struct synth_identity *id = face->identity;
    float e = (side - id->eye_spacing) / id->eye_width;
    if (fabsf(e) > 1.12f) {
        return 0.0f;
    }
    float lower, upper;
    synth_eye_lids(face, side, &lower, &upper);
    float outer = 0.6f + 0.4f * ramp(-0.8f, 0.9f, e) + 0.5f * id->makeup;
    float width = 0.0085f + 0.005f * id->makeup;
    float fade = ramp(1.12f, 0.9f, fabsf(e));
    float top = bell((y - upper - 0.004f) / width) * outer * fade;
    float under = 0.34f * bell((y - lower + 0.003f) / 0.007f) * fade * (0.6f + 0.4f * outer);
    return saturate(top > under ? top : under);
}

static float eye_shade(const struct synth_face *face, float side, float y) {
    const struct synth_identity *id = face->identity;
    float lower, upper;
    synth_eye_lids(face, side, &lower, &upper);
    float reach = ramp(1.35f, 0.7f, fabsf(side - id->eye_spacing) / id->eye_width);
    float crease = 0.55f * bell((y - upper - id->lid_crease) / 0.011f) * reach;
    float bag =
        0.16f * id->lines * bell2((side - id->eye_spacing + 0.02f) / 0.13f, (y + 0.125f) / 0.03f);
    return saturate(crease + bag);
}

/* One spot in some cells of a grid, each of its own size and place. */
static float freckle(float x, float y, uint32_t seed) {
    float i = floorf(x), j = floorf(y);
    uint32_t h = hash3((uint32_t)(int32_t)i, (uint32_t)(int32_t)j, seed);
    float size = 0.05f + 0.20f * square(unit_of(mix32(h + 1u)));
    float dx = x - i - 0.3f - 0.4f * unit_of(h), dy = y - j - 0.3f - 0.4f * unit_of(mix32(h));
    return (h & 3u) == 0u
               ? 0.0f
               : bell(sqrtf(dx * dx + dy * dy) / size) * (0.35f + 0.5f * unit_of(mix32(h + 2u)));
}

static struct vec3 skin_tone(const struct synth_face *face, struct vec3 rest) {
    const struct synth_identity *id = face->identity;
    float side = fabsf(rest.x), y = rest.y;
    float blotch = cloud3(rest, 3.0f, id->seed), fine = cloud3(rest, 17.0f, id->seed + 40u);
    struct vec3 tone = vec_scale(id->skin, 1.0f + 0.07f * blotch + 0.06f * fine);
    float red = 0.75f * bell2((side - 0.40f) / 0.15f, (y + 0.36f) / 0.14f) +
                0.65f * bell2(side / 0.12f, (y - face->nose_tip) / 0.12f) +
                0.25f * bell2(side / 0.14f, (y - face->chin) / 0.1f);
    tone = vec_mix(tone, id->cheek, saturate(red * (0.8f + 0.4f * blotch)));
    float shade = 0.22f * bell2((side - id->eye_spacing) / 0.17f, (y + 0.02f) / 0.10f);
    tone = vec_mix(tone, vec_mul(tone, vec3(0.72f, 0.58f, 0.60f)), shade * 1.6f);
    tone = vec_scale(
        tone, 1.0f - 0.13f * id->lines *
                         bell((y - 0.40f - 0.02f * noise1(rest.x * 4.0f, id->seed)) / 0.010f) *
                         ramp(0.5f, 0.3f, side));
    tone = vec_scale(
        tone, 1.0f - 0.10f * id->lines *
                         bell((y - 0.52f - 0.02f * noise1(rest.x * 3.0f, id->seed + 5u)) / 0.010f) *
                         ramp(0.45f, 0.25f, side));
    if (id->freckles > 0.0f) {
        float spot = freckle(rest.x * 26.0f, y * 26.0f, id->seed + 70u) +
                     freckle(rest.x * 15.0f, y * 15.0f, id->seed + 71u);
        float zone = ramp(0.45f, -0.05f, y) * ramp(face->mouth, face->nose_base + 0.1f, y);
        tone = vec_mix(tone, vec_mul(tone, vec3(0.66f, 0.48f, 0.38f)),
                       id->freckles * zone * (0.75f + 0.25f * blotch) * saturate(spot));
    }
    return tone;
}

static void paint_lips(const struct synth_face *face, struct vec3 rest, struct synth_surface *s) {
    const struct synth_identity *id = face->identity;
    float up, down, line = rest.y - synth_lip_line(face, rest.x);
    if (fabsf(rest.x) > id->mouth_width * 1.02f) {
        return;
    }
    synth_lip_edges(face, rest.x, &up, &down);
    float red = line > 0.0f ? ramp(up + 0.008f, up - 0.008f, line)
                            : ramp(-down - 0.010f, -down + 0.010f, line);
    float creases = noise2(rest.x * 70.0f, line * 9.0f, id->seed + 90u);
    struct vec3 colour =
        vec_scale(id->lip, (line > 0.0f ? 0.86f : 1.05f) * (1.0f + 0.12f * creases));
    s->albedo = vec_mix(s->albedo, colour, 0.9f * red);
    s->gloss = mixf(s->gloss, 1.5f + 0.7f * id->makeup, red);
    s->roughness = mixf(s->roughness, 0.30f, red);
    s->bump.x += 0.10f * creases * red;
}

static void paint_nostrils(const struct synth_face *face, struct vec3 rest,
                           struct synth_surface *s) {
    const struct synth_identity *id = face->identity;
    float hole = bell2((fabsf(rest.x) - 0.47f * id->nose_width) / (0.23f * id->nose_width),
                       (rest.y - face->nose_base - 0.022f) / 0.020f);
    s->albedo = vec_scale(s->albedo, 1.0f - 0.93f * ramp(0.35f, 0.75f, hole));
    s->gloss *= 1.0f - ramp(0.2f, 0.6f, hole);
}

static void paint_hairs(const struct synth_face *face, struct vec3 rest, struct synth_surface *s) {
    const struct synth_identity *id = face->identity;
    float side = fabsf(rest.x),
          beard = beard_mask(face, side, rest.y) * ramp(-0.25f, -0.05f, rest.z);
    if (beard > 0.0f && id->beard + id->stubble > 0.0f) {
        float strand = noise3(rest.x * 78.0f, rest.y * 30.0f, rest.z * 60.0f, id->seed + 6u);
        float cover =
            ramp(-0.05f, 1.0f,
                 beard * (0.45f + 0.75f * id->beard) + 0.40f * strand * (1.4f - beard) - 0.12f);
        cover *= saturate(0.25f + id->beard);
        struct vec3 colour = vec_scale(id->hair, 1.3f + 0.9f * strand);
        s->albedo = vec_mix(s->albedo, colour, 0.93f * cover);
        s->bump = vec_add(s->bump, vec3(0.35f * strand * cover, 0.0f, 0.0f));
        s->gloss *= 1.0f - 0.6f * cover;
        s->thin *= 1.0f - 0.8f * cover;
    }
    float brow = brow_mask(face, side, rest.y);
    s->albedo = vec_mix(s->albedo, id->brow, brow);
    s->gloss *= 1.0f - 0.7f * brow;
    float lash = lash_mask(face, side, rest.y), shade = eye_shade(face, side, rest.y);
    s->albedo = vec_mix(s->albedo, vec_mul(s->albedo, vec3(0.34f, 0.24f, 0.22f)), shade);
    s->albedo = vec_mix(s->albedo, vec3(0.012f, 0.009f, 0.008f), 0.92f * lash);
    s->gloss *= 1.0f - 0.8f * lash;
}

void synth_plain_skin_at(const struct synth_face *face, struct vec3 rest, struct synth_surface *s) {
    const struct synth_identity *id = face->identity;
    float blotch = cloud3(rest, 4.0f, id->seed),
          pore = noise3(rest.x * 60.0f, rest.y * 60.0f, rest.z * 60.0f, id->seed + 1u);
    *s = (struct synth_surface){.albedo = vec_scale(id->skin, 0.96f + 0.06f * blotch),
                                .gloss = 0.55f * id->gloss,
                                .roughness = id->roughness + 0.06f,
                                .thin = 1.0f,
                                .hdr = 1.0f};
    s->bump = vec3(0.03f * pore, 0.03f * blotch, 0.0f);
}

void synth_skin_at(const struct synth_face *face, struct vec3 rest, struct synth_surface *s) {
    const struct synth_identity *id = face->identity;
    synth_plain_skin_at(face, rest, s);
    if (rest.z < 0.0f) {
        return;
    }
    s->albedo = skin_tone(face, rest);
    float oil = bell2(rest.x / 0.10f, (rest.y + 0.2f) / 0.35f) +
                0.7f * bell2(rest.x / 0.35f, (rest.y - 0.5f) / 0.18f);
    s->gloss = id->gloss * (0.75f + 0.55f * saturate(oil));
    s->roughness = id->roughness;
    float pore = noise2(rest.x * 85.0f, rest.y * 85.0f, id->seed + 2u),
          pore2 = noise2(rest.x * 62.0f + 9.0f, rest.y * 62.0f, id->seed + 8u);
    s->bump = vec3(0.055f * pore, 0.055f * pore2, 0.0f);
    paint_lips(face, rest, s);
    paint_nostrils(face, rest, s);
    paint_hairs(face, rest, s);
}
