#include "nodes/learn/priority.h"

#include <math.h>

/* FaceMesh's corners, and the spread along and across in half corner distances. */
static const struct region {
    int corners[2];
    float along, across;
} regions[US_PRIORITY_SPOTS] = {
    {{33, 133}, 0.8f, 0.6f}, {{362, 263}, 0.8f, 0.6f}, {{61, 291}, 0.7f, 0.55f}};

static struct us_priority_spot spot_of(const struct region *region, const float *landmarks) {
    const float *a = landmarks + 2 * region->corners[0], *b = landmarks + 2 * region->corners[1];
    const float dx = (b[0] - a[0]) / 2, dy = (b[1] - a[1]) / 2;
    const float half = fmaxf(sqrtf(dx * dx + dy * dy), 0.5f);
    const float along = half * half * region->along, across = half * half * region->across;
    return (struct us_priority_spot){.x = (a[0] + b[0]) / 2,
                                     .y = (a[1] + b[1]) / 2,
                                     .ux = dx / along,
                                     .uy = dy / along,
                                     .vx = -dy / across,
                                     .vy = dx / across};
}

void us_priority_spots(const float *landmarks, struct us_priority_spot spots[US_PRIORITY_SPOTS]) {
    for (int i = 0; i < US_PRIORITY_SPOTS; i++) {
        spots[i] = landmarks ? spot_of(&regions[i], landmarks)
                             : (struct us_priority_spot){.x = INFINITY, .y = INFINITY};
    }
}

void us_priority_draw(const float *landmarks, const float affine[6], int size, float *plane) {
    struct us_priority_spot spots[US_PRIORITY_SPOTS];
    us_priority_spots(landmarks, spots);
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            const float px = (float)x + 0.5f, py = (float)y + 0.5f;
            const float fx = affine[0] * px + affine[1] * py + affine[2];
            const float fy = affine[3] * px + affine[4] * py + affine[5];
            plane[y * size + x] = landmarks ? us_priority_at(spots, fx, fy) : 0;
        }
    }
}
