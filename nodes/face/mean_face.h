/* The face every crop is aligned to, and where FaceMesh's points lie on it.
 *
 * The mean face is the 51-point one of dlib's get_face_chip_details (BSL-1.0), which other tools
 * align to as well: a unit square from the brows to below the mouth. */
#ifndef US_NODES_FACE_MEAN_FACE_H
#define US_NODES_FACE_MEAN_FACE_H

#include "nodes/face/faces.h"

enum { US_MEAN_POINTS = 51, US_OVAL_POINTS = 36 };

struct us_mean_point {
    int mesh; /* FaceMesh index */
    double x, y;
    double weight; /* how little the point moves with expression, and how well it is defined */
};

extern const struct us_mean_point us_mean_face[US_MEAN_POINTS];

/* FaceMesh indices of the outline of the face, clockwise as seen from the forehead's middle. */
extern const int us_face_oval[US_OVAL_POINTS];

/* Fits plate pixels to the unit square (robust weighted similarity) and the head's pose from the
 * landmarks; false when they are degenerate. Sets matrix, pose, openings. */
bool us_face_fit(struct us_face *face);
/* The same without the matrix. */
void us_face_pose(struct us_face *face);

#endif
