/* What a network sees of a frame: a square, turned or not, display-encoded at a good exposure. */
#ifndef US_NODES_FACE_SAMPLE_H
#define US_NODES_FACE_SAMPLE_H

#include <stdint.h>

#include "nodes/face/tflite.h"
#include "runtime/image/image.h"

/* A frame's colour with every sample finite and at least 0. */
struct us_frame_rgb {
    struct us_view planes[3];
    struct us_window window; /* data window: planes start at its corner */
};

struct us_error *us_frame_rgb_read(const struct us_image *image,
                                   struct us_frame_rgb *frame) US_NODISCARD;
void us_frame_rgb_finish(struct us_frame_rgb *frame);

/* A square in pixels of the frame; `angle` in radians turns it clockwise as seen (y points down).*/
struct us_square {
    double x, y, side, angle; /* centre */
};

/* Network pixel -> frame pixel for a square sampled at `size` x `size`. */
void us_square_map(const struct us_square *square, int32_t size, double map[6]);

/* A network with its memory and planes to sample into; for one thread. */
struct us_looker {
    const struct us_tflite *network;
    float *memory;
    struct us_view planes[3];
    int32_t size;    /* of the network's input, a square of three channels */
    float low, high; /* what black and white become */
};

struct us_error *us_looker_start(struct us_looker *looker, const struct us_tflite *network,
                                 float low, float high) US_NODISCARD;
void us_looker_finish(struct us_looker *looker);

/* Samples the square (black outside the frame), puts its geometric mean luminance at 0.18, then
 * `stops` above, encodes as sRGB and runs the network. */
void us_looker_run(struct us_looker *looker, const struct us_frame_rgb *frame,
                   const struct us_square *square, double stops);
/* Values of an output after the run. */
const float *us_looker_output(const struct us_looker *looker, size_t index);

#endif
