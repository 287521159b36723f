#include "runtime/api/value.h"

#include <string.h>

#include "runtime/base/mem.h"

static const char *const names[] = {"image", "faces", "dataset", "model", "metrics", "file"};

const char *us_data_name(unsigned data) {
    for (unsigned i = 0; i < 6; i++) {
        if (data == 1u << i) {
            return names[i];
        }
    }
    if (data == (US_IMAGE | US_DATASET)) {
        return "image or dataset";
    }
    return data == (US_FILE | US_METRICS) ? "file or metrics" : "several types";
}

struct us_value *us_value_from_image(struct us_image *image) {
    struct us_value *value = us_calloc(1, sizeof *value);
    value->data = US_IMAGE;
    value->image = image;
    value->digest = us_image_digest(image);
    value->references = 1;
    return value;
}

struct us_value *us_value_from_bytes(enum us_data data, uint8_t *bytes, size_t size) {
    struct us_value *value = us_calloc(1, sizeof *value);
    value->data = data;
    value->bytes = bytes;
    value->size = size;
    value->digest = us_digest_of(bytes, size);
    value->references = 1;
    return value;
}

struct us_value *us_value_ref(struct us_value *value) {
    __atomic_add_fetch(&value->references, 1, __ATOMIC_RELAXED);
    return value;
}

void us_value_unref(struct us_value *value) {
    if (!value || __atomic_sub_fetch(&value->references, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    us_image_unref(value->image);
    us_free(value->bytes);
    us_free(value);
}

size_t us_value_bytes(const struct us_value *value) {
    return value->image ? us_image_bytes(value->image) : value->size;
}
