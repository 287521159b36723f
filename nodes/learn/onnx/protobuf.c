#include "nodes/learn/onnx/protobuf.h"

#include <string.h>

struct us_proto us_proto_over(const uint8_t *bytes, size_t size) {
    return (struct us_proto){bytes, bytes + size, false};
}

static uint64_t read_varint(struct us_proto *message) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && message->at < message->end; shift += 7) {
        const uint8_t byte = *message->at++;
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    message->broken = true;
    return 0;
}

static uint64_t read_fixed(struct us_proto *message, size_t size) {
    if ((size_t)(message->end - message->at) < size) {
        message->broken = true;
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = size; i > 0; i--) {
        value = value << 8 | message->at[i - 1];
    }
    message->at += size;
    return value;
}

static uint64_t read_number(struct us_proto *message, enum us_wire wire) {
    return wire == US_WIRE_VARINT ? read_varint(message)
           : wire == US_WIRE_64   ? read_fixed(message, 8)
                                  : read_fixed(message, 4);
}

static struct us_proto read_body(struct us_proto *message) {
    const uint64_t length = read_varint(message);
    const struct us_proto none = {message->end, message->end, false};
    if (message->broken || length > (uint64_t)(message->end - message->at)) {
        message->broken = true;
        return none;
    }
    const struct us_proto body = us_proto_over(message->at, (size_t)length);
    message->at += length;
    return body;
}

bool us_proto_next(struct us_proto *message, struct us_field *field) {
    if (message->broken || message->at == message->end) {
        return false;
    }
    const uint64_t tag = read_varint(message);
    const unsigned wire = tag & 7;
    *field = (struct us_field){.number = (uint32_t)(tag >> 3), .wire = (enum us_wire)wire};
    if (tag >> 32 || tag >> 3 == 0 || wire == 3 || wire == 4 || wire > 5) {
        message->broken = true;
    } else if (wire == US_WIRE_BYTES) {
        field->body = read_body(message);
    } else {
        field->value = read_number(message, field->wire);
    }
    return !message->broken;
}

bool us_proto_packed(struct us_proto *list, enum us_wire wire, uint64_t *value) {
    if (list->broken || list->at == list->end) {
        return false;
    }
    const uint64_t number = read_number(list, wire);
    if (!list->broken) {
        *value = number; /* the caller has room for the good ones only */
    }
    return !list->broken;
}

size_t us_proto_count(struct us_proto message, uint32_t number) {
    struct us_field field;
    size_t count = 0;
    while (us_proto_next(&message, &field)) {
        count += field.number == number;
    }
    return count;
}

struct us_error *us_proto_end(const struct us_proto *message, const char *what) {
    return message->broken ? us_fail(US_CORRUPT, "the file is damaged in %s", what) : NULL;
}

static void put_varint(struct us_str *out, uint64_t value) {
    uint8_t bytes[10];
    size_t count = 0;
    do {
        bytes[count] = (uint8_t)(value & 0x7f);
        value >>= 7;
        bytes[count++] |= value ? 0x80 : 0;
    } while (value);
    us_str_append_bytes(out, bytes, count);
}

static void put_tag(struct us_str *out, uint32_t number, enum us_wire wire) {
    put_varint(out, (uint64_t)number << 3 | wire);
}

void us_proto_put_int(struct us_str *out, uint32_t number, int64_t value) {
    put_tag(out, number, US_WIRE_VARINT);
    put_varint(out, (uint64_t)value);
}

void us_proto_put_float(struct us_str *out, uint32_t number, float value) {
    uint32_t bits;
    uint8_t bytes[4];
    memcpy(&bits, &value, sizeof bits);
    for (size_t i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(bits >> (8 * i));
    }
    put_tag(out, number, US_WIRE_32);
    us_str_append_bytes(out, bytes, sizeof bytes);
}

void us_proto_put_head(struct us_str *out, uint32_t number, size_t size) {
    put_tag(out, number, US_WIRE_BYTES);
    put_varint(out, size);
}

void us_proto_put_bytes(struct us_str *out, uint32_t number, const void *bytes, size_t size) {
    us_proto_put_head(out, number, size);
    us_str_append_bytes(out, bytes, size);
}

void us_proto_put_text(struct us_str *out, uint32_t number, const char *text) {
    us_proto_put_bytes(out, number, text, strlen(text));
}

void us_proto_put_message(struct us_str *out, uint32_t number, struct us_str *message) {
    us_proto_put_bytes(out, number, us_str_text(message), message->length);
    us_str_clear(message);
}
