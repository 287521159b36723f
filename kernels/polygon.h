/* Filling polygons with exact area coverage. */
#ifndef US_KERNELS_POLYGON_H
#define US_KERNELS_POLYGON_H

#include "kernels/view.h"

/* Each sample of `view` becomes the share of it that the closed polygon covers, 0 to 1: samples
 * cover [x, x+1) x [y, y+1). Exact for polygons that do not cross themselves, whichever way round
 * they run; what lies outside the view is cut off. Points are finite. */
void us_polygon_fill(struct us_view view, const double (*points)[2], int count);
/* The same on a device, enqueued on `stream` (a cudaStream_t); points in its memory. */
void us_polygon_fill_cuda(struct us_view view, const double (*points)[2], int count, void *stream);

/* Points on the closed Catmull-Rom curve through `points`, `steps` a point; `curve` has room for
 * count x steps. Source: Catmull and Rom 1974. */
void us_curve_closed(const double (*points)[2], int count, int steps, double (*curve)[2]);

#endif
