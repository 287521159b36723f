/* Mattes of the parts of a face, drawn from its landmarks. */
#ifndef US_NODES_FACE_REGIONS_H
#define US_NODES_FACE_REGIONS_H

#include "kernels/view.h"
#include "runtime/base/error.h"

enum us_region { US_REGION_FACE, US_REGION_EYES, US_REGION_MOUTH, US_REGION_SKIN };

/* Draws a region into `matte`, 0 to 1, anti-aliased. `points` are 468 or more FaceMesh landmarks
 * in the matte's own coordinates (its first sample covers [0, 1)). FACE is the outline, its upper
 * part raised by `forehead` times the distance from brows to the outline's top; SKIN is FACE
 * without eyes and mouth. Fails when there is no memory. */
struct us_error *us_region_draw(enum us_region region, const double (*points)[2], double forehead,
                                struct us_view matte) US_NODISCARD;

/* The outline that FACE fills, as a closed polygon; returns its points. */
enum { US_CURVE_POINTS = 160 };
int us_face_curve(const double (*points)[2], double forehead, double (*curve)[2]);

#endif
