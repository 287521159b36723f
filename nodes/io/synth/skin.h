/* What the face is painted with, at a rest point (head.h). */
#ifndef US_NODES_IO_SYNTH_SKIN_H
#define US_NODES_IO_SYNTH_SKIN_H

#include <stdbool.h>

#include "nodes/io/synth/head.h"

struct synth_surface {
    struct vec3 albedo;
    float gloss, roughness; /* strength and width of the highlight */
    float thin;             /* how far light bleeds through: 1 skin, 0 hair */
    struct vec3 bump;       /* added to the normal */
    float hdr;              /* factor on the highlight */
};

/* Skin, lips, brows, lashes, beard. */
void synth_skin_at(const struct synth_face *face, struct vec3 rest, struct synth_surface *surface);
/* Skin away from the face's features: ears and neck. */
void synth_plain_skin_at(const struct synth_face *face, struct vec3 rest,
                         struct synth_surface *surface);
/* When the rest point lies between the lids: the eyeball, and its normal in head space. */
bool synth_eye_at(const struct synth_face *face, struct vec3 rest, struct synth_surface *surface,
                  struct vec3 *normal);
/* When it lies in the opening of the mouth; `local` is the shaped point. `light` scales what
 * reaches it. */
bool synth_mouth_at(const struct synth_face *face, struct vec3 rest, struct vec3 local,
                    struct synth_surface *surface, float *light);

#endif
