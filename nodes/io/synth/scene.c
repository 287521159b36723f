#include "nodes/io/synth/scene.h"

#include "runtime/base/mem.h"

static const float pi = 3.14159265f;

struct synth_vertex *synth_scene_grid(struct synth_scene *scene, int rows, int columns,
                                      enum synth_material material) {
    size_t first = scene->vertex_count, count = (size_t)rows * (size_t)columns;
    us_grow(&scene->vertices, &scene->vertex_capacity, first + count, sizeof *scene->vertices);
    us_grow(&scene->triangles, &scene->triangle_capacity, scene->triangle_count + 2 * count,
            sizeof *scene->triangles);
    scene->vertex_count += count;
    for (int r = 0; r + 1 < rows; r++) {
        for (int c = 0; c + 1 < columns; c++) {
            uint32_t a = (uint32_t)first + (uint32_t)(r * columns + c);
            uint32_t below = a + (uint32_t)columns;
            scene->triangles[scene->triangle_count++] =
                (struct synth_triangle){{a, below, a + 1}, material};
            scene->triangles[scene->triangle_count++] =
                (struct synth_triangle){{a + 1, below, below + 1}, material};
        }
    }
    return scene->vertices + first;
}

void synth_scene_finish(struct synth_scene *scene) {
    us_free(scene->vertices);
    us_free(scene->triangles);
    *scene = (struct synth_scene){0};
}

/* Rows stand close at the eyes and the nose, and closest where the mouth opens. */
static void row_heights(const struct synth_face *face, float *heights, int rows) {
    enum { STEPS = 4096 };
    const float top = 1.15f, bottom = -1.22f;
    float mouth = face->mouth / face->identity->face_length, total = 0.0f;
    for (int pass = 0; pass < 2; pass++) {
        float sum = 0.0f;
        int row = 0;
        for (int i = 0; i <= STEPS; i++) {
            float h = mixf(top, bottom, (float)i / STEPS);
            while (pass && row < rows &&
                   sum >= total * ((float)row / (float)(rows - 1)) * 0.999999f) {
                heights[row++] = h;
            }
            sum += 1.0f + 2.2f * bell((h - 0.02f) / 0.13f) + 2.0f * bell((h + 0.52f) / 0.2f) +
                   11.0f * bell((h - mouth) / 0.016f) + 2.0f * bell((h + 1.18f) / 0.06f);
        }
        total = sum;
        while (pass && row < rows) {
            heights[row++] = bottom;
        }
    }
    heights[rows - 1] = bottom;
}

static void place(struct synth_vertex *v, const struct synth_face *face, struct vec3 rest,
                  struct vec3 local, float weight) {
    *v = (struct synth_vertex){.rest = rest, .local = local};
    v->position = synth_head_pose(&face->motion, local, weight);
}

static void build_head(struct synth_scene *scene, const struct synth_face *face) {
    enum { ROWS = 200, COLUMNS = 161 };
    float heights[ROWS];
    row_heights(face, heights, ROWS);
    struct synth_vertex *v = synth_scene_grid(scene, ROWS, COLUMNS, SYNTH_FACE);
    for (int r = 0; r < ROWS; r++) {
        for (int c = 0; c < COLUMNS; c++, v++) {
            float s = (float)c * 2.0f / (COLUMNS - 1) - 1.0f;
            float angle = pi * (0.40f * s + 0.60f * s * s * s);
            struct vec3 rest = synth_head_rest(face->identity, angle, heights[r]);
            place(v, face, rest, synth_head_shaped(face, rest, angle), 1.0f);
            v->angle = angle;
        }
    }
}

/* An ear is a dished oval: `t` runs from its middle to the rim, `a` around. */
static struct vec3 ear_point(const struct synth_identity *id, float t, float a) {
    float s = sin_det(a), c = cos_det(a);
    float egg = 0.17f * (1.0f + 0.22f * s);
    float along = t * egg * c, up = 0.30f * t * s;
    float lift = 0.035f * bell((t - 0.86f) / 0.10f) * ramp(-0.9f, 0.2f, s + 0.3f) -
                 0.075f * bell(t / 0.42f) +
                 0.022f * bell((t - 0.6f) / 0.09f) * ramp(0.5f, -0.5f, c) -
                 0.05f * ramp(0.92f, 1.0f, t);
    float out = 0.075f + lift - 0.42f * along;
    float x = mixf(id->cheek_width, id->skull_width, 0.55f) - 0.035f + out;
    return vec3(x, -0.20f + up - 0.10f * along, -0.11f - along * 0.9f);
}

static void build_ears(struct synth_scene *scene, const struct synth_face *face) {
    enum { ROWS = 26, COLUMNS = 41 };
    for (int side = -1; side <= 1; side += 2) {
        struct synth_vertex *v = synth_scene_grid(scene, ROWS, COLUMNS, SYNTH_EAR);
        for (int r = 0; r < ROWS; r++) {
            for (int c = 0; c < COLUMNS; c++, v++) {
                float a = 2.0f * pi * (float)c / (COLUMNS - 1) * (float)side;
                struct vec3 p = ear_point(face->identity, (float)r / (ROWS - 1), a);
                p.x *= (float)side;
                place(v, face, p, p, 1.0f);
                v->angle = (float)r / (ROWS - 1);
            }
        }
    }
}

static void add_normals(struct synth_scene *scene) {
    for (size_t i = 0; i < scene->triangle_count; i++) {
        const uint32_t *k = scene->triangles[i].corner;
        struct synth_vertex *v = scene->vertices;
        struct vec3 n = vec_cross(vec_sub(v[k[1]].position, v[k[0]].position),
                                  vec_sub(v[k[2]].position, v[k[0]].position));
        for (int j = 0; j < 3; j++) {
            v[k[j]].normal = vec_add(v[k[j]].normal, n);
        }
    }
    for (size_t i = 0; i < scene->vertex_count; i++) {
        scene->vertices[i].normal = vec_unit(vec_scale(scene->vertices[i].normal, 1e3f));
    }
}

void synth_scene_build(struct synth_scene *scene, const struct synth_face *face) {
    build_head(scene, face);
    build_ears(scene, face);
    synth_hair_build(scene, face);
    synth_body_build(scene, face);
    add_normals(scene);
}
