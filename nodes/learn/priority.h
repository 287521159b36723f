/* Where a training looks closest: eyes and mouth, a few pixels that carry the expression.
 *
 * The plane is 1 in the middle of each eye and of the mouth and falls off as a Gaussian along and
 * across the line between its corners. */
#ifndef US_NODES_LEARN_PRIORITY_H
#define US_NODES_LEARN_PRIORITY_H

#include "kernels/priority.h"

/* `landmarks` as below. */
void us_priority_spots(const float *landmarks, struct us_priority_spot spots[US_PRIORITY_SPOTS]);

/* `landmarks`: x, y of the 468 points of FaceMesh, in face pixels, or NULL: then the plane is 0.
 * `affine`: plane pixel -> face pixel, as in struct us_augment_draw. `plane`: [size][size]. */
void us_priority_draw(const float *landmarks, const float affine[6], int size, float *plane);

#endif
