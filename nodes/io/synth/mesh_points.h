/* The points of MediaPipe FaceMesh on a synthetic head: 468, in that model's order. */
#ifndef US_NODES_IO_SYNTH_MESH_POINTS_H
#define US_NODES_IO_SYNTH_MESH_POINTS_H

#include "nodes/io/synth/landmarks.h"

enum { SYNTH_MESH_POINTS = 468 };

void synth_mesh_places(const struct synth_face *face, struct synth_place places[SYNTH_MESH_POINTS]);

#endif
