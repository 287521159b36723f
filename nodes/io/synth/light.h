/* Light presets: a key light with shadows, light from all around, a rim light from behind, and the
 * background's colours. Scene-linear, about 1 for a white card in the key light. */
#ifndef US_NODES_IO_SYNTH_LIGHT_H
#define US_NODES_IO_SYNTH_LIGHT_H

#include "nodes/io/synth/raster.h"

struct synth_light {
    struct vec3 key_direction, key;
    struct vec3 sky, ground;
    struct vec3 fill_direction, fill;
    struct vec3 rim_direction, rim;
    struct vec3 wall, wall_shade, practical; /* background; practical's peak is 1 in luminance */
    float softness;                          /* of the key's shadow: texels of its map */
};

enum { SYNTH_SHADOW_SIZE = 384, SYNTH_AROUND = 14, SYNTH_AROUND_SIZE = 112 };

/* "day", "tungsten", "night", "studio"; NULL-terminated, for a parameter table. */
extern const char *const synth_light_names[];
/* Falls back on the first. The motion's light factor and azimuth are applied. */
void synth_light_make(const char *name, float intensity, const struct synth_motion *motion,
                      struct synth_light *light);
/* Light arriving from a direction, without the key. */
struct vec3 synth_light_around(const struct synth_light *light, struct vec3 direction);

/* Casts the key's shadow map into `shadow` (depth: SYNTH_SHADOW_SIZE^2 floats) and sets each
 * vertex's ambient. `screen`: one item a vertex; `scratch`: SYNTH_AROUND_SIZE^2 floats. */
void synth_light_scene(const struct synth_light *light, struct synth_scene *scene,
                       struct synth_shadow *shadow, struct synth_screen *screen, float *scratch);

#endif
