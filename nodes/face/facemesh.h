/* FaceMesh: 468 landmarks of one face.
 *
 * Source: Kartynnik et al. 2019, "Real-time facial surface geometry from monocular video on mobile
 * GPUs"; region of interest as MediaPipe's face_landmark module publishes it. */
#ifndef US_NODES_FACE_FACEMESH_H
#define US_NODES_FACE_FACEMESH_H

#include "nodes/face/faces.h"
#include "nodes/face/sample.h"

struct us_facemesh {
    struct us_looker looker;
    size_t points, presence; /* output indices */
};

struct us_error *us_facemesh_start(struct us_facemesh *mesh,
                                   const struct us_tflite *network) US_NODISCARD;
void us_facemesh_finish(struct us_facemesh *mesh);

/* Where to look: from a box (turned by the eyes when keypoints are known), and from landmarks. */
struct us_square us_face_square(const struct us_face *face);
struct us_square us_landmark_square(const struct us_face *face);

/* One look at the box, then the mean of `refine` looks at slightly turned, scaled and shifted
 * squares around the landmarks found (0: keeps the first). Sets landmarks and count; `confidence`
 * is the network's that it is a face, 0 to 1. */
struct us_error *us_facemesh_find(struct us_facemesh *mesh, const struct us_frame_rgb *frame,
                                  int refine, struct us_face *face,
                                  double *confidence) US_NODISCARD;

#endif
