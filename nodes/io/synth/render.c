#include "nodes/io/synth/render.h"

#include "nodes/io/synth/backdrop.h"
#include "nodes/io/synth/shade.h"
#include "runtime/base/mem.h"

enum { BAND = 64 }; /* rows rendered at a time, which bounds the memory */

struct view {
    float focal, centre_x, centre_y; /* pixels of the supersampled frame */
    struct vec3 camera;
};

struct renderer {
    const struct synth_shot *shot;
    const struct synth_picture *picture;
    struct synth_face face;
    struct synth_light light;
    struct synth_scene scene;
    struct synth_shadow shadow;
    struct synth_shading shading;
    struct view view;
    struct synth_screen *screen;
    float *depth, *scratch, *shadow_depth;
    int32_t *index;
};

static struct view view_of(const struct synth_shot *shot, int width, int height) {
    struct view view = {.focal = shot->focal_mm / 36.0f * (float)width,
                        .centre_x = 0.5f * (float)width,
                        .centre_y = 0.46f * (float)height};
    float distance = view.focal * 2.3f / (shot->face_height * (float)height);
    view.camera = vec3(0.0f, -0.05f, distance + 0.4f);
    return view;
}

static struct synth_screen look_at(const struct view *view, struct vec3 p) {
    float d = view->camera.z - p.z;
    float inverse = 1.0f / (d > 0.2f ? d : 0.2f);
    return (struct synth_screen){view->centre_x + view->focal * (p.x - view->camera.x) * inverse,
                                 view->centre_y - view->focal * (p.y - view->camera.y) * inverse,
                                 inverse};
}

void synth_project(const struct synth_shot *shot, int width, int height,
                   struct synth_truth *truth) {
    struct synth_face face;
    struct synth_place places[SYNTH_LANDMARKS], mesh[SYNTH_MESH_POINTS];
    struct view view = view_of(shot, width, height);
    synth_motion_at(&shot->motion, &truth->motion);
    synth_face_init(&face, shot->identity, &truth->motion);
    synth_landmark_places(&face, places);
    synth_mesh_places(&face, mesh);
    for (int i = 0; i < SYNTH_LANDMARKS; i++) {
        struct synth_screen at = look_at(&view, synth_place_position(&face, places[i]));
        truth->points[i] = (struct synth_point){at.x, at.y, 0.0f};
    }
    float middle = view.camera.z;
    for (int i = 0; i < SYNTH_MESH_POINTS; i++) {
        struct vec3 p = synth_place_position(&face, mesh[i]);
        struct synth_screen at = look_at(&view, p);
        float depth = -(p.z - 0.6f) * view.focal / middle;
        truth->mesh[i] = (struct synth_point){at.x, at.y, depth};
    }
}

static struct synth_vertex blend(const struct renderer *r, const struct synth_triangle *triangle,
                                 float x, float y) {
    const struct synth_screen *corner[3];
    const struct synth_vertex *v[3];
    struct synth_vertex out = {0};
    float w[3];
    for (int i = 0; i < 3; i++) {
        corner[i] = &r->screen[triangle->corner[i]];
        v[i] = &r->scene.vertices[triangle->corner[i]];
    }
    synth_weights(corner, x, y, w);
    for (int i = 0; i < 3; i++) {
        out.angle += v[i]->angle * w[i];
        out.position = vec_add(out.position, vec_scale(v[i]->position, w[i]));
        out.normal = vec_add(out.normal, vec_scale(v[i]->normal, w[i]));
        out.rest = vec_add(out.rest, vec_scale(v[i]->rest, w[i]));
        out.local = vec_add(out.local, vec_scale(v[i]->local, w[i]));
        out.ambient = vec_add(out.ambient, vec_scale(v[i]->ambient, w[i]));
    }
    out.normal = vec_unit(out.normal);
    return out;
}

static struct vec3 backdrop_at(const struct renderer *r, int x, int y) {
    int width = r->picture->rgb[0].width, height = r->picture->rgb[0].height;
    float fx = ((float)x + 0.5f - 0.5f * (float)width) / (float)height;
    float fy = ((float)y + 0.5f) / (float)height - 0.5f;
    float flicker = 2.0f - r->face.motion.light;
    return synth_backdrop(&r->light, r->shot->motion.seed, r->shot->peak, flicker, fx, fy);
}

static void render_pixel(const struct renderer *r, int x, int y, int band_top) {
    int n = r->shot->samples, wide = r->picture->rgb[0].width * n;
    struct vec3 sum = {0}, behind = {0};
    float part, matte = 0.0f;
    bool have_behind = false;
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < n; i++) {
            int sx = x * n + i, sy = y * n + j;
            int32_t k = r->index[(size_t)(sy - band_top) * (size_t)wide + (size_t)sx];
            if (k < 0) {
                behind = have_behind ? behind : backdrop_at(r, x, y);
                have_behind = true;
                sum = vec_add(sum, behind);
                continue;
            }
            struct synth_vertex v =
                blend(r, &r->scene.triangles[k], (float)sx + 0.5f, (float)sy + 0.5f);
            sum = vec_add(sum, synth_shade(&r->shading, &v, r->scene.triangles[k].material, &part));
            matte += part;
        }
    }
    float scale = 1.0f / (float)(n * n), gain = scale * exp2_det(r->shot->exposure_stops);
    const float value[3] = {sum.x * gain, sum.y * gain, sum.z * gain};
    for (int c = 0; c < 3; c++) {
        us_view_row(r->picture->rgb[c], y)[x] =
            synth_grain(value[c], r->shot->grain, x, y, c, r->shot->frame, r->shot->motion.seed);
    }
    if (r->picture->matte.data) {
        us_view_row(r->picture->matte, y)[x] = saturate(matte * scale);
    }
}

static void render_bands(const struct renderer *r) {
    int n = r->shot->samples, height = r->picture->rgb[0].height, width = r->picture->rgb[0].width;
    for (int top = 0; top < height; top += BAND) {
        int rows = height - top < BAND ? height - top : BAND;
        struct synth_buffer buffer = {width * n, rows * n, top * n, r->depth, r->index};
        synth_buffer_clear(&buffer);
        synth_raster(&r->scene, r->screen, &buffer);
        for (int y = top; y < top + rows; y++) {
            for (int x = 0; x < width; x++) {
                render_pixel(r, x, y, top * n);
            }
        }
    }
}

static void prepare(struct renderer *r) {
    const struct synth_shot *shot = r->shot;
    int n = shot->samples, width = r->picture->rgb[0].width, height = r->picture->rgb[0].height;
    struct synth_motion motion;
    synth_motion_at(&shot->motion, &motion);
    synth_face_init(&r->face, shot->identity, &motion);
    synth_light_make(shot->light, shot->intensity, &motion, &r->light);
    synth_scene_build(&r->scene, &r->face);
    r->view = view_of(shot, width * n, height * n);
    r->screen = us_malloc(r->scene.vertex_count * sizeof *r->screen);
    r->scratch = us_malloc(sizeof(float) * SYNTH_AROUND_SIZE * SYNTH_AROUND_SIZE);
    r->shadow_depth = us_malloc(sizeof(float) * SYNTH_SHADOW_SIZE * SYNTH_SHADOW_SIZE);
    r->shadow.depth = r->shadow_depth;
    synth_light_scene(&r->light, &r->scene, &r->shadow, r->screen, r->scratch);
    for (size_t i = 0; i < r->scene.vertex_count; i++) {
        r->screen[i] = look_at(&r->view, r->scene.vertices[i].position);
    }
    r->shading = (struct synth_shading){&r->face,       &r->light,  &r->shadow,
                                        r->view.camera, shot->peak, shot->motion.seed};
}

struct us_error *synth_render(const struct synth_shot *shot, const struct synth_picture *picture) {
    struct renderer r = {.shot = shot, .picture = picture};
    size_t samples = (size_t)shot->samples, width = (size_t)picture->rgb[0].width;
    size_t count = width * samples * BAND * samples;
    r.depth = us_try_alloc_pixels(count * sizeof *r.depth);
    r.index = us_try_alloc_pixels(count * sizeof *r.index);
    struct us_error *error = NULL;
    if (r.depth && r.index) {
        prepare(&r);
        render_bands(&r);
    } else {
        error = us_fail(US_RETRY, "no memory to render %zu pixels a row", width);
    }
    synth_scene_finish(&r.scene);
    us_free(r.screen);
    us_free(r.scratch);
    us_free(r.shadow_depth);
    us_free(r.depth);
    us_free(r.index);
    return error;
}
