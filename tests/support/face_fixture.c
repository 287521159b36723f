#include "tests/support/face_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nodes/face/crop_info.h"
#include "nodes/face/mean_face.h"
#include "nodes/face/weights.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"

/* Ellipses from back to front, in distances of the eyes from the point between them. */
struct patch {
    double x, y, rx, ry, soft;
    float color[3];
};

static const struct patch patches[] = {
    {0, 0.00, 1.32, 1.55, .10, {.02f, .013f, .01f}}, /* hair */
    {0, 1.9, .65, .9, .10, {.30f, .18f, .13f}},      /* neck */
    {0, 0.45, 1.08, 1.50, .08, {.45f, .27f, .20f}},  /* face */
    {.35, .55, .55, .6, .5, {.52f, .32f, .24f}},     /* cheeks */
    {-.35, .55, .55, .6, .5, {.52f, .32f, .24f}},
    {.5, .02, .34, .17, .15, {.30f, .17f, .13f}}, /* sockets */
    {-.5, .02, .34, .17, .15, {.30f, .17f, .13f}},
    {.5, .02, .22, .10, .03, {.60f, .58f, .56f}}, /* eyes */
    {-.5, .02, .22, .10, .03, {.60f, .58f, .56f}},
    {.5, .02, .095, .095, .02, {.02f, .012f, .01f}},
    {-.5, .02, .095, .095, .02, {.02f, .012f, .01f}},
    {.5, -.24, .34, .06, .04, {.04f, .02f, .015f}}, /* brows */
    {-.5, -.24, .34, .06, .04, {.04f, .02f, .015f}},
    {0, .35, .09, .38, .10, {.60f, .38f, .29f}}, /* nose */
    {.14, .68, .08, .045, .03, {.10f, .045f, .03f}},
    {-.14, .68, .08, .045, .03, {.10f, .045f, .03f}},
    {0, .76, .20, .05, .08, {.28f, .15f, .11f}},
    {0, 1.08, .42, .12, .05, {.33f, .09f, .08f}}, /* mouth */
    {0, 1.07, .38, .025, .02, {.06f, .02f, .02f}},
    {0, 1.27, .22, .05, .08, {.30f, .17f, .13f}},
};

static float coverage(const struct patch *p, double x, double y) {
    if (fabs(x - p->x) > p->rx + 2 * p->soft || fabs(y - p->y) > p->ry + 2 * p->soft) {
        return 0;
    }
    double r = hypot((x - p->x) / p->rx, (y - p->y) / p->ry);
    double reach = p->soft / fmin(p->rx, p->ry);
    double t = fmin(fmax((1 + reach / 2 - r) / reach, 0), 1);
    return (float)(t * t * (3 - 2 * t));
}

struct us_image *us_test_face_image(struct us_window window, double x, double y, double size,
                                    double light) {
    static const char *const names[] = {"R", "G", "B"};
    struct us_image *image = us_image_create(window, window);
    struct us_channel *channel;
    float *data[3];
    for (int c = 0; c < 3; c++) {
        ASSERT_OK(us_image_add_channel(image, names[c], US_FLOAT, &channel));
    }
    for (int c = 0; c < 3; c++) {
        data[c] = us_image_channel(image, names[c])->data;
    }
    int32_t width = us_window_width(&window), height = us_window_height(&window);
    for (int32_t i = 0; i < width * height; i++) {
        double u = (window.x_min + i % width + 0.5 - x) / size;
        double v = (window.y_min + i / width + 0.5 - y) / size;
        float color[3] = {.14f, .17f, .20f};
        for (size_t p = 0; p < sizeof patches / sizeof *patches; p++) {
            float share = coverage(&patches[p], u, v);
            for (int c = 0; c < 3; c++) {
                color[c] += share * (patches[p].color[c] - color[c]);
            }
        }
        for (int c = 0; c < 3; c++) {
            data[c][i] = color[c] * (float)light;
        }
    }
    return image;
}

/* Contour points that the mean face has not, between two that it has. */
static const struct {
    int index, from, to;
    double share;
} between[] = {
    {246, 33, 160, .3},  {161, 33, 160, .7},  {159, 160, 158, .5}, {157, 158, 133, .3},
    {173, 158, 133, .7}, {155, 133, 153, .3}, {154, 133, 153, .7}, {145, 153, 144, .5},
    {163, 144, 33, .3},  {7, 144, 33, .7},    {466, 263, 387, .3}, {388, 263, 387, .7},
    {386, 387, 385, .5}, {384, 385, 362, .3}, {398, 385, 362, .7}, {382, 362, 380, .3},
    {381, 362, 380, .7}, {374, 380, 373, .5}, {390, 373, 263, .3}, {249, 373, 263, .7},
    {185, 61, 39, .3},   {40, 61, 39, .7},    {270, 269, 291, .3}, {409, 269, 291, .7},
    {375, 291, 405, .3}, {321, 291, 405, .7}, {91, 181, 61, .3},   {146, 181, 61, .7},
};

struct us_face *us_test_face_add(struct us_faces *faces, const double matrix[6]) {
    struct us_face *face = us_faces_add(faces);
    face->score = 0.9;
    us_affine_apply(matrix, 0, 0, &face->box[0], &face->box[1]);
    us_affine_apply(matrix, 1, 1, &face->box[2], &face->box[3]);
    face->landmark_count = 468;
    for (int i = 0; i < 468; i++) {
        us_affine_apply(matrix, .490127, .5, &face->landmarks[i][0], &face->landmarks[i][1]);
    }
    for (int i = 0; i < US_OVAL_POINTS; i++) {
        double angle = 2 * acos(-1.0) * i / US_OVAL_POINTS, *p = face->landmarks[us_face_oval[i]];
        us_affine_apply(matrix, .490127 + .62 * sin(angle), .45 - .8 * cos(angle), &p[0], &p[1]);
    }
    for (int i = 0; i < US_MEAN_POINTS; i++) {
        double *p = face->landmarks[us_mean_face[i].mesh];
        us_affine_apply(matrix, us_mean_face[i].x, us_mean_face[i].y, &p[0], &p[1]);
    }
    for (size_t i = 0; i < sizeof between / sizeof *between; i++) {
        const double *a = face->landmarks[between[i].from], *b = face->landmarks[between[i].to];
        for (int d = 0; d < 2; d++) {
            face->landmarks[between[i].index][d] = a[d] + between[i].share * (b[d] - a[d]);
        }
    }
    return face;
}

void us_test_need_weights(void) {
    const char *folder = getenv("UNDERSTUDY_MODELS");
    folder = folder && *folder ? folder : "models";
    us_set_models_folder(folder);
    for (int i = 0; i < US_WEIGHTS_COUNT; i++) {
        char *path = us_path_join(folder, us_weights_file((enum us_weights)i));
        bool there = access(path, R_OK) == 0;
        us_free(path);
        if (!there) {
            print_message("skipped: no weights in %s/ (tools/fetch_weights)\n", folder);
            skip();
        }
    }
}
