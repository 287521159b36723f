/* libFuzzer target of JSON: a file of faces, and artists' overrides of a frame with one face. What
 * is read as faces must be read again after it was written. */
#include <stdint.h>
#include <stdlib.h>

#include "nodes/face/override.h"
#include "runtime/api/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void write_and_read(const struct us_faces *faces) {
    struct us_value *value = us_faces_write(faces);
    struct us_faces again = {0};
    struct us_error *error = us_faces_read(value->bytes, value->size, &again);
    if (!error && again.count != faces->count) {
        abort();
    }
    us_error_free(error);
    us_faces_finish(&again);
    us_value_unref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct us_faces faces = {0}, changed = {0};
    struct us_error *error = us_faces_read(bytes, size, &faces);
    if (!error) {
        write_and_read(&faces);
    }
    us_error_free(error);
    us_faces_finish(&faces);
    us_faces_add(&changed);
    error = us_override_apply(bytes, size, 1001, &changed);
    if (!error) {
        write_and_read(&changed);
    }
    us_error_free(error);
    us_faces_finish(&changed);
    return 0;
}
