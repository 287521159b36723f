#include "nodes/io/synth/raster.h"

void synth_buffer_clear(const struct synth_buffer *buffer) {
    size_t count = (size_t)buffer->width * (size_t)buffer->height;
    for (size_t i = 0; i < count; i++) {
        buffer->depth[i] = 0.0f;
        if (buffer->index) {
            buffer->index[i] = -1;
        }
    }
}

static float lower_of(float a, float b, float c) {
    float m = a < b ? a : b;
    return m < c ? m : c;
}

static float upper_of(float a, float b, float c) {
    float m = a > b ? a : b;
    return m > c ? m : c;
}

static int clampi(float x, int low, int high) {
    return x < (float)low ? low : x > (float)high ? high : (int)x;
}

static void fill(const struct synth_screen *a, const struct synth_screen *b,
                 const struct synth_screen *c, int32_t index, const struct synth_buffer *buffer) {
    float area = (b->x - a->x) * (c->y - a->y) - (c->x - a->x) * (b->y - a->y);
    if (fabsf(area) < 1e-9f) {
        return;
    }
    float top = (float)buffer->top, scale = 1.0f / area;
    int x0 = clampi(ceilf(lower_of(a->x, b->x, c->x) - 0.5f), 0, buffer->width);
    int x1 = clampi(floorf(upper_of(a->x, b->x, c->x) - 0.5f) + 1.0f, 0, buffer->width);
    int y0 = clampi(ceilf(lower_of(a->y, b->y, c->y) - top - 0.5f), 0, buffer->height);
    int y1 = clampi(floorf(upper_of(a->y, b->y, c->y) - top - 0.5f) + 1.0f, 0, buffer->height);
    for (int y = y0; y < y1; y++) {
        float py = (float)y + top + 0.5f;
        float *depth = buffer->depth + (size_t)y * (size_t)buffer->width;
        for (int x = x0; x < x1; x++) {
            float px = (float)x + 0.5f;
            float u = ((px - a->x) * (c->y - a->y) - (c->x - a->x) * (py - a->y)) * scale;
            float v = ((b->x - a->x) * (py - a->y) - (px - a->x) * (b->y - a->y)) * scale;
            if (u < -1e-5f || v < -1e-5f || u + v > 1.00001f) {
                continue;
            }
            float d = a->depth + u * (b->depth - a->depth) + v * (c->depth - a->depth);
            if (d > depth[x]) {
                depth[x] = d;
                if (buffer->index) {
                    buffer->index[(size_t)y * (size_t)buffer->width + (size_t)x] = index;
                }
            }
        }
    }
}

void synth_raster(const struct synth_scene *scene, const struct synth_screen *screen,
                  const struct synth_buffer *buffer) {
    for (size_t i = 0; i < scene->triangle_count; i++) {
        const uint32_t *k = scene->triangles[i].corner;
        fill(&screen[k[0]], &screen[k[1]], &screen[k[2]], (int32_t)i, buffer);
    }
}

void synth_weights(const struct synth_screen *const corner[3], float x, float y, float weight[3]) {
    const struct synth_screen *a = corner[0], *b = corner[1], *c = corner[2];
    float area = (b->x - a->x) * (c->y - a->y) - (c->x - a->x) * (b->y - a->y);
    float u = ((x - a->x) * (c->y - a->y) - (c->x - a->x) * (y - a->y)) / area;
    float v = ((b->x - a->x) * (y - a->y) - (x - a->x) * (b->y - a->y)) / area;
    weight[0] = (1.0f - u - v) * a->depth;
    weight[1] = u * b->depth;
    weight[2] = v * c->depth;
    float sum = weight[0] + weight[1] + weight[2];
    for (int i = 0; i < 3; i++) {
        weight[i] /= sum;
    }
}

/* The scene fits a ball of radius 2.6 about (0, -0.9, 0); depth 1 lies at its middle. */
static struct synth_screen project(const struct synth_shadow *shadow, struct vec3 p) {
    const float radius = 2.6f;
    struct vec3 d = vec_sub(p, vec3(0.0f, -0.75f, 0.0f));
    float half = 0.5f * (float)shadow->size;
    return (struct synth_screen){half * (1.0f + vec_dot(d, shadow->right) / radius),
                                 half * (1.0f - vec_dot(d, shadow->up) / radius),
                                 8.0f + vec_dot(d, shadow->direction)};
}

void synth_shadow_cast(struct synth_shadow *shadow, const struct synth_scene *scene,
                       struct synth_screen *screen) {
    struct vec3 helper = fabsf(shadow->direction.y) > 0.95f ? vec3(1, 0, 0) : vec3(0, 1, 0);
    shadow->right = vec_unit(vec_cross(helper, shadow->direction));
    shadow->up = vec_cross(shadow->direction, shadow->right);
    for (size_t i = 0; i < scene->vertex_count; i++) {
        screen[i] = project(shadow, scene->vertices[i].position);
    }
    struct synth_buffer buffer = {shadow->size, shadow->size, 0, shadow->depth, NULL};
    synth_buffer_clear(&buffer);
    synth_raster(scene, screen, &buffer);
}

static float texel_light(const struct synth_shadow *shadow, int x, int y, float depth) {
    if (x < 0 || y < 0 || x >= shadow->size || y >= shadow->size) {
        return 1.0f;
    }
    return shadow->depth[(size_t)y * (size_t)shadow->size + (size_t)x] > depth ? 0.0f : 1.0f;
}

float synth_shadow_light(const struct synth_shadow *shadow, struct vec3 point, float bias,
                         int taps) {
    struct synth_screen at = project(shadow, point);
    float x = at.x - 0.5f * (float)taps, y = at.y - 0.5f * (float)taps;
    int x0 = (int)floorf(x), y0 = (int)floorf(y);
    float fx = x - (float)x0, fy = y - (float)y0, sum = 0.0f;
    for (int j = 0; j <= taps; j++) {
        float wy = j == 0 ? 1.0f - fy : j == taps ? fy : 1.0f;
        for (int i = 0; i <= taps; i++) {
            float wx = i == 0 ? 1.0f - fx : i == taps ? fx : 1.0f;
            sum += wx * wy * texel_light(shadow, x0 + i, y0 + j, at.depth + bias);
        }
    }
    return sum / (float)(taps * taps);
}
