#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/image/image.h"

/* Attribute bytes are little-endian, as in a file; the project runs on little-endian hosts only. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian hosts only");

const struct us_attribute *us_image_attribute(const struct us_image *image, const char *name) {
    for (size_t i = 0; i < image->attribute_count; i++) {
        if (strcmp(image->attributes[i].name, name) == 0) {
            return &image->attributes[i];
        }
    }
    return NULL;
}

void us_image_remove_attribute(struct us_image *image, const char *name) {
    for (size_t i = 0; i < image->attribute_count; i++) {
        struct us_attribute *a = &image->attributes[i];
        if (strcmp(a->name, name) == 0) {
            us_free(a->name);
            us_free(a->type);
            us_free(a->bytes);
            image->attribute_count--;
            memmove(a, a + 1, (image->attribute_count - i) * sizeof *a);
            return;
        }
    }
}

void us_image_set_attribute(struct us_image *image, const char *name, const char *type,
                            const void *bytes, size_t size) {
    struct us_attribute made = {us_strdup(name), us_strdup(type), us_malloc(size), size};
    if (size) {
        memcpy(made.bytes, bytes, size);
    }
    us_image_remove_attribute(image, name);
    size_t index = 0;
    while (index < image->attribute_count && strcmp(image->attributes[index].name, made.name) < 0) {
        index++;
    }
    image->attributes =
        us_realloc(image->attributes, (image->attribute_count + 1) * sizeof *image->attributes);
    struct us_attribute *place = &image->attributes[index];
    memmove(place + 1, place, (image->attribute_count - index) * sizeof *place);
    *place = made;
    image->attribute_count++;
}

static const struct us_attribute *typed(const struct us_image *image, const char *name,
                                        const char *type, size_t size) {
    const struct us_attribute *a = us_image_attribute(image, name);
    return a && strcmp(a->type, type) == 0 && (!size || a->size == size) ? a : NULL;
}

void us_image_set_string(struct us_image *image, const char *name, const char *text) {
    us_image_set_attribute(image, name, "string", text, strlen(text));
}

char *us_image_get_string(const struct us_image *image, const char *name) {
    const struct us_attribute *a = typed(image, name, "string", 0);
    return a ? us_strndup((const char *)a->bytes, a->size) : NULL;
}

void us_image_set_int(struct us_image *image, const char *name, int32_t value) {
    us_image_set_attribute(image, name, "int", &value, sizeof value);
}

bool us_image_get_int(const struct us_image *image, const char *name, int32_t *value) {
    const struct us_attribute *a = typed(image, name, "int", sizeof *value);
    if (a) {
        memcpy(value, a->bytes, sizeof *value);
    }
    return a != NULL;
}

void us_image_set_floats(struct us_image *image, const char *name, const float *values,
                         size_t count) {
    us_image_set_attribute(image, name, "floatvector", values, count * sizeof *values);
}

float *us_image_get_floats(const struct us_image *image, const char *name, size_t *count) {
    const struct us_attribute *a = typed(image, name, "floatvector", 0);
    if (!a) {
        return NULL;
    }
    *count = a->size / sizeof(float);
    float *values = us_malloc(a->size);
    memcpy(values, a->bytes, *count * sizeof *values);
    return values;
}

void us_image_set_matrix(struct us_image *image, const char *name, const double m[9]) {
    us_image_set_attribute(image, name, "m33d", m, 9 * sizeof *m);
}

bool us_image_get_matrix(const struct us_image *image, const char *name, double m[9]) {
    const struct us_attribute *a = typed(image, name, "m33d", 9 * sizeof *m);
    if (a) {
        memcpy(m, a->bytes, 9 * sizeof *m);
    }
    return a != NULL;
}
