/* The faces of one frame, in memory and as JSON.
 *
 * Coordinates are pixels of the plate in OpenEXR's sense: the data window's origin counts, a
 * pixel's centre is at +0.5. Left and right are the person's own. The JSON is canonical: fixed key
 * order and number format, so equal faces are equal bytes. docs/faces.md shows an example.
 *
 *     {"understudy": "faces", "version": 1, "faces": [
 *       {"track": 0, "score": 0.96, "box": [x_min, y_min, x_max, y_max],
 *        "keypoints": [[x, y] * 6], "landmarks": [[x, y, z] * 468],
 *        "matrix": [a, b, c, d, e, f], "pose": [yaw, pitch, roll],
 *        "mouth_open": 0.1, "eye_open_left": 0.3, "eye_open_right": 0.3,
 *        "source": {"box": "blazeface", "landmarks": "facemesh", "matrix": "facemesh"}}]}
 *
 * Everything but box and score may be missing. */
#ifndef US_NODES_FACE_FACES_H
#define US_NODES_FACE_FACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/api/value.h"
#include "runtime/base/error.h"

enum { US_FACE_KEYPOINTS = 6, US_FACE_LANDMARKS = 478, US_FACES_MAX = 256 };

/* Keypoints of BlazeFace. */
enum us_face_keypoint {
    US_RIGHT_EYE,
    US_LEFT_EYE,
    US_NOSE,
    US_MOUTH,
    US_RIGHT_EAR,
    US_LEFT_EAR,
};

enum us_face_part { US_PART_BOX, US_PART_LANDMARKS, US_PART_MATRIX, US_PART_COUNT };

struct us_face {
    int32_t track; /* -1: none */
    double score;
    double box[4];
    int keypoint_count; /* 0 or US_FACE_KEYPOINTS */
    double keypoints[US_FACE_KEYPOINTS][2];
    int landmark_count; /* 0, 468 or 478 */
    double landmarks[US_FACE_LANDMARKS][3];
    bool has_matrix;
    double matrix[6]; /* plate pixel -> the mean face's unit square, as in kernels/resample.h */
    bool has_pose;
    double pose[3];                                   /* yaw, pitch, roll in degrees */
    double mouth_open, eye_open_left, eye_open_right; /* valid with landmarks */
    char source[US_PART_COUNT][16]; /* who made it: "blazeface", "facemesh", "track", "artist" */
};

struct us_faces {
    struct us_face *items;
    size_t count, capacity;
};

void us_faces_finish(struct us_faces *faces);
/* A new face at the end: track -1, the rest zero. */
struct us_face *us_faces_add(struct us_faces *faces);
void us_faces_copy(const struct us_faces *from, struct us_faces *to);
/* The face of that track; where no face has a track, the one at that place in the list; or NULL. */
struct us_face *us_faces_choose(const struct us_faces *faces, int64_t track);

/* The canonical JSON as a value (US_FACES). */
struct us_value *us_faces_write(const struct us_faces *faces);
/* Reads any JSON of that form; the text is treated as hostile. Errors say what is wrong where. */
struct us_error *us_faces_read(const void *bytes, size_t size, struct us_faces *faces) US_NODISCARD;

/* Mouth and eye openings from the landmarks: distance between the lips over the mouth's width;
 * mean distance between the lids over the eye's width. Source: the eye aspect ratio of Soukupova
 * and Cech 2016, on FaceMesh's points, in three dimensions. */
void us_face_measure(struct us_face *face);

#endif
