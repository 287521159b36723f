#include "nodes/face/regions.h"

#include <math.h>
#include <string.h>

#include "kernels/polygon.h"
#include "nodes/face/mean_face.h"
#include "runtime/base/mem.h"
#include "runtime/image/image.h"

enum { STEPS = 4, MOST = US_CURVE_POINTS / STEPS };

static const int mouth[] = {61,  185, 40,  39,  37,  0,  267, 269, 270, 409,
                            291, 375, 321, 405, 314, 17, 84,  181, 91,  146};
static const int right_eye[] = {33,  246, 161, 160, 159, 158, 157, 173,
                                133, 155, 154, 153, 145, 144, 163, 7};
static const int left_eye[] = {263, 466, 388, 387, 386, 385, 384, 398,
                               362, 382, 381, 380, 374, 373, 390, 249};

enum { TOP = 10, BETWEEN_BROWS = 9, NOSE_ROOT = 168 };

/* Full height at the top of the outline, none at the height of the nose's root. */
static void raise_forehead(const double (*points)[2], double forehead, double (*outline)[2],
                           int count) {
    const double *top = points[TOP], *root = points[NOSE_ROOT], *brows = points[BETWEEN_BROWS];
    double up[2] = {top[0] - root[0], top[1] - root[1]};
    double length = hypot(up[0], up[1]);
    double lift = forehead * hypot(top[0] - brows[0], top[1] - brows[1]);
    if (!(length > 0)) {
        return;
    }
    for (int i = 0; i < count; i++) {
        double height = ((outline[i][0] - root[0]) * up[0] + (outline[i][1] - root[1]) * up[1]) /
                        (length * length);
        double t = fmin(fmax(height, 0), 1), share = t * t * (3 - 2 * t);
        outline[i][0] += lift * share * up[0] / length;
        outline[i][1] += lift * share * up[1] / length;
    }
}

static int make_curve(const double (*points)[2], const int *indices, int count, double forehead,
                      double (*curve)[2]) {
    double outline[MOST][2];
    for (int i = 0; i < count; i++) {
        memcpy(outline[i], points[indices[i]], sizeof outline[i]);
    }
    if (forehead > 0) {
        raise_forehead(points, forehead, outline, count);
    }
    us_curve_closed((const double(*)[2])outline, count, STEPS, curve);
    return count * STEPS;
}

static void draw(const double (*points)[2], const int *indices, int count, double forehead,
                 struct us_view matte) {
    double curve[US_CURVE_POINTS][2];
    int made = make_curve(points, indices, count, forehead, curve);
    us_polygon_fill(matte, (const double(*)[2])curve, made);
}

int us_face_curve(const double (*points)[2], double forehead, double (*curve)[2]) {
    return make_curve(points, us_face_oval, US_OVAL_POINTS, forehead, curve);
}

/* matte := max(matte, part), or matte x (1 - part). */
static void combine(struct us_view matte, struct us_view part, bool remove) {
    for (int32_t y = 0; y < matte.height; y++) {
        float *to = us_view_row(matte, y);
        const float *from = us_view_row(part, y);
        for (int32_t x = 0; x < matte.width; x++) {
            to[x] = remove ? to[x] * (1.0f - from[x]) : fmaxf(to[x], from[x]);
        }
    }
}

#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

struct us_error *us_region_draw(enum us_region region, const double (*points)[2], double forehead,
                                struct us_view matte) {
    struct us_view part;
    if (region == US_REGION_MOUTH) {
        draw(points, mouth, COUNT(mouth), 0, matte);
        return NULL;
    }
    if (region == US_REGION_FACE) {
        draw(points, us_face_oval, US_OVAL_POINTS, forehead, matte);
        return NULL;
    }
    US_TRY(us_planes_create(matte.width, matte.height, 1, &part));
    if (region == US_REGION_SKIN) {
        draw(points, us_face_oval, US_OVAL_POINTS, forehead, matte);
        draw(points, mouth, COUNT(mouth), 0, part);
        combine(matte, part, true);
        draw(points, right_eye, COUNT(right_eye), 0, part);
        combine(matte, part, true);
    } else {
        draw(points, right_eye, COUNT(right_eye), 0, matte);
    }
    draw(points, left_eye, COUNT(left_eye), 0, part);
    combine(matte, part, region == US_REGION_SKIN);
    us_free(part.data);
    return NULL;
}
