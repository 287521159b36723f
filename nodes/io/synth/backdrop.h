/* What is behind the head, out of focus, and the grain over everything. */
#ifndef US_NODES_IO_SYNTH_BACKDROP_H
#define US_NODES_IO_SYNTH_BACKDROP_H

#include "nodes/io/synth/light.h"

/* Light at a point of the frame: x and y in frame heights from its middle, y down. `peak` is the
 * practical lamp's brightness; `flicker` a factor about 1. */
struct vec3 synth_backdrop(const struct synth_light *light, uint32_t seed, float peak,
                           float flicker, float x, float y);

/* Grain of a negative: three correlated layers whose strength follows the light. `value` is
 * scene-linear, `channel` 0 to 2; the noise is a function of pixel, frame and seed alone. */
float synth_grain(float value, float amount, int x, int y, int channel, int32_t frame,
                  uint32_t seed);

#endif
