#include "nodes/face/facemesh.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nodes/face/crop_info.h"

enum { POINTS = 468, MOST_LOOKS = 16 };

/* The network was trained on squares this much larger than the face. */
static const double margin = 1.5;

struct us_error *us_facemesh_start(struct us_facemesh *mesh, const struct us_tflite *network) {
    US_TRY(us_looker_start(&mesh->looker, network, 0.0f, 1.0f));
    bool straight = us_tflite_output_count(network) == 2 &&
                    us_tflite_output_size(network, 0) == (size_t)POINTS * 3;
    mesh->points = straight ? 0 : 1;
    mesh->presence = straight ? 1 : 0;
    if (us_tflite_output_count(network) != 2 ||
        us_tflite_output_size(network, mesh->points) != (size_t)POINTS * 3 ||
        us_tflite_output_size(network, mesh->presence) != 1) {
        us_facemesh_finish(mesh);
        return us_fail(US_FAILED, "the network does not give 468 landmarks");
    }
    return NULL;
}

void us_facemesh_finish(struct us_facemesh *mesh) {
    us_looker_finish(&mesh->looker);
}

struct us_square us_face_square(const struct us_face *face) {
    const double *box = face->box;
    struct us_square square = {(box[0] + box[2]) / 2, (box[1] + box[3]) / 2,
                               margin * fmax(box[2] - box[0], box[3] - box[1]), 0};
    if (face->keypoint_count) {
        const double *right = face->keypoints[US_RIGHT_EYE], *left = face->keypoints[US_LEFT_EYE];
        square.angle = atan2(left[1] - right[1], left[0] - right[0]);
    }
    return square;
}

struct us_square us_landmark_square(const struct us_face *face) {
    const double *right = face->landmarks[33], *left = face->landmarks[263];
    double angle = atan2(left[1] - right[1], left[0] - right[0]);
    double c = cos(angle), s = sin(angle);
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int i = 0; i < POINTS; i++) {
        const double *p = face->landmarks[i];
        double turned[2] = {c * p[0] + s * p[1], -s * p[0] + c * p[1]};
        for (int d = 0; d < 2; d++) {
            low[d] = fmin(low[d], turned[d]);
            high[d] = fmax(high[d], turned[d]);
        }
    }
    double x = (low[0] + high[0]) / 2, y = (low[1] + high[1]) / 2;
    return (struct us_square){c * x - s * y, s * x + c * y,
                              margin * fmax(high[0] - low[0], high[1] - low[1]), angle};
}

/* Landmarks of what is in one of the squares looked at, in frame pixels; the network's confidence
 * that it is a face. */
static double read_look(const struct us_facemesh *mesh, const struct us_square *squares, int which,
                        double landmarks[][3]) {
    double map[6];
    us_square_map(&squares[which], mesh->looker.size, map);
    const float *points = us_looker_output(&mesh->looker, which, mesh->points);
    double scale = squares[which].side / mesh->looker.size;
    for (int i = 0; i < POINTS; i++) {
        us_affine_apply(map, (double)points[3 * i], (double)points[3 * i + 1], &landmarks[i][0],
                        &landmarks[i][1]);
        landmarks[i][2] = scale * (double)points[3 * i + 2];
    }
    double logit = (double)us_looker_output(&mesh->looker, which, mesh->presence)[0];
    return 1 / (1 + exp(-fmax(-80, fmin(80, logit))));
}

/* The i-th of a fixed series of small changes; the first is none, and pairs cancel. */
static struct us_square perturbed(const struct us_square *square, int i) {
    static const double changes[][4] = {
        /* turn, scale, across, down: radians and fractions of the side */
        {0.00, 1.00, 0.000, 0.000},   {0.07, 1.04, 0.010, -0.008}, {-0.07, 0.96, -0.010, 0.008},
        {0.04, 0.97, -0.014, -0.010}, {-0.04, 1.03, 0.014, 0.010}, {0.10, 1.00, -0.004, 0.014},
        {-0.10, 1.00, 0.004, -0.014}, {0.02, 1.06, -0.016, 0.004}, {-0.02, 0.94, 0.016, -0.004},
    };
    const double *change = changes[i % 9];
    double turns = 1 + i / 9; /* a second round goes half as far again */
    struct us_square made = *square;
    made.angle += change[0] * (turns + 1) / 2;
    made.side *= 1 + (change[1] - 1) * (turns + 1) / 2;
    made.x += change[2] * square->side;
    made.y += change[3] * square->side;
    return made;
}

struct us_error *us_facemesh_find(struct us_facemesh *mesh, const struct us_frame_rgb *frame,
                                  int refine, struct us_face *face, double *confidence) {
    struct us_square square = us_face_square(face), moved[MOST_LOOKS];
    double sum[POINTS][3] = {{0}};
    refine = refine < MOST_LOOKS ? refine : MOST_LOOKS;
    face->landmark_count = POINTS;
    snprintf(face->source[US_PART_LANDMARKS], sizeof face->source[0], "facemesh");
    US_TRY(us_looker_run(&mesh->looker, frame, &square, 1, 0));
    *confidence = read_look(mesh, &square, 0, face->landmarks);
    if (refine == 0) {
        return NULL;
    }
    square = us_landmark_square(face);
    for (int i = 0; i < refine; i++) {
        moved[i] = perturbed(&square, i);
    }
    US_TRY(us_looker_run(&mesh->looker, frame, moved, refine, 0));
    *confidence = 0;
    for (int i = 0; i < refine; i++) {
        *confidence += read_look(mesh, moved, i, face->landmarks) / refine;
        for (int p = 0; p < POINTS * 3; p++) {
            sum[p / 3][p % 3] += face->landmarks[p / 3][p % 3];
        }
    }
    for (int p = 0; p < POINTS * 3; p++) {
        face->landmarks[p / 3][p % 3] = sum[p / 3][p % 3] / refine;
    }
    return NULL;
}
