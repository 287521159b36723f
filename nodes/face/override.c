#include "nodes/face/override.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/face/face_json.h"
#include "nodes/face/mean_face.h"
#include "runtime/base/frames.h"

static const char *const entry_keys[] = {
    "track",         "face",           "add",    "delete", "score", "box",
    "keypoints",     "landmarks",      "points", "matrix", "pose",  "mouth_open",
    "eye_open_left", "eye_open_right", "source", "note"};
static const char *const file_keys[] = {"understudy", "version", "faces", "frames", "note"};

static struct us_error *check_keys(json_t *object, const char *const *known, size_t count) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        bool found = false;
        for (size_t i = 0; i < count && !found; i++) {
            found = strcmp(key, known[i]) == 0;
        }
        if (!found) {
            const char *near = us_str_nearest(key, known, count);
            struct us_error *error = us_fail(US_FAILED, "unknown key '%.60s'", key);
            return near ? us_error_hint(error, "did you mean '%s'?", near) : error;
        }
    }
    return NULL;
}

static void mark(struct us_face *face, enum us_face_part part) {
    snprintf(face->source[part], sizeof face->source[part], "artist");
}

/* The face an entry is about: its index. An added one is at the end. */
static struct us_error *target_of(const json_t *entry, struct us_faces *faces, size_t *index) {
    const json_t *track = json_object_get(entry, "track"), *place = json_object_get(entry, "face");
    bool add = json_is_true(json_object_get(entry, "add"));
    if (add && !place) {
        if (faces->count >= US_FACES_MAX) {
            return us_fail(US_FAILED, "there are more than %d faces", US_FACES_MAX);
        }
        us_faces_add(faces)->score = 1;
        *index = faces->count - 1;
        return NULL;
    }
    if (add || (track != NULL) == (place != NULL)) {
        return us_fail(US_FAILED, "wanted one of 'track', 'face' and 'add'");
    }
    if (!json_is_integer(track ? track : place)) {
        return us_fail(US_FAILED, "'%s' is not a whole number", track ? "track" : "face");
    }
    json_int_t wanted = json_integer_value(track ? track : place);
    for (size_t i = 0; i < faces->count; i++) {
        if (track ? faces->items[i].track == wanted : (json_int_t)i == wanted) {
            *index = i;
            return NULL;
        }
    }
    return us_error_hint(us_fail(US_FAILED, "there is no face with %s %lld",
                                 track ? "track" : "place", (long long)wanted),
                         "the frame has %zu faces; \"add\": true makes one", faces->count);
}

static struct us_error *move_points(json_t *points, struct us_face *face) {
    const char *key;
    json_t *value;
    if (!json_is_object(points) || face->landmark_count == 0) {
        return us_fail(US_FAILED, "'points' wants an object, and a face that has landmarks");
    }
    json_object_foreach(points, key, value) {
        char *end;
        errno = 0;
        long index = strtol(key, &end, 10);
        size_t size = json_array_size(value);
        if (errno || end == key || *end || index < 0 || index >= face->landmark_count) {
            return us_fail(US_FAILED, "'points' names '%.20s', wanted 0 to %d", key,
                           face->landmark_count - 1);
        }
        if (size != 2 && size != 3) {
            return us_fail(US_FAILED, "point %ld is not [x, y] or [x, y, z]", index);
        }
        for (size_t d = 0; d < size; d++) {
            const json_t *number = json_array_get(value, d);
            double at = json_number_value(number);
            if (!json_is_number(number) || !(fabs(at) <= 1e7)) {
                return us_fail(US_FAILED, "point %ld is not numbers of -1e7 to 1e7", index);
            }
            face->landmarks[index][d] = at;
        }
    }
    return NULL;
}

/* A box for a face that was added without one: around its landmarks, or the unit square's place. */
static struct us_error *complete_box(struct us_face *face) {
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int i = 0; i < face->landmark_count; i++) {
        for (int d = 0; d < 2; d++) {
            low[d] = fmin(low[d], face->landmarks[i][d]);
            high[d] = fmax(high[d], face->landmarks[i][d]);
        }
    }
    if (!(low[0] < high[0] && low[1] < high[1])) {
        return us_fail(US_FAILED, "an added face wants a 'box' or 'landmarks'");
    }
    double box[4] = {low[0], low[1], high[0], high[1]};
    memcpy(face->box, box, sizeof box);
    return NULL;
}

static struct us_error *edit(json_t *entry, struct us_face *face) {
    json_t *points = json_object_get(entry, "points");
    US_TRY(us_face_read_fields(entry, face));
    if (points) {
        US_TRY(move_points(points, face));
    }
    if (json_object_get(entry, "box") || !(face->box[0] < face->box[2])) {
        mark(face, US_PART_BOX);
    }
    if (!(face->box[0] < face->box[2])) {
        US_TRY(complete_box(face));
    }
    if (json_object_get(entry, "matrix")) {
        mark(face, US_PART_MATRIX);
    }
    if (!points && !json_object_get(entry, "landmarks")) {
        return NULL;
    }
    mark(face, US_PART_LANDMARKS);
    us_face_pose(face);
    us_face_measure(face);
    if (strcmp(face->source[US_PART_MATRIX], "artist") == 0) {
        return NULL;
    }
    mark(face, US_PART_MATRIX);
    return us_face_fit(face) ? NULL
                             : us_fail(US_FAILED, "the landmarks lie too badly to fit a matrix");
}

static struct us_error *apply_entry(json_t *entry, struct us_faces *faces) {
    size_t index = 0;
    if (!json_is_object(entry)) {
        return us_fail(US_FAILED, "this is not an object");
    }
    US_TRY(check_keys(entry, entry_keys, sizeof entry_keys / sizeof *entry_keys));
    US_TRY(target_of(entry, faces, &index));
    if (json_is_true(json_object_get(entry, "delete"))) {
        for (size_t i = index + 1; i < faces->count; i++) {
            faces->items[i - 1] = faces->items[i];
        }
        faces->count--;
        return NULL;
    }
    return edit(entry, &faces->items[index]);
}

static struct us_error *apply_list(json_t *list, const char *where, struct us_faces *faces) {
    if (!json_is_array(list)) {
        return us_fail(US_FAILED, "'%.40s' is not a list", where);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct us_error *error = apply_entry(json_array_get(list, i), faces);
        US_TRY(us_error_wrap(error, "entry %zu of '%.40s'", i, where));
    }
    return NULL;
}

static struct us_error *apply_frames(json_t *object, int32_t number, struct us_faces *faces) {
    const char *key;
    json_t *list;
    json_object_foreach(object, key, list) {
        bool here;
        US_TRY(us_error_wrap(us_frames_text_has(key, number, &here), "frames '%.40s'", key));
        if (here) {
            US_TRY(apply_list(list, key, faces));
        }
    }
    return NULL;
}

static struct us_error *apply_file(json_t *root, int32_t number, struct us_faces *faces) {
    const char *kind = json_string_value(json_object_get(root, "understudy"));
    json_t *list = json_object_get(root, "faces"), *frames = json_object_get(root, "frames");
    if (!kind || strcmp(kind, "override") != 0 ||
        json_integer_value(json_object_get(root, "version")) != 1) {
        return us_fail(US_FAILED, "this is not an override file of version 1 "
                                  "('understudy': 'override', 'version': 1)");
    }
    US_TRY(check_keys(root, file_keys, sizeof file_keys / sizeof *file_keys));
    if (!list && !json_is_object(frames)) {
        return us_fail(US_FAILED, "there is neither a list 'faces' nor an object 'frames'");
    }
    if (list) {
        US_TRY(apply_list(list, "faces", faces));
    }
    return json_is_object(frames) ? apply_frames(frames, number, faces) : NULL;
}

struct us_error *us_override_apply(const void *bytes, size_t size, int32_t number,
                                   struct us_faces *faces) {
    json_t *root;
    US_TRY(us_face_parse_json(bytes, size, &root));
    struct us_error *error = apply_file(root, number, faces);
    json_decref(root);
    return error;
}
