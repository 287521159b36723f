#include "nodes/io/synth/shade.h"

struct lit {
    struct vec3 diffuse, specular;
};

/* Trowbridge-Reitz distribution with Schlick's Fresnel; visibility folded into a constant. */
static float highlight(struct vec3 n, struct vec3 l, struct vec3 v, float roughness) {
    struct vec3 h = vec_unit(vec_add(l, v));
    float nh = saturate(vec_dot(n, h)), nl = vec_dot(n, l), nv = saturate(vec_dot(n, v));
    if (nl <= 0.0f) {
        return 0.0f;
    }
    float a2 = square(roughness * roughness), d = nh * nh * (a2 - 1.0f) + 1.0f;
    float f = 0.035f + 0.965f * pow_det(1.0f - saturate(vec_dot(v, h)), 5.0f);
    float soft = (nl * (1.0f - 0.3f * roughness) + 0.15f * roughness) * (nv + 0.15f) + 0.05f;
    return a2 / (3.14159265f * d * d) * f * nl / (4.0f * soft);
}

/* Wrapped diffuse: red travels furthest below the skin, so its terminator lies furthest round. */
static struct vec3 wrapped(float facing, float thin) {
    struct vec3 wrap = vec_scale(vec3(0.34f, 0.16f, 0.10f), thin);
    float r = (facing + wrap.x) / (1.0f + wrap.x), g = (facing + wrap.y) / (1.0f + wrap.y);
    float b = (facing + wrap.z) / (1.0f + wrap.z);
    r = saturate(r);
    g = saturate(g);
    b = saturate(b);
    return vec3(mixf(r, r * r * (1.5f - 0.5f * r), 0.35f * thin), g, b);
}

static struct vec3 shadow_tint(float seen, float thin) {
    float red = pow_det(seen, 1.0f - 0.35f * thin);
    return vec3(red, seen, seen);
}

static struct vec3 shade_surface(const struct synth_shading *sh, const struct synth_vertex *vertex,
                                 const struct synth_surface *s, struct vec3 n, float seen) {
    const struct synth_light *light = sh->light;
    struct vec3 v = vec_unit(vec_sub(sh->camera, vertex->position));
    struct vec3 sum =
        vec_mul(light->key, vec_mul(wrapped(vec_dot(n, light->key_direction), s->thin),
                                    shadow_tint(seen, s->thin)));
    float rim = saturate(vec_dot(n, light->rim_direction) + 0.1f);
    sum = vec_add(sum, vec_scale(light->rim, 0.55f * rim));
    struct vec3 ambient = vec_mul(vertex->ambient, vec3(1.0f + 0.10f * s->thin, 1.0f, 1.0f));
    struct vec3 colour = vec_mul(s->albedo, vec_add(vec_scale(sum, 0.80f), ambient));
    float level = (vertex->ambient.x + vertex->ambient.y + vertex->ambient.z) / 3.0f;
    float spec = s->gloss * highlight(n, light->key_direction, v, s->roughness) * seen;
    float edge = pow_det(1.0f - saturate(vec_dot(n, v)), 4.0f);
    colour = vec_add(colour, vec_scale(light->key, spec));
    colour = vec_add(colour, vec_scale(light->rim, s->gloss * highlight(n, light->rim_direction, v,
                                                                        s->roughness + 0.1f)));
    struct vec3 mirror = vec_sub(vec_scale(n, 2.0f * vec_dot(n, v)), v);
    float sheen = s->gloss * (0.022f + 0.22f * edge) * (level > 0.6f ? 0.6f : level) * 1.2f;
    return vec_add(colour, vec_scale(synth_light_around(light, mirror), sheen));
}

/* Reflections of the lamps in the wet eye: small, and far above white. */
static struct vec3 eye_glint(const struct synth_shading *sh, const struct synth_vertex *vertex,
                             struct vec3 n, float open) {
    struct vec3 v = vec_unit(vec_sub(sh->camera, vertex->position));
    struct vec3 mirror = vec_sub(vec_scale(n, 2.0f * vec_dot(n, v)), v);
    float key = ramp(0.972f, 0.990f, vec_dot(mirror, sh->light->key_direction));
    float fill = 0.10f * ramp(0.93f, 0.98f, vec_dot(mirror, sh->light->fill_direction));
    float level = (sh->light->key.x + sh->light->key.y + sh->light->key.z) / 3.0f;
    struct vec3 tint = vec_scale(sh->light->key, 1.0f / level);
    return vec_scale(tint, open * sh->peak * (key + fill));
}

/* Strands: the light of a thin cylinder (Kajiya and Kay 1989), with a coloured second lobe. */
static struct vec3 shade_hair(const struct synth_shading *sh, const struct synth_vertex *vertex,
                              float seen) {
    const struct synth_identity *id = sh->face->identity;
    const struct synth_light *light = sh->light;
    float angle = vertex->rest.x, height = vertex->rest.y;
    float wave = 0.12f * id->hair_wave * sin_det(7.0f * height + 2.0f * angle);
    float strand = noise2((angle + wave) * 62.0f, height * 1.6f, id->seed + 50u);
    float fine = noise2((angle + wave) * 150.0f, height * 2.2f, id->seed + 51u);
    struct vec3 n = vertex->normal, v = vec_unit(vec_sub(sh->camera, vertex->position));
    struct vec3 flow =
        synth_head_turn(&sh->face->motion, vec3(0.25f * sin_det(angle) + 0.10f * strand, -1.0f,
                                                0.55f * ramp(0.4f, 0.9f, height)));
    struct vec3 t =
        vec_unit(vec_sub(flow, vec_scale(n, vec_dot(flow, n) + 0.16f * strand + 0.10f * fine)));
    struct vec3 h = vec_unit(vec_add(light->key_direction, v));
    float tl = vec_dot(t, light->key_direction), th = vec_dot(t, h);
    float facing = saturate(0.35f + 0.75f * vec_dot(n, light->key_direction));
    float diffuse = sqrtf(saturate(1.0f - tl * tl)) * facing * seen;
    float shine = pow_det(saturate(1.0f - th * th), 28.0f) * facing * seen;
    float rim = saturate(vec_dot(n, light->rim_direction) + 0.25f);
    float tr = vec_dot(t, vec_unit(vec_add(light->rim_direction, v)));
    float rim_shine = pow_det(saturate(1.0f - tr * tr), 20.0f) * rim;
    struct vec3 albedo = vec_scale(id->hair, saturate(0.95f + 0.32f * strand + 0.22f * fine));
    struct vec3 colour =
        vec_mul(albedo, vec_add(vec_scale(light->key, 0.9f * diffuse),
                                vec_add(vertex->ambient, vec_scale(light->rim, 0.5f * rim))));
    struct vec3 gloss = vec_scale(id->hair_shine, 0.30f * (1.0f + 0.6f * fine));
    colour = vec_add(colour, vec_mul(gloss, vec_scale(light->key, shine)));
    return vec_add(colour, vec_mul(gloss, vec_scale(light->rim, 0.8f * rim_shine)));
}

/* The trunk takes its shadow from a ball in the head's place, so that it looks the same under
 * every head. */
static float ball_shadow(struct vec3 point, struct vec3 light, struct vec3 centre, float radius) {
    struct vec3 d = vec_sub(centre, point);
    float along = vec_dot(d, light);
    if (along <= 0.0f) {
        return 1.0f;
    }
    float miss = sqrtf(saturate((vec_dot(d, d) - along * along) / (4.0f * radius * radius))) * 2.0f;
    return ramp(0.75f, 1.25f, miss);
}

static struct vec3 shade_cloth(const struct synth_shading *sh, const struct synth_vertex *vertex) {
    const struct synth_light *light = sh->light;
    static const struct vec3 colours[] = {{0.035f, 0.05f, 0.085f},
                                          {0.11f, 0.10f, 0.085f},
                                          {0.14f, 0.035f, 0.03f},
                                          {0.04f, 0.075f, 0.06f}};
    struct vec3 p = vertex->local;
    float weave = noise2(vertex->rest.x * 130.0f, p.y * 90.0f, sh->set_seed),
          folds = noise3(p.x * 2.2f, p.y * 1.6f, p.z * 2.0f, sh->set_seed + 1u);
    struct vec3 n = vec_unit(vec_add(vertex->normal, vec3(0.35f * folds, 0.2f * folds, 0.0f)));
    float seen =
        ball_shadow(vertex->position, light->key_direction, vec3(0.0f, -0.05f, 0.0f), 0.95f);
    float level = 0.45f + 0.55f * ramp(-1.2f, -2.4f, p.y);
    struct vec3 around = vec_mix(light->ground, light->sky, saturate(0.5f + 0.5f * n.y));
    struct vec3 sum = vec_scale(
        light->key, 0.8f * seen * saturate((vec_dot(n, light->key_direction) + 0.1f) / 1.1f));
    sum = vec_add(sum, vec_scale(around, level));
    sum = vec_add(sum, vec_scale(light->rim, 0.5f * saturate(vec_dot(n, light->rim_direction))));
    float hem = 1.0f - 0.35f * bell((p.y + 1.60f) / 0.012f);
    return vec_mul(vec_scale(colours[mix32(sh->set_seed) % 4u], hem * (1.0f + 0.18f * weave)), sum);
}

/* 1 well inside the face (brows to chin, before the ears), with soft limits. */
static float face_region(const struct synth_face *face, struct vec3 rest) {
    const struct synth_identity *id = face->identity;
    float top = face->brow + 0.22f, bottom = face->chin - 0.06f;
    float middle = 0.5f * (top + bottom), tall = 0.5f * (top - bottom);
    float e = fabsf(rest.x) / (0.97f * id->cheek_width), f = (rest.y - middle) / tall;
    float d = pow_det(pow_det(e, 2.6f) + pow_det(fabsf(f), 2.6f), 1.0f / 2.6f);
    return rest.z > 0.05f ? ramp(1.03f, 0.97f, d) : 0.0f;
}

static float key_seen(const struct synth_shading *sh, const struct synth_vertex *vertex) {
    float facing = vec_dot(vertex->normal, sh->light->key_direction);
    if (facing < -0.45f) {
        return 0.0f;
    }
    struct vec3 lifted = vec_add(vertex->position, vec_scale(vertex->normal, 0.02f));
    return synth_shadow_light(sh->shadow, lifted, 0.02f + 0.03f * (1.0f - saturate(facing)),
                              (int)sh->light->softness);
}

/* Short strands on the scalp soften the edge of the hair. */
static void paint_roots(const struct synth_face *face, const struct synth_vertex *vertex,
                        struct synth_surface *s) {
    const struct synth_identity *id = face->identity;
    float height = vertex->rest.y;
    if (height < -0.45f) {
        return;
    }
    float edge = synth_hair_edge(id, vertex->angle, height);
    if (edge < -0.16f) {
        return;
    }
    float strand = noise2(vertex->angle * 70.0f + 9.0f * height, height * 5.0f, id->seed + 60u);
    float roots = ramp(-0.02f, 0.10f, edge + 0.045f + 0.055f * strand);
    roots *= id->hair_length < -0.5f ? ramp(0.12f, 0.35f, height) : ramp(-0.40f, -0.15f, height);
    s->albedo = vec_mix(s->albedo, vec_scale(id->hair, 1.1f + 0.3f * strand), 0.94f * roots);
    s->gloss *= 1.0f - 0.8f * roots;
    s->thin *= 1.0f - 0.7f * roots;
}

static struct vec3 shade_face(const struct synth_shading *sh, const struct synth_vertex *vertex,
                              float *face_part) {
    struct synth_surface s;
    struct vec3 n = vertex->normal, local;
    float light = 1.0f, seen = key_seen(sh, vertex);
    *face_part = face_region(sh->face, vertex->rest);
    if (synth_eye_at(sh->face, vertex->rest, &s, &local)) {
        n = synth_head_turn(&sh->face->motion, local);
        s.gloss = 0.35f;
        s.roughness = 0.2f;
        struct vec3 c = shade_surface(sh, vertex, &s, n, 0.35f + 0.65f * seen);
        return vec_add(c, eye_glint(sh, vertex, n, 0.3f + 0.7f * seen));
    }
    if (synth_mouth_at(sh->face, vertex->rest, vertex->local, &s, &light)) {
        n = vec_unit(vec_add(vec_scale(n, 0.35f),
                             synth_head_turn(&sh->face->motion, vec3(0.0f, 0.1f, 0.8f))));
        return vec_scale(shade_surface(sh, vertex, &s, n, 0.3f + 0.5f * seen), light);
    }
    synth_skin_at(sh->face, vertex->rest, &s);
    paint_roots(sh->face, vertex, &s);
    n = vec_unit(vec_add(n, synth_head_turn(&sh->face->motion, s.bump)));
    return shade_surface(sh, vertex, &s, n, seen);
}

struct vec3 synth_shade(const struct synth_shading *sh, const struct synth_vertex *vertex,
                        enum synth_material material, float *face_part) {
    struct synth_vertex v = *vertex;
    struct synth_surface s;
    *face_part = 0.0f;
    if (material != SYNTH_FACE && vec_dot(v.normal, vec_sub(sh->camera, v.position)) < 0.0f) {
        v.normal = vec_scale(v.normal, -1.0f);
    }
    switch (material) {
    case SYNTH_FACE:
        return shade_face(sh, &v, face_part);
    case SYNTH_HAIR:
        return shade_hair(sh, &v, key_seen(sh, &v));
    case SYNTH_CLOTH:
        return shade_cloth(sh, &v);
    case SYNTH_EAR:
    case SYNTH_NECK:
        break;
    }
    synth_plain_skin_at(sh->face, v.rest, &s);
    if (material == SYNTH_EAR) {
        s.albedo = vec_mix(s.albedo, sh->face->identity->cheek, 0.5f);
        s.albedo = vec_scale(s.albedo, 1.0f - 0.6f * bell((v.angle - 0.25f) / 0.24f));
    }
    return shade_surface(sh, &v, &s, v.normal, key_seen(sh, &v));
}
