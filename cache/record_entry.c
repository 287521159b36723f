#include "cache/record_entry.h"

#include <string.h>

enum {
    KIND_AT = 4,
    COUNT_AT = 5,
    TYPE_AT = 6,
    SHOW_AT = 7,
    SIZE_AT = 8,
    KEY_AT = 16,
    WHEN_AT = 32,
    SECONDS_AT = 40,
    PAYLOAD_AT = 48,
    CHECK_AT = 56,
    TEXT_MAX = 255
};
static const uint64_t size_max = UINT64_C(1) << 32;
static const char magic[4] = {'U', 'S', 'e', '1'};

void us_put_le(uint8_t *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

uint64_t us_get_le(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) {
        value = value << 8 | at[i];
    }
    return value;
}

uint64_t us_half_sum(const struct us_digest *sum) {
    return us_get_le(sum->bytes, 8);
}

static uint64_t header_check(const uint8_t *header) {
    struct us_digest sum = us_digest_of(header, CHECK_AT);
    return us_half_sum(&sum);
}

static size_t text_length(const char *text) {
    return text ? strnlen(text, TEXT_MAX) : 0;
}

static size_t body_size(size_t objects, size_t type, size_t show, size_t payload) {
    return objects * (sizeof(struct us_digest) + 8) + type + show + 2 + payload;
}

static size_t padded(size_t size) {
    return (size + 7) & ~(size_t)7;
}

void us_entry_encode(struct us_str *out, const struct us_entry *entry, struct us_digest *sum) {
    static const char zeros[8];
    const struct us_record_note *note = &entry->note;
    size_t type = text_length(note->type), show = text_length(note->show);
    size_t objects = note->object_count < US_ENTRY_OBJECTS ? note->object_count : US_ENTRY_OBJECTS;
    size_t body = body_size(objects, type, show, entry->payload_size), start = out->length;
    uint8_t header[US_ENTRY_HEADER] = {0};
    memcpy(header, magic, sizeof magic);
    header[KIND_AT] = (uint8_t)entry->kind;
    header[COUNT_AT] = (uint8_t)objects;
    header[TYPE_AT] = (uint8_t)type;
    header[SHOW_AT] = (uint8_t)show;
    us_put_le(header + SIZE_AT, US_ENTRY_HEADER + padded(body) + US_ENTRY_SUM, 8);
    memcpy(header + KEY_AT, entry->key.bytes, sizeof entry->key.bytes);
    us_put_le(header + WHEN_AT, (uint64_t)entry->when, 8);
    uint64_t seconds;
    memcpy(&seconds, &note->seconds, sizeof seconds);
    us_put_le(header + SECONDS_AT, seconds, 8);
    us_put_le(header + PAYLOAD_AT, entry->payload_size, 4);
    us_put_le(header + CHECK_AT, header_check(header), 8);
    us_str_append_bytes(out, header, sizeof header);
    us_str_append_bytes(out, note->objects, objects * sizeof *note->objects);
    for (size_t i = 0; i < objects; i++) {
        uint8_t size[8];
        us_put_le(size, note->sizes ? note->sizes[i] : 0, 8);
        us_str_append_bytes(out, size, sizeof size);
    }
    us_str_append_bytes(out, note->type, type);
    us_str_append_bytes(out, zeros, 1);
    us_str_append_bytes(out, note->show, show);
    us_str_append_bytes(out, zeros, 1);
    us_str_append_bytes(out, entry->payload, entry->payload_size);
    us_str_append_bytes(out, zeros, padded(body) - body);
    *sum = us_digest_of(out->data + start, out->length - start);
    us_str_append_bytes(out, sum->bytes, sizeof sum->bytes);
}

void us_entry_table_header(uint64_t size, uint8_t header[US_ENTRY_HEADER]) {
    memset(header, 0, US_ENTRY_HEADER);
    memcpy(header, magic, sizeof magic);
    header[KIND_AT] = US_ENTRY_TABLE;
    us_put_le(header + SIZE_AT, size, 8);
    us_put_le(header + CHECK_AT, header_check(header), 8);
}

static enum us_entry_state decode_header(const uint8_t *bytes, size_t available,
                                         struct us_entry *entry) {
    if (available < US_ENTRY_HEADER) {
        return US_ENTRY_CUT;
    }
    if (memcmp(bytes, magic, sizeof magic) != 0 ||
        us_get_le(bytes + CHECK_AT, 8) != header_check(bytes)) {
        return US_ENTRY_GARBAGE;
    }
    entry->kind = (enum us_entry_kind)bytes[KIND_AT];
    entry->size = us_get_le(bytes + SIZE_AT, 8);
    entry->payload_size = (size_t)us_get_le(bytes + PAYLOAD_AT, 4);
    size_t body = body_size(bytes[COUNT_AT], bytes[TYPE_AT], bytes[SHOW_AT], entry->payload_size);
    bool table = entry->kind == US_ENTRY_TABLE;
    if (bytes[COUNT_AT] > US_ENTRY_OBJECTS || entry->size % 8 ||
        (table ? entry->size < US_ENTRY_HEADER + US_ENTRY_SUM
               : entry->size != US_ENTRY_HEADER + padded(body) + US_ENTRY_SUM ||
                     entry->size > size_max)) {
        return US_ENTRY_GARBAGE;
    }
    memcpy(entry->key.bytes, bytes + KEY_AT, sizeof entry->key.bytes);
    entry->when = (int64_t)us_get_le(bytes + WHEN_AT, 8);
    return US_ENTRY_FINE;
}

static void decode_note(const uint8_t *bytes, struct us_entry *entry) {
    struct us_record_note *note = &entry->note;
    uint64_t seconds = us_get_le(bytes + SECONDS_AT, 8);
    memcpy(&note->seconds, &seconds, sizeof seconds);
    note->object_count = bytes[COUNT_AT];
    const uint8_t *at = bytes + US_ENTRY_HEADER;
    note->objects = (const struct us_digest *)at;
    at += note->object_count * sizeof *note->objects;
    for (size_t i = 0; i < note->object_count; i++, at += 8) {
        entry->sizes[i] = us_get_le(at, 8);
    }
    note->sizes = entry->sizes;
    note->type = (const char *)at;
    note->show = note->type + bytes[TYPE_AT] + 1;
    entry->payload = (const uint8_t *)note->show + bytes[SHOW_AT] + 1;
}

enum us_entry_state us_entry_decode(const uint8_t *bytes, size_t available,
                                    struct us_entry *entry) {
    enum us_entry_state state = decode_header(bytes, available, entry);
    if (state != US_ENTRY_FINE) {
        return state;
    }
    if (entry->kind == US_ENTRY_TABLE) {
        return US_ENTRY_FINE;
    }
    if (entry->size > available) {
        return US_ENTRY_CUT;
    }
    size_t summed = (size_t)entry->size - US_ENTRY_SUM;
    entry->sum = us_digest_of(bytes, summed);
    if (memcmp(entry->sum.bytes, bytes + summed, sizeof entry->sum.bytes) != 0) {
        return US_ENTRY_BROKEN;
    }
    decode_note(bytes, entry);
    bool ended = !entry->note.type[bytes[TYPE_AT]] && !entry->note.show[bytes[SHOW_AT]];
    return ended ? US_ENTRY_FINE : US_ENTRY_BROKEN;
}

void us_entry_view(const struct us_entry *entry, struct us_record_view *view) {
    *view = (struct us_record_view){.key = entry->key,
                                    .note = entry->note,
                                    .when = entry->when / 1000000000,
                                    .bytes = (size_t)entry->size,
                                    .is_object = entry->kind == US_ENTRY_OBJECT};
    view->note.sizes = entry->sizes;
}
