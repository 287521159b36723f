/* Whether one sequence of faces moves as another does. */
#ifndef US_NODES_UTIL_COMPARE_FACES_H
#define US_NODES_UTIL_COMPARE_FACES_H

#include "runtime/api/value.h"

/* Pairs of openings, one a frame in which both sequences have a face that says them. Zeroed is
 * empty. */
struct us_face_pairs {
    double (*items)[4]; /* mouth, eyes of the face; mouth, eyes of the reference */
    size_t count, capacity;
    double error; /* sum of the frames' landmark errors */
    size_t error_count;
};

/* Adds a frame: the largest face of each. *error is the normalised mean error of the landmarks
 * (mean distance over the distance of the reference's outer eye corners), NaN when either
 * has no FaceMesh landmarks. */
struct us_error *us_face_pairs_add(struct us_face_pairs *pairs, const struct us_value *faces,
                                   const struct us_value *reference, double *error) US_NODISCARD;
/* Pearson's correlation of column `column` with column + 2 (0: mouth, 1: eyes); NaN when there are
 * under 3 pairs or one side does not move. */
double us_face_pairs_correlation(const struct us_face_pairs *pairs, int column);
void us_face_pairs_finish(struct us_face_pairs *pairs);

#endif
