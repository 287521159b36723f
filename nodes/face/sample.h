/* What a network sees of a frame: a square, turned or not, display-encoded at a good exposure. */
#ifndef US_NODES_FACE_SAMPLE_H
#define US_NODES_FACE_SAMPLE_H

#include <stdint.h>

#include "nodes/device/gpu.h"
#include "nodes/face/tflite.h"
#include "runtime/image/image.h"

/* A frame's colour with every sample finite and at least 0. */
struct us_frame_rgb {
    struct us_view planes[3]; /* in the memory of `gpu` when there is one */
    struct us_window window;  /* data window: planes start at its corner */
    struct us_gpu *gpu;       /* or NULL */
};

/* On that GPU, where its api is not NULL; it and the image must then live as
 * long as the frame. */
struct us_error *us_frame_rgb_read(const struct us_image *image, struct us_gpu *gpu,
                                   struct us_frame_rgb *frame) US_NODISCARD;
void us_frame_rgb_finish(struct us_frame_rgb *frame);

/* A square in pixels of the frame; `angle` in radians turns it clockwise as seen (y points down).*/
struct us_square {
    double x, y, side, angle; /* centre */
};

/* Network pixel -> frame pixel for a square sampled at `size` x `size`. */
void us_square_map(const struct us_square *square, int32_t size, double map[6]);

/* A network with memory to look at many squares; for one thread and one frame. */
struct us_looker {
    const struct us_tflite *network;
    float *memory;
    struct us_view planes[3];
    int32_t size;    /* of the network's input, a square of three channels */
    float low, high; /* what black and white become */
    float *outputs;  /* of every square of the last run, one after the other */
    size_t stride;   /* floats of one square's outputs */
};

struct us_error *us_looker_start(struct us_looker *looker, const struct us_tflite *network,
                                 float low, float high) US_NODISCARD;
void us_looker_finish(struct us_looker *looker);

/* Samples each square (black outside the frame), puts its geometric mean luminance at 0.18, then
 * `stops` above, encodes as sRGB and runs the network: on the frame's device all at once. */
struct us_error *us_looker_run(struct us_looker *looker, const struct us_frame_rgb *frame,
                               const struct us_square *squares, int count,
                               double stops) US_NODISCARD;
/* Values of an output for one of the squares of the last run. */
const float *us_looker_output(const struct us_looker *looker, int square, size_t index);

#endif
