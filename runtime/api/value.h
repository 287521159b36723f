/* What travels along an edge of the graph: an image, or the bytes of a file. Reference counted,
 * immutable once made. */
#ifndef US_RUNTIME_API_VALUE_H
#define US_RUNTIME_API_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/base/hash.h"
#include "runtime/image/image.h"

/* Bits, so that a port may accept several. */
enum us_data {
    US_IMAGE = 1,    /* pixels; EXR on disk */
    US_FACES = 2,    /* JSON, nodes/face/faces.h */
    US_DATASET = 4,  /* safetensors, nodes/learn/dataset_file.h */
    US_MODEL = 8,    /* safetensors */
    US_METRICS = 16, /* JSON lines */
    US_FILE = 32,    /* any other file: PNG, HTML, what a command wrote */
};

struct us_value {
    enum us_data data;
    struct us_image *image; /* US_IMAGE only */
    uint8_t *bytes;         /* the others */
    size_t size;
    struct us_digest digest; /* of the canonical content: us_image_digest, or of the bytes */
    int references;
};

/* The name of one data type ("image"), or of several ("image or dataset"; static storage). */
const char *us_data_name(unsigned data);

/* Takes over the caller's reference to the image. */
struct us_value *us_value_from_image(struct us_image *image);
/* Takes over us_malloc'ed bytes. */
struct us_value *us_value_from_bytes(enum us_data data, uint8_t *bytes, size_t size);
struct us_value *us_value_ref(struct us_value *value);
void us_value_unref(struct us_value *value);
size_t us_value_bytes(const struct us_value *value); /* memory held */

/* How values become files and back; images need a codec, which nodes/io provides (us_exr_codec). */
struct us_codec {
    /* Encodes an image into us_malloc'ed bytes (the cache's EXR). Same image, same bytes. */
    struct us_error *(*encode)(const struct us_image *image, uint8_t **bytes, size_t *size);
    /* The inverse. The image is complete: us_image_digest gives what it gave. */
    struct us_error *(*decode)(const uint8_t *bytes, size_t size, struct us_image **image);
};

#endif
