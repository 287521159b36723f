/* Who a head belongs to: shape, colours, hair. Lengths are in decimetres of head space (head.h). */
#ifndef US_NODES_IO_SYNTH_IDENTITY_H
#define US_NODES_IO_SYNTH_IDENTITY_H

#include "nodes/io/synth/maths.h"

struct synth_identity {
    const char *name;
    /* skull and face */
    float skull_width, cheek_width, jaw_width, chin_width; /* half widths at their heights */
    float face_length;                                     /* scales what is below the eyes */
    float brow_ridge, cheekbone, chin, forehead_slope, fullness;
    /* features */
    float eye_spacing, eye_width, eye_height, eye_tilt, lid_crease, eye_depth;
    float nose_length, nose_width, nose_bridge, nose_tip, nose_hump, nose_up;
    float mouth_width, upper_lip, lower_lip, cupid;
    float brow_height, brow_thickness, brow_arch, brow_density;
    /* colours, scene-linear reflectance */
    struct vec3 skin, cheek, lip, hair, hair_shine, brow, iris;
    float freckles, beard, stubble, gloss, roughness, lines, makeup;
    /* hair */
    float hairline, hair_length, hair_thickness, hair_part, hair_wave;
    uint32_t seed;
};

/* "a", "b", "c", "d"; NULL-terminated, for a parameter table. */
extern const char *const synth_identity_names[];
/* NULL when there is none of that name. */
const struct synth_identity *synth_identity_find(const char *name);

#endif
