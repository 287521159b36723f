#include "nodes/face/flatbuffer.h"

static bool within(struct us_flat *flat, size_t at, size_t length) {
    if (length > flat->size || at > flat->size - length) {
        flat->broken = true;
        return false;
    }
    return true;
}

static uint32_t read_bytes(struct us_flat *flat, size_t at, size_t length) {
    if (!within(flat, at, length)) {
        return 0;
    }
    uint32_t value = 0;
    for (size_t i = length; i > 0; i--) {
        value = value << 8 | flat->bytes[at + i - 1];
    }
    return value;
}

uint32_t us_flat_u32(struct us_flat *flat, size_t at) {
    return read_bytes(flat, at, 4);
}

/* Where the offset stored at `at` leads. */
static size_t follow(struct us_flat *flat, size_t at) {
    size_t target = at + us_flat_u32(flat, at);
    return within(flat, target, 4) && target != at ? target : 0;
}

size_t us_flat_root(struct us_flat *flat) {
    return follow(flat, 0);
}

static size_t field_at(struct us_flat *flat, size_t table, unsigned field) {
    if (table == 0) {
        return 0;
    }
    int64_t vtable = (int64_t)table - (int32_t)us_flat_u32(flat, table);
    if (vtable < 0) {
        flat->broken = true;
        return 0;
    }
    size_t entry = (size_t)vtable + 4 + 2 * (size_t)field;
    if (4 + 2 * (size_t)field + 2 > read_bytes(flat, (size_t)vtable, 2)) {
        return 0;
    }
    uint32_t offset = read_bytes(flat, entry, 2);
    return offset ? table + offset : 0;
}

int32_t us_flat_int(struct us_flat *flat, size_t table, unsigned field, int32_t missing) {
    size_t at = field_at(flat, table, field);
    return at ? (int32_t)us_flat_u32(flat, at) : missing;
}

int32_t us_flat_byte(struct us_flat *flat, size_t table, unsigned field, int32_t missing) {
    size_t at = field_at(flat, table, field);
    return at ? (int32_t)read_bytes(flat, at, 1) : missing;
}

size_t us_flat_table(struct us_flat *flat, size_t table, unsigned field) {
    size_t at = field_at(flat, table, field);
    return at ? follow(flat, at) : 0;
}

struct us_flat_vector us_flat_vector(struct us_flat *flat, size_t table, unsigned field,
                                     size_t item_size) {
    struct us_flat_vector none = {0, 0};
    size_t at = us_flat_table(flat, table, field);
    if (at == 0) {
        return none;
    }
    struct us_flat_vector vector = {at + 4, us_flat_u32(flat, at)};
    if (vector.count > flat->size / item_size ||
        !within(flat, vector.at, vector.count * item_size)) {
        flat->broken = true;
        return none;
    }
    return vector;
}

size_t us_flat_item(struct us_flat *flat, struct us_flat_vector vector, uint32_t index) {
    if (index >= vector.count) {
        flat->broken = true;
        return 0;
    }
    return follow(flat, vector.at + 4 * (size_t)index);
}
