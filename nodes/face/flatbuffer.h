/* Reading FlatBuffers without trusting them: every access is checked against the buffer.
 *
 * A bad offset gives 0 and sets `broken` for good, so a caller may read a whole structure and look
 * once. Positions are absolute; 0 means "not there". Source: the FlatBuffers binary format. */
#ifndef US_NODES_FACE_FLATBUFFER_H
#define US_NODES_FACE_FLATBUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct us_flat {
    const uint8_t *bytes;
    size_t size;
    bool broken;
};

struct us_flat_vector {
    size_t at; /* of the first item */
    uint32_t count;
};

uint32_t us_flat_u32(struct us_flat *flat, size_t at);
/* The root table. */
size_t us_flat_root(struct us_flat *flat);
/* Fields of a table by their index in the schema. */
int32_t us_flat_int(struct us_flat *flat, size_t table, unsigned field, int32_t missing);
int32_t us_flat_byte(struct us_flat *flat, size_t table, unsigned field, int32_t missing);
size_t us_flat_table(struct us_flat *flat, size_t table, unsigned field);
/* All of its items lie inside the buffer; an absent vector has no items. */
struct us_flat_vector us_flat_vector(struct us_flat *flat, size_t table, unsigned field,
                                     size_t item_size);
/* Item of a vector of tables. */
size_t us_flat_item(struct us_flat *flat, struct us_flat_vector vector, uint32_t index);

#endif
