/* The ground truth of a synthetic frame as faces (nodes/face/faces.h). */
#ifndef US_NODES_IO_SYNTH_TRUTH_H
#define US_NODES_IO_SYNTH_TRUTH_H

#include "nodes/face/faces.h"
#include "nodes/io/synth/render.h"

/* One face, complete as after face_align: box, score 1, the six keypoints, FaceMesh's 468 points,
 * pose, openings of mouth and eyes, and the matrix fitted to the points; source "synth". The
 * caller's faces are appended to. */
void synth_truth_face(const struct synth_shot *shot, int width, int height, struct us_faces *faces);

#endif
