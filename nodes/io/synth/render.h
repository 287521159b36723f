/* One frame of a synthetic take, with its ground truth. */
#ifndef US_NODES_IO_SYNTH_RENDER_H
#define US_NODES_IO_SYNTH_RENDER_H

#include "kernels/view.h"
#include "nodes/io/synth/mesh_points.h"
#include "nodes/io/synth/motion.h"
#include "runtime/base/error.h"

struct synth_shot {
    const struct synth_identity *identity;
    struct synth_motion_args motion;
    int32_t frame;
    const char *light;
    float intensity, exposure_stops, grain, peak;
    float focal_mm;    /* over a sensor 36 mm wide */
    float face_height; /* chin to crown, as part of the frame's height */
    int samples;       /* a pixel's side: samples x samples */
};

struct synth_picture {
    struct us_view rgb[3]; /* scene-linear, of the frame's size; the caller's */
    struct us_view matte;  /* the face that is seen, 0 to 1; data may be NULL */
};

/* Renders into the views. Fails when there is no memory. */
struct us_error *synth_render(const struct synth_shot *shot, const struct synth_picture *picture);

/* z is a depth in pixels as FaceMesh gives it: smaller is nearer. */
struct synth_point {
    float x, y, z;
};

struct synth_truth {
    struct synth_motion motion;
    struct synth_point points[SYNTH_LANDMARKS]; /* z is 0 */
    struct synth_point mesh[SYNTH_MESH_POINTS];
};

/* Where the face's points are in the image; pixel centres at +0.5. */
void synth_project(const struct synth_shot *shot, int width, int height, struct synth_truth *truth);

#endif
