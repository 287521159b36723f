/* Triangles into depth buffers: for the camera, for shadows, and for light from all around. */
#ifndef US_NODES_IO_SYNTH_RASTER_H
#define US_NODES_IO_SYNTH_RASTER_H

#include "nodes/io/synth/scene.h"

/* A vertex on a screen. Depth grows towards the eye: 1/distance in a perspective view. */
struct synth_screen {
    float x, y, depth;
};

/* Rows `top` to top + height of a screen. */
struct synth_buffer {
    int width, height, top;
    float *depth;   /* 0 where there is nothing */
    int32_t *index; /* of the nearest triangle, -1 for none; may be NULL */
};

void synth_buffer_clear(const struct synth_buffer *buffer);
void synth_raster(const struct synth_scene *scene, const struct synth_screen *screen,
                  const struct synth_buffer *buffer);

/* Weights of a triangle's corners at a point of the screen, corrected for perspective. */
void synth_weights(const struct synth_screen *const corner[3], float x, float y, float weight[3]);

/* What a far light sees; parallel projection along `direction` (a unit vector to the light). */
struct synth_shadow {
    struct vec3 right, up, direction;
    int size;
    float *depth;
};

/* `depth` holds size x size floats, `screen` one item a vertex; both the caller's. */
void synth_shadow_cast(struct synth_shadow *shadow, const struct synth_scene *scene,
                       struct synth_screen *screen);
/* Part of the light that reaches a point, from 0 to 1, over a window of `taps` x `taps` texels. */
float synth_shadow_light(const struct synth_shadow *shadow, struct vec3 point, float bias,
                         int taps);

#endif
