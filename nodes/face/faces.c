#include "nodes/face/faces.h"

#include <math.h>
#include <string.h>

#include "runtime/base/mem.h"

void us_faces_finish(struct us_faces *faces) {
    us_free(faces->items);
    *faces = (struct us_faces){0};
}

struct us_face *us_faces_add(struct us_faces *faces) {
    us_grow(&faces->items, &faces->capacity, faces->count, sizeof *faces->items);
    struct us_face *face = &faces->items[faces->count++];
    memset(face, 0, sizeof *face);
    face->track = -1;
    return face;
}

void us_faces_copy(const struct us_faces *from, struct us_faces *to) {
    *to = (struct us_faces){0};
    for (size_t i = 0; i < from->count; i++) {
        *us_faces_add(to) = from->items[i];
    }
}

struct us_face *us_faces_choose(const struct us_faces *faces, int64_t track) {
    bool tracked = false;
    for (size_t i = 0; i < faces->count; i++) {
        tracked = tracked || faces->items[i].track >= 0;
        if (faces->items[i].track >= 0 && faces->items[i].track == track) {
            return &faces->items[i];
        }
    }
    return !tracked && track >= 0 && (size_t)track < faces->count ? &faces->items[track] : NULL;
}

static double between(const struct us_face *face, int a, int b) {
    const double *p = face->landmarks[a], *q = face->landmarks[b];
    return sqrt((p[0] - q[0]) * (p[0] - q[0]) + (p[1] - q[1]) * (p[1] - q[1]) +
                (p[2] - q[2]) * (p[2] - q[2]));
}

/* Mean of two or three openings over a width. */
static double opening(const struct us_face *face, const int (*pairs)[2], int count, int from,
                      int to) {
    double sum = 0, width = between(face, from, to);
    for (int i = 0; i < count; i++) {
        sum += between(face, pairs[i][0], pairs[i][1]);
    }
    return width > 0 ? sum / count / width : 0;
}

void us_face_measure(struct us_face *face) {
    static const int lips[][2] = {{82, 87}, {13, 14}, {312, 317}};
    static const int right[][2] = {{160, 144}, {159, 145}, {158, 153}};
    static const int left[][2] = {{385, 380}, {386, 374}, {387, 373}};
    if (face->landmark_count < 468) {
        return;
    }
    face->mouth_open = opening(face, lips, 3, 78, 308);
    face->eye_open_right = opening(face, right, 3, 33, 133);
    face->eye_open_left = opening(face, left, 3, 362, 263);
}
