#include "nodes/learn/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"

enum { HEADER_LIMIT = 100 << 20, ALIGNMENT = 64 };

static const struct {
    const char *name;
    size_t size;
} types[] = {{"F16", 2}, {"F32", 4}, {"F64", 8}, {"I32", 4}, {"I64", 8}, {"U8", 1}};

struct us_arrays {
    struct us_array *items; /* names are us_malloc'ed */
    size_t count, capacity;
    json_t *metadata; /* text -> text */
};

struct us_arrays *us_arrays_create(void) {
    struct us_arrays *arrays = us_calloc(1, sizeof *arrays);
    arrays->metadata = json_object();
    return arrays;
}

void us_arrays_destroy(struct us_arrays *arrays) {
    if (!arrays) {
        return;
    }
    for (size_t i = 0; i < arrays->count; i++) {
        us_free((void *)(uintptr_t)arrays->items[i].name);
    }
    us_free(arrays->items);
    json_decref(arrays->metadata);
    us_free(arrays);
}

static struct us_error *damaged(const char *what) {
    return us_fail(US_CORRUPT, "the safetensors file is damaged: %s", what);
}

static struct us_error *bad_array(const char *name, const char *what) {
    return us_fail(US_CORRUPT, "the safetensors file is damaged: array '%.80s' %s", name, what);
}

static struct us_error *read_type(const char *name, const json_t *entry, struct us_array *array) {
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    if (!text) {
        return bad_array(name, "has no dtype");
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(text, types[i].name) == 0) {
            array->type = (enum us_array_type)i;
            return NULL;
        }
    }
    return us_fail(US_CORRUPT,
                   "array '%.80s' has dtype '%.16s', allowed F16, F32, F64, I32, I64 and U8", name,
                   text);
}

static struct us_error *read_shape(const char *name, const json_t *entry, struct us_array *array) {
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > US_ARRAY_RANK) {
        return bad_array(name, "has no shape of at most 6 numbers");
    }
    array->rank = (int)json_array_size(shape);
    size_t total = types[array->type].size;
    for (int i = 0; i < array->rank; i++) {
        const json_t *number = json_array_get(shape, (size_t)i);
        const json_int_t n = json_integer_value(number);
        if (!json_is_integer(number) || n < 0 ||
            __builtin_mul_overflow(total, (uint64_t)n, &total)) {
            return bad_array(name, "has an impossible shape");
        }
        array->shape[i] = n;
    }
    array->size = total;
    return NULL;
}

static struct us_error *read_place(const char *name, const json_t *entry, const uint8_t *data,
                                   size_t data_size, struct us_array *array) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to)) {
        return bad_array(name, "has no two data_offsets");
    }
    const json_int_t begin = json_integer_value(from), end = json_integer_value(to);
    if (begin < 0 || end < begin || (uint64_t)end > data_size) {
        return bad_array(name, "lies outside the file");
    }
    if ((uint64_t)(end - begin) != array->size) {
        return bad_array(name, "has another size than its shape says");
    }
    array->data = data + begin;
    return NULL;
}

static struct us_error *read_metadata(struct us_arrays *arrays, json_t *metadata) {
    const char *key;
    json_t *value;
    if (!json_is_object(metadata)) {
        return damaged("its __metadata__ is no mapping");
    }
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value)) {
            return damaged("its __metadata__ has a value that is no text");
        }
    }
    json_object_update(arrays->metadata, metadata);
    return NULL;
}

static struct us_error *read_entries(struct us_arrays *arrays, json_t *header, const uint8_t *data,
                                     size_t size) {
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry) {
        if (strcmp(name, "__metadata__") == 0) {
            US_TRY(read_metadata(arrays, entry));
            continue;
        }
        struct us_array array = {0};
        US_TRY(read_type(name, entry, &array));
        US_TRY(read_shape(name, entry, &array));
        US_TRY(read_place(name, entry, data, size, &array));
        us_grow(&arrays->items, &arrays->capacity, arrays->count, sizeof array);
        array.name = us_strdup(name);
        arrays->items[arrays->count++] = array;
    }
    return NULL;
}

static int by_place(const void *left, const void *right) {
    const struct us_array *a = left, *b = right;
    const uintptr_t x = (uintptr_t)a->data, y = (uintptr_t)b->data;
    if (x != y) {
        return x < y ? -1 : 1;
    }
    return (a->size > b->size) - (a->size < b->size);
}

static struct us_error *check_places(struct us_arrays *arrays, const uint8_t *data, size_t size) {
    if (arrays->count > 1) {
        qsort(arrays->items, arrays->count, sizeof *arrays->items, by_place);
    }
    const uint8_t *at = data;
    for (size_t i = 0; i < arrays->count; i++) {
        if (arrays->items[i].data != at) {
            return bad_array(arrays->items[i].name, "overlaps another or follows a hole");
        }
        at += arrays->items[i].size;
    }
    return at == data + size ? NULL : damaged("bytes follow its last array");
}

static struct us_error *load_header(const uint8_t *bytes, size_t size, json_t **header,
                                    size_t *length) {
    uint64_t announced = 0;
    for (size_t i = 0; size >= 8 && i < 8; i++) {
        announced |= (uint64_t)bytes[i] << 8 * i;
    }
    if (size < 8 || announced > size - 8 || announced > HEADER_LIMIT) {
        return damaged("its header is cut off");
    }
    json_error_t error;
    *header =
        json_loadb((const char *)bytes + 8, (size_t)announced, JSON_REJECT_DUPLICATES, &error);
    if (!*header) {
        return us_fail(US_CORRUPT, "the safetensors file is damaged: its header is no JSON: %.100s",
                       error.text);
    }
    *length = (size_t)announced;
    return NULL;
}

struct us_error *us_arrays_parse(const uint8_t *bytes, size_t size, struct us_arrays **arrays) {
    json_t *header = NULL;
    size_t length = 0;
    *arrays = NULL;
    US_TRY(load_header(bytes, size, &header, &length));
    struct us_arrays *made = us_arrays_create();
    const uint8_t *data = bytes + 8 + length;
    const size_t data_size = size - 8 - length;
    struct us_error *error = json_is_object(header) ? read_entries(made, header, data, data_size)
                                                    : damaged("its header is no mapping");
    json_decref(header);
    if (!error) {
        error = check_places(made, data, data_size);
    }
    if (error) {
        us_arrays_destroy(made);
        return error;
    }
    *arrays = made;
    return NULL;
}

size_t us_arrays_count(const struct us_arrays *arrays) {
    return arrays->count;
}

const struct us_array *us_arrays_at(const struct us_arrays *arrays, size_t index) {
    return &arrays->items[index];
}

const struct us_array *us_arrays_find(const struct us_arrays *arrays, const char *name) {
    for (size_t i = 0; i < arrays->count; i++) {
        if (strcmp(arrays->items[i].name, name) == 0) {
            return &arrays->items[i];
        }
    }
    return NULL;
}

static void print_shape(int rank, const int64_t *shape, struct us_str *out) {
    us_str_append(out, "[");
    for (int i = 0; i < rank; i++) {
        us_str_append(out, i ? ", " : "");
        if (shape[i] < 0) {
            us_str_append(out, "any");
        } else {
            us_str_printf(out, "%lld", (long long)shape[i]);
        }
    }
    us_str_append(out, "]");
}

struct us_error *us_arrays_need(const struct us_arrays *arrays, const char *name,
                                enum us_array_type type, int rank, const int64_t *shape,
                                const struct us_array **array) {
    const struct us_array *found = us_arrays_find(arrays, name);
    if (!found) {
        return us_fail(US_CORRUPT, "the file has no array '%s'", name);
    }
    bool same = found->type == type && found->rank == rank;
    for (int i = 0; same && i < rank; i++) {
        same = shape[i] < 0 || shape[i] == found->shape[i];
    }
    *array = found;
    if (same) {
        return NULL;
    }
    struct us_str text = {0};
    us_str_printf(&text, "array '%s' is %s ", name, types[found->type].name);
    print_shape(found->rank, found->shape, &text);
    us_str_printf(&text, ", needed is %s ", types[type].name);
    print_shape(rank, shape, &text);
    struct us_error *error = us_fail(US_CORRUPT, "%s", us_str_text(&text));
    us_str_finish(&text);
    return error;
}

const char *us_arrays_text(const struct us_arrays *arrays, const char *key) {
    return json_string_value(json_object_get(arrays->metadata, key));
}

bool us_arrays_int(const struct us_arrays *arrays, const char *key, int64_t *value) {
    const char *text = us_arrays_text(arrays, key);
    char *end = NULL;
    if (!text || !*text) {
        return false;
    }
    errno = 0;
    *value = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

bool us_arrays_number(const struct us_arrays *arrays, const char *key, double *value) {
    const char *text = us_arrays_text(arrays, key);
    char *end = NULL;
    if (!text || !*text) {
        return false;
    }
    *value = strtod(text, &end);
    return *end == '\0' && isfinite(*value);
}

void us_arrays_add(struct us_arrays *arrays, const char *name, enum us_array_type type, int rank,
                   const int64_t *shape, const void *data) {
    struct us_array array = {.name = us_strdup(name), .type = type, .rank = rank, .data = data};
    array.size = types[type].size;
    for (int i = 0; i < rank; i++) {
        array.shape[i] = shape[i];
        array.size *= (size_t)shape[i];
    }
    us_grow(&arrays->items, &arrays->capacity, arrays->count, sizeof array);
    arrays->items[arrays->count++] = array;
}

void us_arrays_set_text(struct us_arrays *arrays, const char *key, const char *text) {
    json_t *value = json_string(text);
    if (value) { /* not UTF-8 otherwise */
        json_object_set_new(arrays->metadata, key, value);
    }
}

void us_arrays_set_int(struct us_arrays *arrays, const char *key, int64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    us_arrays_set_text(arrays, key, text);
}

void us_arrays_set_number(struct us_arrays *arrays, const char *key, double value) {
    char text[40];
    snprintf(text, sizeof text, "%.9g", value);
    us_arrays_set_text(arrays, key, text);
}

static void print_entry(const struct us_array *array, size_t offset, struct us_str *out) {
    json_t *name = json_string(array->name);
    char *quoted = json_dumps(name, JSON_ENCODE_ANY | JSON_COMPACT);
    us_str_printf(out, ",%s:{\"dtype\":\"%s\",\"shape\":[", quoted, types[array->type].name);
    for (int i = 0; i < array->rank; i++) {
        us_str_printf(out, "%s%lld", i ? "," : "", (long long)array->shape[i]);
    }
    us_str_printf(out, "],\"data_offsets\":[%zu,%zu]}", offset, offset + array->size);
    free(quoted); /* jansson's own */
    json_decref(name);
}

void us_arrays_header(const struct us_arrays *arrays, uint8_t **bytes, size_t *size) {
    struct us_str text = {0};
    char *metadata = json_dumps(arrays->metadata, JSON_COMPACT | JSON_SORT_KEYS);
    us_str_append_bytes(&text, "        ", 8);
    us_str_printf(&text, "{\"__metadata__\":%s", metadata);
    free(metadata);
    size_t offset = 0;
    for (size_t i = 0; i < arrays->count; i++) {
        print_entry(&arrays->items[i], offset, &text);
        offset += arrays->items[i].size;
    }
    us_str_append(&text, "}");
    while (text.length % ALIGNMENT) {
        us_str_append(&text, " ");
    }
    *size = text.length;
    *bytes = (uint8_t *)us_str_take(&text);
    for (size_t i = 0; i < 8; i++) {
        (*bytes)[i] = (uint8_t)((uint64_t)(*size - 8) >> 8 * i);
    }
}

struct us_error *us_arrays_print(const struct us_arrays *arrays, uint8_t **bytes, size_t *size) {
    uint8_t *header;
    size_t header_size, total;
    us_arrays_header(arrays, &header, &header_size);
    total = header_size;
    for (size_t i = 0; i < arrays->count; i++) {
        total += arrays->items[i].size;
    }
    uint8_t *made = us_try_alloc_pixels(total + 1);
    if (!made) {
        us_free(header);
        return us_fail(US_RETRY, "no memory for a file of %zu bytes", total);
    }
    memcpy(made, header, header_size);
    us_free(header);
    size_t at = header_size;
    for (size_t i = 0; i < arrays->count; i++) {
        memcpy(made + at, arrays->items[i].data, arrays->items[i].size);
        at += arrays->items[i].size;
    }
    *bytes = made;
    *size = total;
    return NULL;
}
