/* Artists' corrections to faces, as JSON.
 *
 *     {"understudy": "override", "version": 1,
 *      "faces": [ENTRY, ...],                     applies wherever the file is read
 *      "frames": {"1001": [ENTRY, ...], "1010-1020": [ENTRY, ...]}}
 *
 * ENTRY says which face, with one of
 *     "track": 0      the face with that track
 *     "face": 0       the one at that place in the list
 *     "add": true     a new one; it wants a box or landmarks
 * and what about it:
 *     "delete": true
 *     any field of nodes/face/faces.h (box, landmarks, matrix, pose, ...), which replaces it
 *     "points": {"33": [x, y], "263": [x, y, z]}   moves single landmarks
 * What is set is marked as the artist's. Landmarks without a matrix get theirs fitted anew. */
#ifndef US_NODES_FACE_OVERRIDE_H
#define US_NODES_FACE_OVERRIDE_H

#include "nodes/face/faces.h"

/* Applies what the file says about frame `number`. The text is treated as hostile. */
struct us_error *us_override_apply(const void *bytes, size_t size, int32_t number,
                                   struct us_faces *faces) US_NODISCARD;

#endif
