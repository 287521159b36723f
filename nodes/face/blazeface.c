#include "nodes/face/blazeface.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nodes/face/crop_info.h"
#include "runtime/base/mem.h"

enum { VALUES = 4 + 2 * US_FACE_KEYPOINTS };

/* Feature maps of a network: cells a side, anchors a cell. */
struct level {
    int32_t cells, repeats;
};

static size_t place_anchors(const struct level *levels, int count, double (*anchors)[2]) {
    size_t made = 0;
    for (int l = 0; l < count; l++) {
        for (int32_t i = 0; i < levels[l].cells * levels[l].cells; i++) {
            for (int32_t r = 0; r < levels[l].repeats; r++, made++) {
                anchors[made][0] = (i % levels[l].cells + 0.5) / levels[l].cells;
                anchors[made][1] = (i / levels[l].cells + 0.5) / levels[l].cells;
            }
        }
    }
    return made;
}

struct us_error *us_blazeface_start(struct us_blazeface *detector,
                                    const struct us_tflite *network) {
    *detector = (struct us_blazeface){0};
    US_TRY(us_looker_start(&detector->looker, network, -1.0f, 1.0f));
    int32_t size = detector->looker.size;
    struct level near[] = {{size / 8, 2}, {size / 16, 6}}, far[] = {{size / 4, 1}};
    size_t room = (size_t)size * (size_t)size;
    detector->anchors = us_malloc(room * sizeof *detector->anchors);
    detector->anchor_count = size == 128 ? place_anchors(near, 2, detector->anchors)
                                         : place_anchors(far, 1, detector->anchors);
    bool straight = us_tflite_output_count(network) == 2 &&
                    us_tflite_output_size(network, 0) == VALUES * detector->anchor_count;
    detector->boxes = straight ? 0 : 1;
    detector->scores = straight ? 1 : 0;
    if (us_tflite_output_count(network) != 2 ||
        us_tflite_output_size(network, detector->boxes) != VALUES * detector->anchor_count ||
        us_tflite_output_size(network, detector->scores) != detector->anchor_count) {
        us_blazeface_finish(detector);
        return us_fail(US_FAILED, "the network is not a BlazeFace detector");
    }
    return NULL;
}

void us_blazeface_finish(struct us_blazeface *detector) {
    us_looker_finish(&detector->looker);
    us_free(detector->anchors);
    *detector = (struct us_blazeface){0};
}

/* Box centre and size and keypoints, relative to the anchor, in network pixels. */
static void decode(const struct us_blazeface *detector, const float *values, size_t anchor,
                   const double map[6], struct us_face *face) {
    double x = detector->anchors[anchor][0] * detector->looker.size;
    double y = detector->anchors[anchor][1] * detector->looker.size;
    double side = hypot(map[0], map[3]), center_x, center_y;
    us_affine_apply(map, x + (double)values[0], y + (double)values[1], &center_x, &center_y);
    double half_x = (double)values[2] * side / 2, half_y = (double)values[3] * side / 2;
    double box[4] = {center_x - half_x, center_y - half_y, center_x + half_x, center_y + half_y};
    memcpy(face->box, box, sizeof box);
    face->keypoint_count = US_FACE_KEYPOINTS;
    for (int k = 0; k < US_FACE_KEYPOINTS; k++) {
        us_affine_apply(map, x + (double)values[4 + 2 * k], y + (double)values[5 + 2 * k],
                        &face->keypoints[k][0], &face->keypoints[k][1]);
    }
}

struct us_error *us_blazeface_look(struct us_blazeface *detector, const struct us_frame_rgb *frame,
                                   const struct us_square *squares, int count, double stops) {
    return us_looker_run(&detector->looker, frame, squares, count, stops);
}

void us_blazeface_read(const struct us_blazeface *detector, const struct us_square *squares,
                       int which, double min_score, struct us_faces *candidates) {
    double map[6];
    us_square_map(&squares[which], detector->looker.size, map);
    const float *boxes = us_looker_output(&detector->looker, which, detector->boxes);
    const float *scores = us_looker_output(&detector->looker, which, detector->scores);
    for (size_t i = 0; i < detector->anchor_count; i++) {
        double score = 1.0 / (1.0 + exp(-(double)fmaxf(-80.0f, fminf(80.0f, scores[i]))));
        const float *values = boxes + i * VALUES;
        if (!(score >= min_score) || !(values[2] > 1.0f) || !(values[3] > 1.0f)) {
            continue;
        }
        struct us_face *face = us_faces_add(candidates);
        face->score = score;
        decode(detector, values, i, map, face);
        snprintf(face->source[US_PART_BOX], sizeof face->source[0], "blazeface");
    }
}

double us_box_overlap(const double a[4], const double b[4]) {
    double width = fmin(a[2], b[2]) - fmax(a[0], b[0]);
    double height = fmin(a[3], b[3]) - fmax(a[1], b[1]);
    if (!(width > 0 && height > 0)) {
        return 0;
    }
    double both = width * height;
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both);
}

/* Adds `weight` times a candidate's box and keypoints to a sum. */
static void accumulate(struct us_face *sum, const struct us_face *face, double weight) {
    for (int i = 0; i < 4; i++) {
        sum->box[i] += weight * face->box[i];
    }
    for (int k = 0; k < 2 * US_FACE_KEYPOINTS; k++) {
        sum->keypoints[k / 2][k % 2] += weight * face->keypoints[k / 2][k % 2];
    }
}

static struct us_face merge_with(const struct us_faces *candidates, bool *used, size_t best,
                                 double overlap) {
    struct us_face sum = candidates->items[best], scaled = sum;
    double total = 0;
    memset(sum.box, 0, sizeof sum.box);
    memset(sum.keypoints, 0, sizeof sum.keypoints);
    for (size_t i = 0; i < candidates->count; i++) {
        const struct us_face *other = &candidates->items[i];
        if (!used[i] && us_box_overlap(candidates->items[best].box, other->box) > overlap) {
            used[i] = true;
            accumulate(&sum, other, other->score);
            total += other->score;
        }
    }
    used[best] = true;
    if (!(total > 0)) {
        return scaled;
    }
    memset(scaled.box, 0, sizeof scaled.box);
    memset(scaled.keypoints, 0, sizeof scaled.keypoints);
    accumulate(&scaled, &sum, 1 / total);
    return scaled;
}

void us_faces_merge(const struct us_faces *candidates, double overlap, struct us_faces *merged) {
    bool *used = us_calloc(candidates->count + 1, sizeof *used);
    *merged = (struct us_faces){0};
    for (;;) {
        size_t best = candidates->count;
        for (size_t i = 0; i < candidates->count; i++) {
            if (!used[i] && (best == candidates->count ||
                             candidates->items[i].score > candidates->items[best].score)) {
                best = i;
            }
        }
        if (best == candidates->count) {
            break;
        }
        struct us_face face = merge_with(candidates, used, best, overlap);
        *us_faces_add(merged) = face;
    }
    us_free(used);
}

void us_faces_prune(struct us_faces *faces, double overlap) {
    size_t kept = 0;
    for (size_t i = 1; i < faces->count; i++) {
        struct us_face face = faces->items[i];
        size_t place = i;
        for (; place > 0 && faces->items[place - 1].score < face.score; place--) {
            faces->items[place] = faces->items[place - 1];
        }
        faces->items[place] = face;
    }
    for (size_t i = 0; i < faces->count; i++) {
        bool hidden = false;
        for (size_t k = 0; k < kept && !hidden; k++) {
            hidden = us_box_overlap(faces->items[k].box, faces->items[i].box) > overlap;
        }
        if (!hidden) {
            faces->items[kept++] = faces->items[i];
        }
    }
    faces->count = kept;
}
