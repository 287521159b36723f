/* Which part of a plate a face crop shows. */
#ifndef US_NODES_FACE_CROP_GEOMETRY_H
#define US_NODES_FACE_CROP_GEOMETRY_H

#include "nodes/face/faces.h"

/* Names of the coverages, NULL-terminated. */
extern const char *const us_coverages[];

/* Plate pixel -> crop pixel for a face with a matrix: a square around the mean face's unit square,
 * 1.000, 1.597, 2.131 or 2.980 times as large for half, full, whole and head (the sizes other
 * trainers use), whole and head moved up by 0.07 and 0.50 of the unit square. */
void us_crop_map(const double face_matrix[6], const char *coverage, int32_t size, double map[6]);

#endif
