/* Where the canonical points of a face are: 68 points in the order of the iBUG 300-W annotation
 * (jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59, inner lips 60-67; left to right
 * in the image). */
#ifndef US_NODES_IO_SYNTH_LANDMARKS_H
#define US_NODES_IO_SYNTH_LANDMARKS_H

#include "nodes/io/synth/head.h"

enum { SYNTH_LANDMARKS = 68 };

/* A place on the loft of a head (head.h), whoever's it is. */
struct synth_place {
    float angle, height;
};

void synth_landmark_places(const struct synth_face *face,
                           struct synth_place places[SYNTH_LANDMARKS]);
/* Where it is in the world, with relief, expression and pose. */
struct vec3 synth_place_position(const struct synth_face *face, struct synth_place place);

#endif
