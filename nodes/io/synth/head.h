/* The shape of a head: a loft of superellipses with relief for the features, moved by expression.
 *
 * Head space: decimetres, x to the image's right, y up, z to the camera; the eyes lie at y = 0, the
 * chin near -1.15, the crown at 1.15, the ears near x = +-0.75. "Rest" is the bare loft, before
 * relief and expression: the features' colours are painted in its x and y. */
#ifndef US_NODES_IO_SYNTH_HEAD_H
#define US_NODES_IO_SYNTH_HEAD_H

#include "nodes/io/synth/identity.h"
#include "nodes/io/synth/motion.h"

struct synth_face {
    const struct synth_identity *identity;
    struct synth_motion motion;
    struct vec3 eye; /* centre of the eyeball at x > 0; the other mirrors it */
    float eye_radius;
    float nose_tip, nose_base; /* heights */
    float mouth, lip_line;     /* height; half thickness of the line between lips */
    float chin, brow;          /* heights */
    float jaw_drop;            /* decimetres */
};

void synth_face_init(struct synth_face *face, const struct synth_identity *identity,
                     const struct synth_motion *motion);

/* A point of the loft: angle 0 is the front, +-pi the back; height 1.15 to -1.22. */
struct vec3 synth_head_rest(const struct synth_identity *identity, float angle, float height);
/* The angle at which the loft has that x in front; clamped to the side. */
float synth_head_angle(const struct synth_identity *identity, float x, float height);
/* Relief and expression: where a rest point really is. `angle` as above. */
struct vec3 synth_head_shaped(const struct synth_face *face, struct vec3 rest, float angle);
/* Both at once for a feature at (x, y) of the face's front. */
struct vec3 synth_face_point(const struct synth_face *face, float x, float y);

/* The opening of the eye at x (|x| in head space): lower and upper lid, after the blink. */
void synth_eye_lids(const struct synth_face *face, float x, float *lower, float *upper);
/* Height of the line where the lips meet, at x. */
float synth_lip_line(const struct synth_face *face, float x);
/* Thickness of the red of the lips at x: above and below the line. */
void synth_lip_edges(const struct synth_face *face, float x, float *above, float *below);

/* From head space to the world: rotation about the top of the spine, and shift. `weight` 1 is the
 * head, 0 the trunk. */
struct vec3 synth_head_pose(const struct synth_motion *motion, struct vec3 point, float weight);
struct vec3 synth_head_turn(const struct synth_motion *motion, struct vec3 direction);

#endif
