#include <string.h>

#include "cache/remote_internal.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"

/* magic, version, kind, key, length, checksum of kind, key, length and bytes; numbers
 * little-endian */
enum { VERSION = 1, VERSION_AT = 8, KIND_AT = 12, KEY_AT = 16, LENGTH_AT = 32, SUM_AT = 40 };
static const uint8_t magic[8] = {'U', 'S', 'R', 'E', 'M', 'O', 'T', 'E'};

static void put_number(uint8_t *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get_number(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) {
        value = value << 8 | at[i];
    }
    return value;
}

static struct us_digest checksum(enum remote_kind kind, const struct us_digest *key,
                                 const struct remote_part *parts, size_t count, uint64_t length) {
    struct us_hasher *hasher = us_hasher_create();
    us_hasher_int(hasher, kind);
    us_hasher_digest(hasher, key);
    us_hasher_int(hasher, (int64_t)length);
    for (size_t i = 0; i < count; i++) {
        us_hasher_bytes(hasher, parts[i].bytes, parts[i].size);
    }
    struct us_digest sum = us_hasher_finish(hasher);
    us_hasher_destroy(hasher);
    return sum;
}

void remote_frame_write(enum remote_kind kind, const struct us_digest *key,
                        const struct remote_part *parts, size_t count,
                        uint8_t header[REMOTE_HEADER]) {
    uint64_t length = 0;
    for (size_t i = 0; i < count; i++) {
        length += parts[i].size;
    }
    memcpy(header, magic, 8);
    put_number(header + VERSION_AT, VERSION, 4);
    put_number(header + KIND_AT, kind, 4);
    memcpy(header + KEY_AT, key->bytes, sizeof key->bytes);
    put_number(header + LENGTH_AT, length, 8);
    struct us_digest sum = checksum(kind, key, parts, count, length);
    memcpy(header + SUM_AT, sum.bytes, sizeof sum.bytes);
}

const char *remote_frame_read(const uint8_t header[REMOTE_HEADER], enum remote_kind kind,
                              const struct us_digest *key, uint64_t *length) {
    *length = get_number(header + LENGTH_AT, 8);
    if (memcmp(header, magic, 8) != 0) {
        return "it is not one of ours";
    }
    if (get_number(header + VERSION_AT, 4) != VERSION) {
        return "it has another version";
    }
    if (get_number(header + KIND_AT, 4) != kind ||
        memcmp(header + KEY_AT, key->bytes, sizeof key->bytes) != 0) {
        return "it is another one's";
    }
    return NULL;
}

const char *remote_frame_check(const uint8_t header[REMOTE_HEADER], enum remote_kind kind,
                               const struct us_digest *key, const void *bytes, size_t size) {
    uint64_t length;
    const char *trouble = remote_frame_read(header, kind, key, &length);
    if (trouble) {
        return trouble;
    }
    if (length != size) {
        return "it is cut short";
    }
    struct us_digest sum = checksum(kind, key, &(struct remote_part){bytes, size}, 1, size);
    return memcmp(sum.bytes, header + SUM_AT, sizeof sum.bytes) == 0 ? NULL
                                                                     : "its checksum is wrong";
}

/* The note: its length, and when that is not 0, seconds, objects, sizes, type and show. */
enum { NOTE_HEAD = 4, OBJECTS_MAX = 16 };

static void append_number(struct us_str *out, uint64_t value, int bytes) {
    uint8_t number[8];
    put_number(number, value, bytes);
    us_str_append_bytes(out, number, (size_t)bytes);
}

static void append_text(struct us_str *out, const char *text, size_t room) {
    size_t length = text ? strnlen(text, room - 1) : 0;
    append_number(out, length, 4);
    us_str_append_bytes(out, text ? text : "", length);
}

uint8_t *remote_note_write(const struct us_record_note *note, size_t *size) {
    struct us_str out = {0};
    append_number(&out, 0, NOTE_HEAD);
    if (note) {
        uint64_t seconds;
        memcpy(&seconds, &note->seconds, sizeof seconds);
        append_number(&out, seconds, 8);
        size_t count = note->object_count < OBJECTS_MAX ? note->object_count : OBJECTS_MAX;
        append_number(&out, count, 4);
        for (size_t i = 0; i < count; i++) {
            us_str_append_bytes(&out, note->objects[i].bytes, sizeof note->objects[i].bytes);
            append_number(&out, note->sizes ? note->sizes[i] : 0, 8);
        }
        append_text(&out, note->type, sizeof((struct remote_note *)NULL)->type);
        append_text(&out, note->show, sizeof((struct remote_note *)NULL)->show);
        put_number((uint8_t *)out.data, out.length - NOTE_HEAD, NOTE_HEAD);
    }
    *size = out.length;
    return (uint8_t *)us_str_take(&out);
}

struct reader {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static const uint8_t *take(struct reader *reader, size_t size) {
    static const uint8_t none[16];
    if (size > reader->left || reader->failed) {
        reader->failed = true;
        return none;
    }
    const uint8_t *at = reader->at;
    reader->at += size;
    reader->left -= size;
    return at;
}

static void take_text(struct reader *reader, char *text, size_t room) {
    size_t length = get_number(take(reader, 4), 4);
    if (length >= room || length > reader->left) {
        reader->failed = true;
        length = 0;
    }
    memcpy(text, take(reader, length), length);
    text[length] = '\0';
}

size_t remote_note_read(const uint8_t *bytes, size_t size, struct remote_note *note) {
    *note = (struct remote_note){0};
    size_t length = size < NOTE_HEAD ? SIZE_MAX : get_number(bytes, NOTE_HEAD);
    if (length == SIZE_MAX || length > size - NOTE_HEAD) {
        return 0;
    }
    if (!length) {
        return NOTE_HEAD;
    }
    struct reader reader = {bytes + NOTE_HEAD, length, false};
    uint64_t seconds = get_number(take(&reader, 8), 8);
    memcpy(&note->note.seconds, &seconds, sizeof seconds);
    size_t count = get_number(take(&reader, 4), 4);
    if (count > OBJECTS_MAX) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(note->objects[i].bytes, take(&reader, 16), 16);
        note->sizes[i] = get_number(take(&reader, 8), 8);
    }
    take_text(&reader, note->type, sizeof note->type);
    take_text(&reader, note->show, sizeof note->show);
    if (reader.failed || reader.left || !(note->note.seconds >= 0) || note->note.seconds > 1e12) {
        return 0;
    }
    note->given = true;
    note->note.type = note->type;
    note->note.show = note->show;
    note->note.objects = note->objects;
    note->note.sizes = note->sizes;
    note->note.object_count = count;
    return NOTE_HEAD + length;
}
