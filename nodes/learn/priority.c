#include "nodes/learn/priority.h"

#include <math.h>
#include <string.h>

/* FaceMesh's corners, and the spread along and across in half corner distances. */
static const struct region {
    int corners[2];
    float along, across;
} regions[] = {{{33, 133}, 0.8f, 0.6f}, {{362, 263}, 0.8f, 0.6f}, {{61, 291}, 0.7f, 0.55f}};

struct spot {
    float x, y;   /* middle, face pixels */
    float ux, uy; /* along the corners, divided by the spread along */
    float vx, vy; /* across */
};

static struct spot spot_of(const struct region *region, const float *landmarks) {
    const float *a = landmarks + 2 * region->corners[0], *b = landmarks + 2 * region->corners[1];
    const float dx = (b[0] - a[0]) / 2, dy = (b[1] - a[1]) / 2;
    const float half = fmaxf(sqrtf(dx * dx + dy * dy), 0.5f);
    const float along = half * half * region->along, across = half * half * region->across;
    return (struct spot){.x = (a[0] + b[0]) / 2,
                         .y = (a[1] + b[1]) / 2,
                         .ux = dx / along,
                         .uy = dy / along,
                         .vx = -dy / across,
                         .vy = dx / across};
}

void us_priority_draw(const float *landmarks, const float affine[6], int size, float *plane) {
    enum { COUNT = sizeof regions / sizeof *regions };
    memset(plane, 0, (size_t)size * (size_t)size * sizeof *plane);
    struct spot spots[COUNT];
    for (int r = 0; landmarks && r < COUNT; r++) {
        spots[r] = spot_of(&regions[r], landmarks);
    }
    for (int y = 0; landmarks && y < size; y++) {
        for (int x = 0; x < size; x++) {
            const float px = (float)x + 0.5f, py = (float)y + 0.5f;
            const float fx = affine[0] * px + affine[1] * py + affine[2];
            const float fy = affine[3] * px + affine[4] * py + affine[5];
            float most = 0;
            for (int r = 0; r < COUNT; r++) {
                const struct spot *s = &spots[r];
                const float u = (fx - s->x) * s->ux + (fy - s->y) * s->uy;
                const float v = (fx - s->x) * s->vx + (fy - s->y) * s->vy;
                const float d = u * u + v * v;
                most = d < 12 ? fmaxf(most, expf(-d / 2)) : most;
            }
            plane[y * size + x] = most;
        }
    }
}
