#include "nodes/util/compare_faces.h"

#include <math.h>

#include "nodes/face/faces.h"
#include "runtime/base/mem.h"

/* Outer corners of the eyes among FaceMesh's points. */
enum { RIGHT_CORNER = 33, LEFT_CORNER = 263 };

static bool is_measured(const struct us_face *face) {
    return face->landmark_count > 0 || face->mouth_open > 0.0 || face->eye_open_left > 0.0 ||
           face->eye_open_right > 0.0;
}

static const struct us_face *largest(const struct us_faces *faces) {
    const struct us_face *best = NULL;
    double best_area = -1.0;
    for (size_t i = 0; i < faces->count; i++) {
        const struct us_face *face = &faces->items[i];
        double area = (face->box[2] - face->box[0]) * (face->box[3] - face->box[1]);
        if (is_measured(face) && area > best_area) {
            best = face;
            best_area = area;
        }
    }
    return best;
}

static double distance(const double a[3], const double b[3]) {
    return hypot(a[0] - b[0], a[1] - b[1]);
}

static double landmark_error(const struct us_face *face, const struct us_face *reference) {
    int count = face->landmark_count < reference->landmark_count ? face->landmark_count
                                                                 : reference->landmark_count;
    double sum = 0.0;
    if (count <= LEFT_CORNER) {
        return NAN;
    }
    for (int i = 0; i < count; i++) {
        sum += distance(face->landmarks[i], reference->landmarks[i]);
    }
    return sum / count /
           distance(reference->landmarks[RIGHT_CORNER], reference->landmarks[LEFT_CORNER]);
}

static void add_pair(struct us_face_pairs *pairs, const struct us_face *face,
                     const struct us_face *reference, double *error) {
    const struct us_face *both[2] = {face, reference};
    us_grow(&pairs->items, &pairs->capacity, pairs->count, sizeof *pairs->items);
    double *item = pairs->items[pairs->count++];
    for (int i = 0; i < 2; i++) {
        item[2 * i] = both[i]->mouth_open;
        item[2 * i + 1] = 0.5 * (both[i]->eye_open_left + both[i]->eye_open_right);
    }
    *error = landmark_error(face, reference);
    if (isfinite(*error)) {
        pairs->error += *error;
        pairs->error_count++;
    }
}

struct us_error *us_face_pairs_add(struct us_face_pairs *pairs, const struct us_value *faces,
                                   const struct us_value *reference, double *error) {
    struct us_faces a = {0}, b = {0};
    *error = NAN;
    US_TRY(us_faces_read(faces->bytes, faces->size, &a));
    struct us_error *failed = us_faces_read(reference->bytes, reference->size, &b);
    if (!failed) {
        const struct us_face *face = largest(&a), *other = largest(&b);
        if (face && other) {
            add_pair(pairs, face, other, error);
        }
        us_faces_finish(&b);
    }
    us_faces_finish(&a);
    return failed;
}

double us_face_pairs_correlation(const struct us_face_pairs *pairs, int column) {
    double mean[2] = {0, 0}, products[3] = {0, 0, 0};
    double count = (double)pairs->count;
    for (size_t i = 0; i < pairs->count; i++) {
        mean[0] += pairs->items[i][column] / count;
        mean[1] += pairs->items[i][column + 2] / count;
    }
    for (size_t i = 0; i < pairs->count; i++) {
        double a = pairs->items[i][column] - mean[0], b = pairs->items[i][column + 2] - mean[1];
        products[0] += a * a;
        products[1] += b * b;
        products[2] += a * b;
    }
    double spread = sqrt(products[0] * products[1]);
    return pairs->count < 3 || !(spread > 1e-12 * count) ? (double)NAN : products[2] / spread;
}

void us_face_pairs_finish(struct us_face_pairs *pairs) {
    us_free(pairs->items);
    *pairs = (struct us_face_pairs){0};
}
