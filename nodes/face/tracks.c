#include "nodes/face/tracks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nodes/face/blazeface.h"
#include "nodes/face/crop_info.h"
#include "nodes/face/local_fit.h"
#include "nodes/face/mean_face.h"
#include "runtime/base/mem.h"

static const double least_overlap = 0.2;

static void extend(struct us_track *track, const struct us_face *face, int frame) {
    const double *box = face->box;
    double n = track->count++;
    track->faces[frame] = track->last = face;
    track->size = (track->size * n + (box[2] - box[0]) * (box[3] - box[1])) / (n + 1);
    track->left = (track->left * n + (box[0] + box[2]) / 2) / (n + 1);
    track->score = (track->score * n + face->score) / (n + 1);
}

/* The best pair of a track without a face in this frame and a face without a track. */
static bool link_best(struct us_tracks *tracks, size_t known, const struct us_faces *faces,
                      bool *taken, int frame) {
    double best = least_overlap;
    size_t best_track = 0, best_face = faces->count;
    for (size_t t = 0; t < known; t++) {
        for (size_t f = 0; f < faces->count && !tracks->items[t].faces[frame]; f++) {
            double overlap = us_box_overlap(tracks->items[t].last->box, faces->items[f].box);
            if (!taken[f] && overlap > best) {
                best = overlap;
                best_track = t;
                best_face = f;
            }
        }
    }
    if (best_face == faces->count) {
        return false;
    }
    taken[best_face] = true;
    extend(&tracks->items[best_track], &faces->items[best_face], frame);
    return true;
}

static bool goes_before(const struct us_track *a, const struct us_track *b,
                        enum us_track_order order) {
    if (order == US_ORDER_SIZE && a->size != b->size) {
        return a->size > b->size;
    }
    if (order == US_ORDER_SCORE && a->score != b->score) {
        return a->score > b->score;
    }
    return a->left < b->left;
}

static void sort_tracks(struct us_tracks *tracks, enum us_track_order order) {
    for (size_t i = 1; i < tracks->count; i++) {
        struct us_track moving = tracks->items[i];
        size_t place = i;
        for (; place > 0 && goes_before(&moving, &tracks->items[place - 1], order); place--) {
            tracks->items[place] = tracks->items[place - 1];
        }
        tracks->items[place] = moving;
    }
}

void us_tracks_link(const struct us_faces *frames, int count, enum us_track_order order,
                    struct us_tracks *tracks) {
    *tracks = (struct us_tracks){0};
    for (int frame = 0; frame < count; frame++) {
        bool taken[US_FACES_MAX] = {false};
        size_t known = tracks->count;
        while (link_best(tracks, known, &frames[frame], taken, frame)) {
        }
        for (size_t f = 0; f < frames[frame].count; f++) {
            if (!taken[f]) {
                us_grow(&tracks->items, &tracks->capacity, tracks->count, sizeof *tracks->items);
                struct us_track *track = &tracks->items[tracks->count++];
                *track = (struct us_track){0};
                extend(track, &frames[frame].items[f], frame);
            }
        }
    }
    sort_tracks(tracks, order);
}

void us_tracks_finish(struct us_tracks *tracks) {
    us_free(tracks->items);
    *tracks = (struct us_tracks){0};
}

/* The samples of a fit: faces that have what is to be smoothed. */
struct samples {
    const struct us_face *faces[US_TRACK_FRAMES];
    double times[US_TRACK_FRAMES], shares[US_TRACK_FRAMES];
    int count;
    bool before, after;
};

static struct samples collect(const struct us_track *track, const double *times, int count,
                              bool matrices, int landmarks) {
    struct samples s = {.count = 0};
    for (int i = 0; i < count; i++) {
        const struct us_face *face = track->faces[i];
        if (!face || (matrices && !face->has_matrix) ||
            (landmarks && face->landmark_count != landmarks)) {
            continue;
        }
        s.before = s.before || times[i] < 0;
        s.after = s.after || times[i] > 0;
        s.times[s.count] = times[i];
        s.faces[s.count++] = face;
    }
    return s;
}

static double mix(double own, double fitted, double share) {
    return own + share * (fitted - own);
}

/* Position of the mean face's middle in the plate, and the first column of the matrix from the unit
 * square to the plate: the motion is smoothed in plate pixels. */
static bool motion_of(const struct us_face *face, double motion[4]) {
    double inverse[6];
    if (!us_affine_invert(face->matrix, inverse)) {
        return false;
    }
    us_affine_apply(inverse, .490127, .5, &motion[0], &motion[1]);
    motion[2] = inverse[0];
    motion[3] = inverse[3];
    return true;
}

/* A quadratic for the position, which accelerates; a line for size and turn. */
static void smooth_matrix(const struct us_track *track, const double *times, int count,
                          const struct us_smoothing *smoothing, double share,
                          struct us_face *face) {
    struct samples s = collect(track, times, count, true, 0);
    double shares[2][US_TRACK_FRAMES], fitted[4] = {0}, own[4], one[4];
    if (s.count == 0 || !motion_of(face->has_matrix ? face : s.faces[0], own)) {
        return;
    }
    us_local_fit(s.times, s.count, smoothing->reach, 2, shares[0]);
    us_local_fit(s.times, s.count, smoothing->reach, 1, shares[1]);
    for (int i = 0; i < s.count; i++) {
        if (!motion_of(s.faces[i], one)) {
            return;
        }
        for (int k = 0; k < 4; k++) {
            fitted[k] += shares[k / 2][i] * one[k];
        }
    }
    for (int k = 0; k < 4; k++) {
        own[k] = mix(own[k], fitted[k], share);
    }
    double to_plate[6] = {own[2], -own[3], 0, own[3], own[2], 0}, x, y;
    us_affine_apply(to_plate, .490127, .5, &x, &y);
    to_plate[2] = own[0] - x;
    to_plate[5] = own[1] - y;
    face->has_matrix = us_affine_invert(to_plate, face->matrix) || face->has_matrix;
}

static void smooth_landmarks(const struct us_track *track, const double *times, int count,
                             const struct us_smoothing *smoothing, double share,
                             struct us_face *face) {
    struct samples s = collect(track, times, count, false, face->landmark_count);
    if (s.count == 0) {
        return;
    }
    us_local_fit(s.times, s.count, smoothing->reach, 2, s.shares);
    for (int p = 0; p < face->landmark_count; p++) {
        for (int d = 0; d < 3; d++) {
            double fitted = 0;
            for (int i = 0; i < s.count; i++) {
                fitted += s.shares[i] * s.faces[i]->landmarks[p][d];
            }
            face->landmarks[p][d] = mix(face->landmarks[p][d], fitted, share);
        }
    }
}

/* A face for a frame that has none: the nearest one's, moved to where the fits say. */
static bool fill_in(const struct us_track *track, const double *times, int count,
                    const struct us_smoothing *smoothing, struct us_face *face) {
    struct samples s = collect(track, times, count, false, 0);
    if (!s.before || !s.after) {
        return false;
    }
    int nearest = 0;
    for (int i = 1; i < s.count; i++) {
        nearest = fabs(s.times[i]) < fabs(s.times[nearest]) ? i : nearest;
    }
    *face = *s.faces[nearest];
    us_local_fit(s.times, s.count, smoothing->reach, 1, s.shares);
    memset(face->box, 0, sizeof face->box);
    for (int i = 0; i < s.count; i++) {
        for (int k = 0; k < 4; k++) {
            face->box[k] += s.shares[i] * s.faces[i]->box[k];
        }
    }
    face->keypoint_count = 0;
    face->score = track->score;
    for (int part = 0; part < US_PART_COUNT; part++) {
        if (face->source[part][0]) {
            snprintf(face->source[part], sizeof face->source[part], "track");
        }
    }
    smooth_matrix(track, times, count, smoothing, 1, face);
    smooth_landmarks(track, times, count, smoothing, 1, face);
    us_face_pose(face);
    us_face_measure(face);
    return true;
}

static bool by_artist(const struct us_face *face, enum us_face_part part) {
    return strcmp(face->source[part], "artist") == 0;
}

bool us_track_face(const struct us_track *track, const double *times, int count, int index,
                   const struct us_smoothing *smoothing, bool fill, struct us_face *face) {
    const struct us_face *own = track->faces[index];
    if (!own) {
        return fill && fill_in(track, times, count, smoothing, face);
    }
    *face = *own;
    if (face->has_matrix && !by_artist(face, US_PART_MATRIX) && smoothing->matrix > 0) {
        smooth_matrix(track, times, count, smoothing, smoothing->matrix, face);
    }
    if (face->landmark_count && !by_artist(face, US_PART_LANDMARKS) && smoothing->landmarks > 0) {
        smooth_landmarks(track, times, count, smoothing, smoothing->landmarks, face);
    }
    return true;
}
