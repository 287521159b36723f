/* JSON shared by the reader of faces and the reader of artists' overrides. */
#ifndef US_NODES_FACE_FACE_JSON_H
#define US_NODES_FACE_FACE_JSON_H

#include <jansson.h>

#include "nodes/face/faces.h"

/* Parses; errors give line and column. The caller owns *root (json_decref). */
struct us_error *us_face_parse_json(const void *bytes, size_t size, json_t **root) US_NODISCARD;

/* Puts the fields that `object` has into `face` and leaves the others alone. */
struct us_error *us_face_read_fields(const json_t *object, struct us_face *face) US_NODISCARD;

#endif
