/* Which faces of neighbouring frames are one person's, and their motion smoothed.
 *
 * Everything is decided from the frames of one window, so that a frame's result depends on no more
 * than those. */
#ifndef US_NODES_FACE_TRACKS_H
#define US_NODES_FACE_TRACKS_H

#include "nodes/face/faces.h"

enum { US_TRACK_FRAMES = 49 };

enum us_track_order { US_ORDER_SIZE, US_ORDER_LEFT, US_ORDER_SCORE };

/* One person's faces in the window. */
struct us_track {
    const struct us_face *faces[US_TRACK_FRAMES]; /* NULL: not in that frame */
    const struct us_face *last;
    double size, left, score; /* means over the faces */
    int count;
};

struct us_tracks {
    struct us_track *items; /* in order: the index is the track's number */
    size_t count, capacity;
};

/* Links the faces of `count` frames, in order of time: each to the track whose last face its box
 * overlaps most (a fifth at least), else to a new one. Borrows the faces. */
void us_tracks_link(const struct us_faces *frames, int count, enum us_track_order order,
                    struct us_tracks *tracks);
void us_tracks_finish(struct us_tracks *tracks);

struct us_smoothing {
    double reach;             /* frames to either side, plus one */
    double matrix, landmarks; /* 0: the frame's own, 1: the local fit */
};

/* The track's face at frame `index` of the window whose times relative to it are `times`, smoothed.
 * False when it is not there and cannot be filled in from both sides (`fill`). */
bool us_track_face(const struct us_track *track, const double *times, int count, int index,
                   const struct us_smoothing *smoothing, bool fill, struct us_face *face);

#endif
