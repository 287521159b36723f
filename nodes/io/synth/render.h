/* One frame of a synthetic take, with its ground truth. */
#ifndef US_NODES_IO_SYNTH_RENDER_H
#define US_NODES_IO_SYNTH_RENDER_H

#include "kernels/view.h"
#include "nodes/io/synth/landmarks.h"
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

/* Image positions of the landmarks: x, y pairs, pixel centres at +0.5. */
void synth_project_landmarks(const struct synth_shot *shot, int width, int height,
                             float xy[2 * SYNTH_LANDMARKS]);

#endif
