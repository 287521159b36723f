/* Triangles of one frame: head, ears, hair, neck and trunk of one identity, posed in the world.
 *
 * The world is head space with the trunk at rest: decimetres, y up, the camera on +z. */
#ifndef US_NODES_IO_SYNTH_SCENE_H
#define US_NODES_IO_SYNTH_SCENE_H

#include <stddef.h>

#include "nodes/io/synth/head.h"

enum synth_material { SYNTH_FACE, SYNTH_EAR, SYNTH_NECK, SYNTH_HAIR, SYNTH_CLOTH };

struct synth_vertex {
    struct vec3 position, normal; /* world */
    struct vec3 rest, local;      /* head space: bare loft, and shaped but not posed */
    float angle;                  /* about the head, from its front */
    struct vec3 ambient;          /* light from all around, times what reaches the vertex */
};

struct synth_triangle {
    uint32_t corner[3];
    enum synth_material material;
};

struct synth_scene {
    struct synth_vertex *vertices;
    size_t vertex_count, vertex_capacity;
    struct synth_triangle *triangles;
    size_t triangle_count, triangle_capacity;
};

/* A zeroed scene is empty. */
void synth_scene_build(struct synth_scene *scene, const struct synth_face *face);
void synth_scene_finish(struct synth_scene *scene);

/* Appends rows x columns vertices and the triangles between them; returns the first vertex, to be
 * filled row by row. Normals point to (row step) x (column step). */
struct synth_vertex *synth_scene_grid(struct synth_scene *scene, int rows, int columns,
                                      enum synth_material material);
/* How far inside the hair a place of the loft lies, in decimetres; negative on bare skin. */
float synth_hair_edge(const struct synth_identity *identity, float angle, float height);
/* Parts of synth_scene_build. */
void synth_hair_build(struct synth_scene *scene, const struct synth_face *face);
void synth_body_build(struct synth_scene *scene, const struct synth_face *face);

#endif
