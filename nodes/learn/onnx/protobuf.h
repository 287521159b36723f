/* Reading and writing protobuf messages without trusting them and without generated code.
 *
 * A reader walks the fields of one message; a submessage is another reader over its bytes, so
 * nesting is as deep as the caller's code and no deeper. A bad tag, length or number sets `broken`
 * and ends the walk. Fields of the old "group" encoding are refused.
 * Source: the protobuf encoding document (varints, tags, length-delimited records). */
#ifndef US_NODES_LEARN_ONNX_PROTOBUF_H
#define US_NODES_LEARN_ONNX_PROTOBUF_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/base/str.h"

struct us_proto {
    const uint8_t *at, *end;
    bool broken;
};

/* What the wire says a field is; other kinds do not exist. */
enum us_wire { US_WIRE_VARINT = 0, US_WIRE_64 = 1, US_WIRE_BYTES = 2, US_WIRE_32 = 5 };

struct us_field {
    uint32_t number;
    enum us_wire wire;
    uint64_t value;       /* of a varint, or the bits of a fixed one; 0 for bytes */
    struct us_proto body; /* of US_WIRE_BYTES; empty for the others */
};

struct us_proto us_proto_over(const uint8_t *bytes, size_t size);
/* The next field; false at the end and when the message is broken. */
bool us_proto_next(struct us_proto *message, struct us_field *field);
/* The next bare number of a packed list; false at its end and when it is broken. */
bool us_proto_packed(struct us_proto *list, enum us_wire wire, uint64_t *value);
/* How many fields of that number a message has. */
size_t us_proto_count(struct us_proto message, uint32_t number);
/* NULL when the walk came to the end, else "the file is damaged in <what>". */
struct us_error *us_proto_end(const struct us_proto *message, const char *what) US_NODISCARD;

/* Writing appends to a byte string. Length-delimited fields are written from finished bytes. */
void us_proto_put_int(struct us_str *out, uint32_t number, int64_t value);
void us_proto_put_float(struct us_str *out, uint32_t number, float value);
void us_proto_put_bytes(struct us_str *out, uint32_t number, const void *bytes, size_t size);
void us_proto_put_text(struct us_str *out, uint32_t number, const char *text);
/* Appends `message` as a field and empties it. */
void us_proto_put_message(struct us_str *out, uint32_t number, struct us_str *message);
/* The head alone of a field of `size` bytes, which the caller appends. */
void us_proto_put_head(struct us_str *out, uint32_t number, size_t size);

#endif
