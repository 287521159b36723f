/* How much a pixel of a face counts: three Gaussian spots, at the eyes and the mouth. */
#ifndef US_KERNELS_PRIORITY_H
#define US_KERNELS_PRIORITY_H

#include <math.h>

#include "kernels/nn/philox.h"

enum { US_PRIORITY_SPOTS = 3 };

/* In pixels of the face. */
struct us_priority_spot {
    float x, y;   /* middle; infinite: no such spot */
    float ux, uy; /* along the spot, over its spread */
    float vx, vy; /* across, likewise */
};

/* 0 to 1 at a place of the face. */
US_SHARED_INLINE float us_priority_at(const struct us_priority_spot spots[US_PRIORITY_SPOTS],
                                      float x, float y) {
    float most = 0;
    for (int i = 0; i < US_PRIORITY_SPOTS; i++) {
        const struct us_priority_spot *s = &spots[i];
        const float u = (x - s->x) * s->ux + (y - s->y) * s->uy;
        const float v = (x - s->x) * s->vx + (y - s->y) * s->vy;
        const float d = u * u + v * v;
        most = d < 12 ? fmaxf(most, expf(-d / 2)) : most;
    }
    return most;
}

#endif
