#include <stdint.h>
#include <string.h>

#include "kernels/half.h"
#include "nodes/learn/onnx/file_internal.h"

/* Fields of TensorProto. */
enum {
    DIMS = 1,
    DATA_TYPE = 2,
    SEGMENT = 3,
    FLOAT_DATA = 4,
    INT32_DATA = 5,
    INT64_DATA = 7,
    NAME = 8,
    RAW_DATA = 9,
    DOUBLE_DATA = 10,
    EXTERNAL_DATA = 13,
    DATA_LOCATION = 14
};

struct form {
    int type;
    size_t size;    /* bytes of a raw value */
    uint32_t field; /* where values stand that are not raw */
    enum us_wire wire;
    bool integer;
};

static const struct form forms[] = {
    {US_ONNX_FLOAT, 4, FLOAT_DATA, US_WIRE_32, false},
    {US_ONNX_UINT8, 1, INT32_DATA, US_WIRE_VARINT, true},
    {US_ONNX_INT8, 1, INT32_DATA, US_WIRE_VARINT, true},
    {US_ONNX_INT32, 4, INT32_DATA, US_WIRE_VARINT, true},
    {US_ONNX_INT64, 8, INT64_DATA, US_WIRE_VARINT, true},
    {US_ONNX_BOOL, 1, INT32_DATA, US_WIRE_VARINT, true},
    {US_ONNX_FLOAT16, 2, INT32_DATA, US_WIRE_VARINT, false},
    {US_ONNX_DOUBLE, 8, DOUBLE_DATA, US_WIRE_64, false},
};

bool us_onnx_elements(const struct us_onnx_shape *shape, size_t *count) {
    const int64_t most = (int64_t)1 << 40;
    int64_t product = 1;
    bool empty = false;
    for (int i = 0; i < shape->rank; i++) {
        const int64_t dim = shape->dims[i];
        if (dim < 0 || dim > most || (dim > 0 && product > most / dim)) {
            return false;
        }
        empty |= dim == 0;
        product *= dim ? dim : 1;
    }
    *count = empty ? 0 : (size_t)product;
    return true;
}

size_t us_onnx_count_numbers(struct us_proto message, uint32_t number, enum us_wire wire) {
    struct us_field field;
    size_t count = 0;
    while (us_proto_next(&message, &field)) {
        if (field.number != number) {
            continue;
        }
        uint64_t value;
        count += field.wire == wire;
        while (field.wire == US_WIRE_BYTES && us_proto_packed(&field.body, wire, &value)) {
            count++;
        }
    }
    return count;
}

void us_onnx_read_numbers(struct us_proto message, uint32_t number, enum us_wire wire,
                          uint64_t *bits) {
    struct us_field field;
    while (us_proto_next(&message, &field)) {
        if (field.number != number) {
            continue;
        }
        if (field.wire == wire) {
            *bits++ = field.value;
        }
        while (field.wire == US_WIRE_BYTES && us_proto_packed(&field.body, wire, bits)) {
            bits++;
        }
    }
}

/* The bits of a stored value as what it means. */
static void set_value(int type, uint64_t bits, void *data, size_t index) {
    const uint32_t low = (uint32_t)bits;
    const uint16_t half = (uint16_t)bits;
    float number = 0;
    double wide;
    int64_t whole = (int64_t)bits;
    switch (type) {
    case US_ONNX_FLOAT:
        memcpy(&number, &low, sizeof number);
        break;
    case US_ONNX_FLOAT16:
        us_half_to_float(&half, &number, 1);
        break;
    case US_ONNX_DOUBLE:
        memcpy(&wide, &bits, sizeof wide);
        number = (float)wide;
        break;
    case US_ONNX_INT8:
        whole = (int8_t)bits;
        break;
    case US_ONNX_UINT8:
        whole = (uint8_t)bits;
        break;
    case US_ONNX_BOOL:
        whole = (uint8_t)bits != 0;
        break;
    case US_ONNX_INT32:
        whole = (int32_t)low;
        break;
    default:
        break;
    }
    const bool real = type == US_ONNX_FLOAT || type == US_ONNX_FLOAT16 || type == US_ONNX_DOUBLE;
    if (real) {
        ((float *)data)[index] = number;
    } else {
        ((int64_t *)data)[index] = whole;
    }
}

static struct us_error *check_count(const struct us_onnx_tensor *tensor, size_t stored) {
    return stored == tensor->count
               ? NULL
               : us_fail(US_CORRUPT, "it stores %zu values, its shape wants %zu", stored,
                         tensor->count);
}

static struct us_error *read_raw(struct us_arena *arena, const struct form *form,
                                 struct us_proto raw, struct us_onnx_tensor *tensor) {
    const size_t size = (size_t)(raw.end - raw.at);
    if (size % form->size) {
        return us_fail(US_CORRUPT, "it stores %zu bytes in values of %zu", size, form->size);
    }
    US_TRY(check_count(tensor, size / form->size));
    if (form->type == US_ONNX_FLOAT && (uintptr_t)raw.at % sizeof(float) == 0) {
        tensor->data = raw.at;
        return NULL;
    }
    void *data = us_arena_alloc(arena, tensor->count * (form->integer ? 8 : 4) + 1);
    for (size_t i = 0; i < tensor->count; i++) {
        uint64_t bits = 0;
        memcpy(&bits, raw.at + i * form->size, form->size);
        set_value(form->type, bits, data, i);
    }
    tensor->data = data;
    return NULL;
}

static struct us_error *read_typed(struct us_arena *arena, const struct form *form,
                                   struct us_proto message, struct us_onnx_tensor *tensor) {
    const size_t stored = us_onnx_count_numbers(message, form->field, form->wire);
    US_TRY(check_count(tensor, stored));
    uint64_t *bits = us_arena_alloc(arena, stored * sizeof *bits + 1);
    void *data = us_arena_alloc(arena, stored * (form->integer ? 8 : 4) + 1);
    us_onnx_read_numbers(message, form->field, form->wire, bits);
    for (size_t i = 0; i < stored; i++) {
        set_value(form->type, bits[i], data, i);
    }
    tensor->data = data;
    return NULL;
}

static struct us_error *read_shape(struct us_proto message, struct us_onnx_tensor *tensor) {
    uint64_t dims[US_ONNX_RANK];
    const size_t rank = us_onnx_count_numbers(message, DIMS, US_WIRE_VARINT);
    if (rank > US_ONNX_RANK) {
        return us_fail(US_FAILED, "it has %zu dimensions, at most %d are known", rank,
                       US_ONNX_RANK);
    }
    us_onnx_read_numbers(message, DIMS, US_WIRE_VARINT, dims);
    tensor->shape.rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        tensor->shape.dims[i] = (int64_t)dims[i];
    }
    return us_onnx_elements(&tensor->shape, &tensor->count)
               ? NULL
               : us_fail(US_CORRUPT, "its shape is impossible");
}

static const struct form *find_form(uint64_t type) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if ((uint64_t)forms[i].type == type) {
            return &forms[i];
        }
    }
    return NULL;
}

static struct us_error *read_values(struct us_arena *arena, struct us_proto message, uint64_t type,
                                    const struct us_proto *raw, struct us_onnx_tensor *tensor) {
    const struct form *form = find_form(type);
    if (!form) {
        return us_fail(US_FAILED,
                       "its values have type %llu, known are float, float16, double, int8, uint8, "
                       "int32, int64 and bool",
                       (unsigned long long)type);
    }
    US_TRY(read_shape(message, tensor));
    tensor->integer = form->integer;
    return raw->at ? read_raw(arena, form, *raw, tensor) : read_typed(arena, form, message, tensor);
}

struct us_error *us_onnx_read_tensor(struct us_arena *arena, struct us_proto message,
                                     struct us_onnx_tensor *tensor) {
    const struct us_proto whole = message;
    struct us_proto raw = {0};
    struct us_field field;
    uint64_t type = 0;
    tensor->name = "";
    while (us_proto_next(&message, &field)) {
        if (field.number == NAME) {
            US_TRY(us_onnx_text(arena, &field, &tensor->name));
        } else if (field.number == DATA_TYPE) {
            type = field.value;
        } else if (field.number == RAW_DATA && field.wire == US_WIRE_BYTES) {
            raw = field.body;
        } else if (field.number == EXTERNAL_DATA ||
                   (field.number == DATA_LOCATION && field.value != 0)) {
            return us_error_hint(us_fail(US_FAILED, "its values lie in another file"),
                                 "save the model as one file, without external data");
        } else if (field.number == SEGMENT) {
            return us_fail(US_FAILED, "it is a segment of a tensor");
        }
    }
    US_TRY(us_proto_end(&message, "a stored tensor"));
    struct us_error *error = read_values(arena, whole, type, &raw, tensor);
    return us_error_wrap(error, "stored tensor '%.80s'", tensor->name);
}
