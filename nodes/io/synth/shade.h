/* The light a surface sends to the camera. */
#ifndef US_NODES_IO_SYNTH_SHADE_H
#define US_NODES_IO_SYNTH_SHADE_H

#include "nodes/io/synth/light.h"
#include "nodes/io/synth/skin.h"

struct synth_shading {
    const struct synth_face *face;
    const struct synth_light *light;
    const struct synth_shadow *shadow; /* the key's */
    struct vec3 camera;                /* world */
    float peak;                        /* where the brightest highlights end, in scene-linear */
    uint32_t set_seed;                 /* decides the clothes: the same for every identity */
};

/* `vertex` is interpolated within a triangle. Returns scene-linear light; `*face_part` is 1 on the
 * face (the matte), else 0. */
struct vec3 synth_shade(const struct synth_shading *shading, const struct synth_vertex *vertex,
                        enum synth_material material, float *face_part);

#endif
