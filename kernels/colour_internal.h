/* One pixel. */
#ifndef US_KERNELS_COLOUR_INTERNAL_H
#define US_KERNELS_COLOUR_INTERNAL_H

#include <math.h>

#include "kernels/both_internal.h"
#include "kernels/colour.h"

US_BOTH void colour_take(float r, float g, float b, float share, struct us_colour_sums *sums) {
    double v[3] = {(double)r, (double)g, (double)b}, w = (double)share;
    double largest = 1.7976931348623157e308; /* what is not finite is not within */
    if (!(w > 0.0) || !(w <= largest) || !(fabs(v[0] + v[1] + v[2]) <= largest)) {
        return;
    }
    sums->weight += w;
    for (int i = 0; i < 3; i++) {
        sums->value[i] += w * v[i];
        for (int j = 0; j < 3; j++) {
            sums->product[i][j] += w * v[i] * v[j];
        }
    }
}

US_BOTH void colour_move(const struct us_colour_map *map, float *r, float *g, float *b) {
    double v[3] = {(double)*r, (double)*g, (double)*b}, out[3];
    for (int i = 0; i < 3; i++) {
        out[i] = map->m[i][0] * v[0] + map->m[i][1] * v[1] + map->m[i][2] * v[2] + map->offset[i];
    }
    *r = (float)out[0];
    *g = (float)out[1];
    *b = (float)out[2];
}

#endif
