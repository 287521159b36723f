/* BlazeFace: faces in a square of a frame.
 *
 * Source: Bazarevsky et al. 2019, "BlazeFace: sub-millisecond neural face detection on mobile
 * GPUs"; anchors and box decoding as MediaPipe's face_detection module publishes them. */
#ifndef US_NODES_FACE_BLAZEFACE_H
#define US_NODES_FACE_BLAZEFACE_H

#include "nodes/face/faces.h"
#include "nodes/face/sample.h"

struct us_blazeface {
    struct us_looker looker;
    double (*anchors)[2];               /* centres, 0 to 1 */
    size_t anchor_count, boxes, scores; /* output indices */
};

struct us_error *us_blazeface_start(struct us_blazeface *detector,
                                    const struct us_tflite *network) US_NODISCARD;
void us_blazeface_finish(struct us_blazeface *detector);

/* Looks at squares of the frame, on its device all at once. */
struct us_error *us_blazeface_look(struct us_blazeface *detector, const struct us_frame_rgb *frame,
                                   const struct us_square *squares, int count,
                                   double stops) US_NODISCARD;
/* Adds every candidate of at least `min_score` in one of those squares, in frame pixels, not yet
 * suppressed. */
void us_blazeface_read(const struct us_blazeface *detector, const struct us_square *squares,
                       int which, double min_score, struct us_faces *candidates);

/* Merges candidates that overlap by more than `overlap` (intersection over union) into their
 * score-weighted mean, best first. */
void us_faces_merge(const struct us_faces *candidates, double overlap, struct us_faces *merged);
/* Sorts by score, best first, and drops what overlaps a better one by more than `overlap`. */
void us_faces_prune(struct us_faces *faces, double overlap);
double us_box_overlap(const double a[4], const double b[4]);

#endif
