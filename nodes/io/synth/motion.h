/* How the head moves: a smooth function of seed and frame number alone, the same for every
 * identity. */
#ifndef US_NODES_IO_SYNTH_MOTION_H
#define US_NODES_IO_SYNTH_MOTION_H

#include "nodes/io/synth/maths.h"

struct synth_motion {
    float yaw, pitch, roll;     /* radians: to the image's right, down, clockwise */
    struct vec3 shift;          /* decimetres */
    float mouth_open;           /* 0 shut to 1 wide open */
    float mouth_wide;           /* -1 rounded to 1 spread */
    float smile;                /* 0 to 1 */
    float blink;                /* 0 open to 1 shut */
    float brow;                 /* -0.5 frown to 1 raised */
    float gaze_x, gaze_y;       /* radians, in the head */
    float light, light_azimuth; /* factor about 1; radians added to the key light */
};

struct synth_motion_args {
    uint32_t seed;
    float frame;      /* 24 a second */
    float pose_range; /* degrees of yaw; pitch and roll follow in proportion */
    float speech;     /* 0 silent to 1 */
};

void synth_motion_at(const struct synth_motion_args *args, struct synth_motion *motion);

#endif
