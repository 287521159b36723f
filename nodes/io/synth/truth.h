/* The ground truth of a synthetic frame as faces JSON (nodes/face/faces.h has the format). */
#ifndef US_NODES_IO_SYNTH_TRUTH_H
#define US_NODES_IO_SYNTH_TRUTH_H

#include "nodes/io/synth/render.h"
#include "runtime/base/str.h"

/* One face: box, score 1, the six keypoints, pose, openings of mouth and eyes, and all 68 points
 * (landmarks.h) as "points68". Same bytes whatever the locale. */
void synth_truth_print(const struct synth_shot *shot, int width, int height, struct us_str *out);

#endif
