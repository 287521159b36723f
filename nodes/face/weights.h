/* The pretrained networks of the face nodes: which files they are, what they must hash to.
 *
 * They lie in us_models_folder(), where tools/fetch_weights puts them (MediaPipe's BlazeFace and
 * FaceMesh, Apache-2.0). A loaded network stays in memory for the life of the process. */
#ifndef US_NODES_FACE_WEIGHTS_H
#define US_NODES_FACE_WEIGHTS_H

#include "nodes/face/tflite.h"
#include "runtime/api/node.h"

enum us_weights {
    US_WEIGHTS_BLAZEFACE_SHORT, /* 128 x 128, faces of about a fifth of the frame and more */
    US_WEIGHTS_BLAZEFACE_FULL,  /* 192 x 192, smaller faces too */
    US_WEIGHTS_FACEMESH,        /* 192 x 192 crop, 468 landmarks */
    US_WEIGHTS_COUNT
};

/* Declares the file as a source of the task, role "weights". */
void us_weights_source(struct us_sources *sources, enum us_weights which);

/* Loads, checks the SHA-256 and parses; the network is shared and not to be destroyed. From any
 * thread. US_MISSING when the file is not there, US_FAILED when it has another hash. */
struct us_error *us_weights_load(enum us_weights which,
                                 const struct us_tflite **network) US_NODISCARD;

/* The SHA-256 check alone: fails with "weights 'path' have SHA-256 x, wanted y". `wanted` is 64
 * hex digits. */
struct us_error *us_weights_check(const char *path, const uint8_t *bytes, size_t size,
                                  const char *wanted) US_NODISCARD;

/* File name inside the models folder. */
const char *us_weights_file(enum us_weights which);

#endif
