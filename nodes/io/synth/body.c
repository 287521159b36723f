#include "nodes/io/synth/scene.h"

static const float pi = 3.14159265f;

struct ring {
    float height, width, depth, back;
};

static struct ring ring_between(const struct ring *rings, int count, float t) {
    float at = t * (float)(count - 1);
    int i = (int)at < count - 2 ? (int)at : count - 2;
    float f = at - (float)i;
    const struct ring *p0 = &rings[i > 0 ? i - 1 : 0], *p1 = &rings[i], *p2 = &rings[i + 1];
    const struct ring *p3 = &rings[i + 2 < count ? i + 2 : count - 1];
    float w0 = f * (-0.5f + f * (1.0f - 0.5f * f)), w1 = 1.0f + f * f * (-2.5f + 1.5f * f);
    float w2 = f * (0.5f + f * (2.0f - 1.5f * f)), w3 = f * f * (-0.5f + 0.5f * f);
    return (struct ring){
        w0 * p0->height + w1 * p1->height + w2 * p2->height + w3 * p3->height,
        w0 * p0->width + w1 * p1->width + w2 * p2->width + w3 * p3->width,
        w0 * p0->depth + w1 * p1->depth + w2 * p2->depth + w3 * p3->depth,
        w0 * p0->back + w1 * p1->back + w2 * p2->back + w3 * p3->back,
    };
}

static void loft(struct synth_scene *scene, const struct synth_face *face, const struct ring *rings,
                 int count, enum synth_material material, int rows) {
    enum { COLUMNS = 97 };
    struct synth_vertex *v = synth_scene_grid(scene, rows, COLUMNS, material);
    for (int r = 0; r < rows; r++) {
        struct ring ring = ring_between(rings, count, (float)r / (float)(rows - 1));
        for (int c = 0; c < COLUMNS; c++, v++) {
            float angle = pi * ((float)c * 2.0f / (COLUMNS - 1) - 1.0f);
            float s = sin_det(angle), k = cos_det(angle);
            struct vec3 p =
                vec3(ring.width * s, ring.height, -0.20f + (k > 0.0f ? ring.depth : ring.back) * k);
            if (material == SYNTH_NECK) {
                float cord =
                    bell((fabsf(angle) - mixf(0.95f, 0.22f, ramp(-0.7f, -1.65f, p.y))) / 0.16f);
                p = vec_add(p,
                            vec_scale(vec3(s, 0.0f, k), 0.035f * cord * ramp(-0.6f, -1.1f, p.y)));
            } else {
                p.y -= 0.16f * ramp(-1.45f, -1.7f, p.y) * (k > 0.0f ? k * k : 0.0f) *
                       ramp(-2.2f, -1.7f, p.y);
            }
            *v = (struct synth_vertex){.rest = vec3(angle, p.y, p.z), .local = p};
            float weight = material == SYNTH_NECK ? ramp(-1.7f, -0.75f, p.y) : 0.0f;
            v->position = synth_head_pose(&face->motion, p, weight);
        }
    }
}

void synth_body_build(struct synth_scene *scene, const struct synth_face *face) {
    float w = 0.30f + 0.38f * face->identity->jaw_width;
    const struct ring neck[] = {
        {-0.45f, w, 0.40f, 0.45f},        {-0.90f, w, 0.40f, 0.46f},
        {-1.30f, w, 0.40f, 0.48f},        {-1.55f, 1.06f * w, 0.42f, 0.50f},
        {-1.80f, 1.1f * w, 0.42f, 0.50f},
    };
    static const struct ring trunk[] = {
        {-1.44f, 0.60f, 0.47f, 0.55f}, {-1.54f, 0.66f, 0.52f, 0.58f}, {-1.66f, 0.92f, 0.60f, 0.62f},
        {-1.80f, 1.30f, 0.68f, 0.66f}, {-1.98f, 1.72f, 0.76f, 0.70f}, {-2.25f, 2.02f, 0.86f, 0.74f},
        {-2.70f, 2.14f, 0.95f, 0.80f}, {-3.40f, 2.16f, 1.00f, 0.85f}, {-4.40f, 2.16f, 1.00f, 0.85f},
    };
    loft(scene, face, neck, 5, SYNTH_NECK, 46);
    loft(scene, face, trunk, 9, SYNTH_CLOTH, 60);
}
