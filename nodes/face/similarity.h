/* Turning, scaling and shifting one set of points onto another. */
#ifndef US_NODES_FACE_SIMILARITY_H
#define US_NODES_FACE_SIMILARITY_H

#include <stdbool.h>
#include <stddef.h>

/* The map {a, -b, c, b, a, d} with the least weighted sum of squared distances from `from` mapped
 * to `to`, in closed form: Umeyama 1991, "Least-squares estimation of transformation parameters
 * between two point patterns", in two dimensions and without mirroring. False when the points
 * coincide or no weight is above 0. */
bool us_similarity_fit(const double (*from)[2], const double (*to)[2], const double *weights,
                       size_t count, double map[6]);

/* The same, with weights lowered for points that stay farther than `reach` (in units of `to`) from
 * where they should be: Huber's function, iteratively re-weighted (Huber 1964; Holland and Welsch
 * 1977). At most 128 points. */
bool us_similarity_fit_robust(const double (*from)[2], const double (*to)[2], const double *weights,
                              size_t count, double reach, double map[6]);

#endif
