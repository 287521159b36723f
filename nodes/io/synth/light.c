#include "nodes/io/synth/light.h"

#include <string.h>

const char *const synth_light_names[] = {"day", "tungsten", "night", "studio", NULL};

static const struct synth_light presets[] = {
    {.key_direction = {-0.55f, 0.55f, 0.75f},
     .key = {2.25f, 2.10f, 1.88f},
     .sky = {0.46f, 0.55f, 0.70f},
     .ground = {0.22f, 0.20f, 0.17f},
     .fill_direction = {0.8f, 0.1f, 0.5f},
     .fill = {0.30f, 0.33f, 0.38f},
     .rim_direction = {0.75f, 0.35f, -0.6f},
     .rim = {0.9f, 0.95f, 1.1f},
     .wall = {0.30f, 0.36f, 0.40f},
     .wall_shade = {0.10f, 0.13f, 0.12f},
     .practical = {1.25f, 0.98f, 0.62f},
     .softness = 7.0f},
    {.key_direction = {0.75f, 0.42f, 0.58f},
     .key = {2.7f, 1.85f, 1.10f},
     .sky = {0.20f, 0.17f, 0.15f},
     .ground = {0.16f, 0.11f, 0.07f},
     .fill_direction = {-0.85f, 0.15f, 0.5f},
     .fill = {0.22f, 0.27f, 0.36f},
     .rim_direction = {-0.7f, 0.45f, -0.6f},
     .rim = {0.7f, 0.9f, 1.3f},
     .wall = {0.20f, 0.12f, 0.065f},
     .wall_shade = {0.045f, 0.032f, 0.03f},
     .practical = {1.4f, 0.95f, 0.45f},
     .softness = 5.0f},
    {.key_direction = {-0.70f, 0.35f, 0.62f},
     .key = {0.85f, 1.15f, 1.65f},
     .sky = {0.13f, 0.17f, 0.25f},
     .ground = {0.08f, 0.08f, 0.09f},
     .fill_direction = {0.9f, -0.05f, 0.45f},
     .fill = {0.62f, 0.36f, 0.18f},
     .rim_direction = {0.8f, 0.25f, -0.6f},
     .rim = {1.8f, 0.95f, 0.40f},
     .wall = {0.040f, 0.055f, 0.085f},
     .wall_shade = {0.010f, 0.013f, 0.022f},
     .practical = {1.5f, 0.9f, 0.35f},
     .softness = 6.0f},
    {.key_direction = {-0.30f, 0.62f, 0.85f},
     .key = {1.75f, 1.72f, 1.68f},
     .sky = {0.62f, 0.62f, 0.63f},
     .ground = {0.34f, 0.33f, 0.32f},
     .fill_direction = {0.7f, 0.2f, 0.7f},
     .fill = {0.45f, 0.45f, 0.46f},
     .rim_direction = {0.8f, 0.5f, -0.5f},
     .rim = {1.0f, 1.0f, 1.0f},
     .wall = {0.36f, 0.36f, 0.37f},
     .wall_shade = {0.17f, 0.17f, 0.18f},
     .practical = {1.05f, 1.0f, 0.92f},
     .softness = 10.0f},
};

static struct vec3 turned(struct vec3 d, float azimuth) {
    float s = sin_det(azimuth), c = cos_det(azimuth);
    return vec_unit(vec3(d.x * c + d.z * s, d.y, d.z * c - d.x * s));
}

void synth_light_make(const char *name, float intensity, const struct synth_motion *motion,
                      struct synth_light *light) {
    size_t index = 0;
    for (size_t i = 0; synth_light_names[i]; i++) {
        index = strcmp(synth_light_names[i], name) == 0 ? i : index;
    }
    *light = presets[index];
    light->key_direction = turned(light->key_direction, motion->light_azimuth);
    light->fill_direction = vec_unit(light->fill_direction);
    light->rim_direction = vec_unit(light->rim_direction);
    light->key = vec_scale(light->key, intensity * motion->light);
    struct vec3 *const others[] = {&light->sky, &light->ground, &light->fill, &light->rim};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        *others[i] = vec_scale(*others[i], intensity);
    }
}

struct vec3 synth_light_around(const struct synth_light *light, struct vec3 d) {
    float up = ramp(-0.6f, 0.9f, d.y), side = vec_dot(d, light->fill_direction);
    struct vec3 sum = vec_mix(light->ground, light->sky, up);
    return vec_add(sum, vec_scale(light->fill, side > 0.0f ? 1.6f * side * side : 0.0f));
}

/* Even directions on the sphere (Fibonacci lattice). */
static struct vec3 lattice_direction(int i) {
    float y = 1.0f - 2.0f * ((float)i + 0.5f) / SYNTH_AROUND;
    float r = sqrtf(1.0f - y * y), a = 2.39996323f * (float)i;
    return vec3(r * cos_det(a), y, r * sin_det(a));
}

static void add_direction(const struct synth_light *light, struct synth_scene *scene,
                          const struct synth_shadow *shadow) {
    struct vec3 d = shadow->direction, colour = synth_light_around(light, d);
    for (size_t i = 0; i < scene->vertex_count; i++) {
        struct synth_vertex *v = &scene->vertices[i];
        float facing = vec_dot(v->normal, d) + 0.15f;
        if (facing <= 0.0f) {
            continue;
        }
        float seen = synth_shadow_light(shadow, vec_add(v->position, vec_scale(v->normal, 0.045f)),
                                        0.03f, 2);
        v->ambient = vec_add(v->ambient, vec_scale(colour, seen * facing * 3.5f / SYNTH_AROUND));
    }
}

void synth_light_scene(const struct synth_light *light, struct synth_scene *scene,
                       struct synth_shadow *shadow, struct synth_screen *screen, float *scratch) {
    for (int i = 0; i < SYNTH_AROUND; i++) {
        struct synth_shadow around = {
            .direction = lattice_direction(i), .size = SYNTH_AROUND_SIZE, .depth = scratch};
        synth_shadow_cast(&around, scene, screen);
        add_direction(light, scene, &around);
    }
    shadow->direction = light->key_direction;
    shadow->size = SYNTH_SHADOW_SIZE;
    synth_shadow_cast(shadow, scene, screen);
}
