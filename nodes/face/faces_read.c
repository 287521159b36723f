#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nodes/face/face_json.h"
#include "nodes/face/faces.h"

static const double largest = 1e7;

static const char *kind_name(const json_t *value) {
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "nothing";
    default:
        return "a truth value";
    }
}

static struct us_error *read_number(const json_t *value, const char *name, double *number) {
    if (!json_is_number(value)) {
        return us_fail(US_FAILED, "'%s' holds %s, wanted a number", name, kind_name(value));
    }
    *number = json_number_value(value);
    if (!(fabs(*number) <= largest)) {
        return us_fail(US_FAILED, "'%s' holds %g, allowed -1e7 to 1e7", name, *number);
    }
    return NULL;
}

static struct us_error *read_list(const json_t *list, const char *name, double *values,
                                  size_t count) {
    if (!json_is_array(list) || json_array_size(list) != count) {
        return us_fail(US_FAILED, "'%s' holds %s, wanted a list of %zu numbers", name,
                       json_is_array(list) ? "a list of another length" : kind_name(list), count);
    }
    for (size_t i = 0; i < count; i++) {
        US_TRY(read_number(json_array_get(list, i), name, &values[i]));
    }
    return NULL;
}

static struct us_error *read_points(const json_t *list, const char *name, double *points,
                                    size_t count, size_t size) {
    if (json_array_size(list) != count) {
        return us_fail(US_FAILED, "'%s' holds %zu points, wanted %zu", name, json_array_size(list),
                       count);
    }
    for (size_t i = 0; i < count; i++) {
        US_TRY(read_list(json_array_get(list, i), name, points + i * size, size));
    }
    return NULL;
}

static struct us_error *read_landmarks(const json_t *list, struct us_face *face) {
    size_t count = json_array_size(list);
    if (count != 468 && count != US_FACE_LANDMARKS) {
        return us_fail(US_FAILED, "'landmarks' holds %zu points, wanted 468 or 478", count);
    }
    face->landmark_count = (int)count;
    return read_points(list, "landmarks", face->landmarks[0], count, 3);
}

static struct us_error *read_matrix(const json_t *list, struct us_face *face) {
    const double *m = face->matrix;
    US_TRY(read_list(list, "matrix", face->matrix, 6));
    face->has_matrix = true;
    if (!(fabs(m[0] * m[4] - m[1] * m[3]) > 1e-16)) {
        return us_fail(US_FAILED, "'matrix' cannot be inverted");
    }
    return NULL;
}

static struct us_error *read_sources(const json_t *object, struct us_face *face) {
    static const char *const parts[] = {"box", "landmarks", "matrix"};
    for (int i = 0; i < US_PART_COUNT; i++) {
        const char *text = json_string_value(json_object_get(object, parts[i]));
        if (!text) {
            continue;
        }
        if (strlen(text) >= sizeof face->source[i] ||
            strspn(text, "abcdefghijklmnopqrstuvwxyz_0123456789") != strlen(text)) {
            return us_fail(US_FAILED, "'source' holds '%.40s', wanted a short lower-case word",
                           text);
        }
        snprintf(face->source[i], sizeof face->source[i], "%s", text);
    }
    return NULL;
}

static struct us_error *read_track(const json_t *value, struct us_face *face) {
    json_int_t track = json_integer_value(value);
    if (!json_is_integer(value) || track < 0 || track > 1000000) {
        return us_fail(US_FAILED, "'track' is not a whole number of 0 to 1000000");
    }
    face->track = (int32_t)track;
    return NULL;
}

static struct us_error *read_ratio(const json_t *object, const char *name, double *ratio) {
    const json_t *value = json_object_get(object, name);
    return value ? read_number(value, name, ratio) : NULL;
}

struct us_error *us_face_read_fields(const json_t *object, struct us_face *face) {
    const json_t *value;
    if ((value = json_object_get(object, "track"))) {
        US_TRY(read_track(value, face));
    }
    US_TRY(read_ratio(object, "score", &face->score));
    if ((value = json_object_get(object, "box"))) {
        US_TRY(read_list(value, "box", face->box, 4));
        if (!(face->box[0] < face->box[2] && face->box[1] < face->box[3])) {
            return us_fail(US_FAILED, "'box' is empty, wanted [x_min, y_min, x_max, y_max]");
        }
    }
    if ((value = json_object_get(object, "keypoints"))) {
        face->keypoint_count = US_FACE_KEYPOINTS;
        US_TRY(read_points(value, "keypoints", face->keypoints[0], US_FACE_KEYPOINTS, 2));
    }
    if ((value = json_object_get(object, "landmarks"))) {
        US_TRY(read_landmarks(value, face));
    }
    if ((value = json_object_get(object, "matrix"))) {
        US_TRY(read_matrix(value, face));
    }
    if ((value = json_object_get(object, "pose"))) {
        face->has_pose = true;
        US_TRY(read_list(value, "pose", face->pose, 3));
    }
    US_TRY(read_ratio(object, "mouth_open", &face->mouth_open));
    US_TRY(read_ratio(object, "eye_open_left", &face->eye_open_left));
    US_TRY(read_ratio(object, "eye_open_right", &face->eye_open_right));
    return read_sources(json_object_get(object, "source"), face);
}

struct us_error *us_face_parse_json(const void *bytes, size_t size, json_t **root) {
    json_error_t problem;
    *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &problem);
    if (!*root) {
        return us_fail(US_FAILED, "line %d, column %d: %s", problem.line, problem.column,
                       problem.text);
    }
    return NULL;
}

static struct us_error *read_faces(const json_t *root, struct us_faces *faces) {
    const char *kind = json_string_value(json_object_get(root, "understudy"));
    const json_t *list = json_object_get(root, "faces");
    if (!kind || strcmp(kind, "faces") != 0 || !json_is_array(list)) {
        return us_fail(US_FAILED, "this is not a faces file ('understudy': 'faces' and a list "
                                  "'faces' are wanted)");
    }
    if (json_integer_value(json_object_get(root, "version")) != 1) {
        return us_fail(US_FAILED, "the faces have another version than 1");
    }
    if (json_array_size(list) > US_FACES_MAX) {
        return us_fail(US_FAILED, "there are %zu faces, allowed 0 to %d", json_array_size(list),
                       US_FACES_MAX);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *object = json_array_get(list, i);
        if (!json_is_object(object) || !json_object_get(object, "box")) {
            return us_fail(US_FAILED, "face %zu has no 'box'", i);
        }
        US_TRY(us_error_wrap(us_face_read_fields(object, us_faces_add(faces)), "face %zu", i));
    }
    return NULL;
}

struct us_error *us_faces_read(const void *bytes, size_t size, struct us_faces *faces) {
    json_t *root;
    *faces = (struct us_faces){0};
    US_TRY(us_error_wrap(us_face_parse_json(bytes, size, &root), "the faces are no valid JSON"));
    struct us_error *error = read_faces(root, faces);
    json_decref(root);
    if (error) {
        us_faces_finish(faces);
    }
    return error;
}
