/* Faces for tests: drawn ones for the networks, made-up landmarks for the geometry. */
#ifndef US_TESTS_SUPPORT_FACE_FIXTURE_H
#define US_TESTS_SUPPORT_FACE_FIXTURE_H

#include "nodes/face/faces.h"
#include "runtime/image/image.h"

/* A drawn frontal face: skin, hair, eyes, brows, nose and mouth on a grey ground. `x`, `y` is the
 * middle between the eyes and `size` their distance, in pixels of the data window's own frame
 * (EXR pixel coordinates); `light` scales all of it. Channels R, G, B float. */
struct us_image *us_test_face_image(struct us_window window, double x, double y, double size,
                                    double light);

/* A face with 468 landmarks: the mean face's points and the contours of eyes and mouth where
 * `matrix` (unit square -> plate) takes them, an oval around them, the rest at the nose; z is 0.
 * Track -1, no matrix. */
struct us_face *us_test_face_add(struct us_faces *faces, const double matrix[6]);

/* Points the models folder at the repository's; skips the running test, saying how to get the
 * weights, when they are not there. */
void us_test_need_weights(void);

#endif
