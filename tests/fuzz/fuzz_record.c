/* libFuzzer target of records: the bytes are what the cache says it kept under a key, or what a
 * server sent, behind a note. They are read in every way that the runtime reads a record: results,
 * witnesses, reason and key fields. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cache/remote_internal.h"
#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Every key has the same record, every digest the same object. */
struct one_store {
    struct us_store store;
    const uint8_t *bytes;
    size_t size;
};

static uint8_t *copy_of(const uint8_t *bytes, size_t size) {
    uint8_t *copy = us_malloc(size + 1);
    if (size) {
        memcpy(copy, bytes, size);
    }
    copy[size] = '\0';
    return copy;
}

static struct us_error *find_record(struct us_store *store, const struct us_digest *key,
                                    uint8_t **bytes, size_t *size) {
    const struct one_store *one = (struct one_store *)store;
    (void)key;
    *size = one->size;
    *bytes = copy_of(one->bytes, one->size);
    return NULL;
}

static struct us_error *get_object(struct us_store *store, const struct us_digest *digest,
                                   uint8_t **bytes, size_t *size) {
    static const uint8_t prefix[] = {4, 0, 0, 0, 't', 'y', 'p', 'e', 1, 0, 0, 0, 'x'};
    (void)store;
    *size = digest->bytes[0] % (sizeof prefix + 1);
    *bytes = digest->bytes[1] == 7 ? NULL : copy_of(prefix, *size);
    return NULL;
}

static const struct us_store_ops ops = {.find_record = find_record, .get_object = get_object};

static void read_fields(const struct us_str *fields) {
    struct field field;
    size_t at = 0, total = 0, before = 0;
    while (next_field(us_str_text(fields), fields->length, &at, &field)) {
        if (at <= before || at > fields->length) {
            abort();
        }
        before = at;
        for (size_t i = 0; i < field.name_size; i++) {
            total += (unsigned char)field.name[i];
        }
        for (size_t i = 0; i < field.value_size; i++) {
            total += (unsigned char)field.value[i];
        }
    }
    volatile size_t sum = total;
    (void)sum;
}

static void read_record(struct us_run *run, size_t outputs) {
    static const struct us_digest key;
    struct record record;
    bool found, stand;
    if (load_record(run, &key, outputs, &record, &found)) {
        abort();
    }
    if (!found) {
        return;
    }
    if (record.output_count != outputs || record.witness_count > MAX_WITNESSES ||
        !(record.seconds >= 0 && record.seconds + record.remake_seconds <= 2e12) ||
        witnesses_stand(run, &record, &stand)) {
        abort();
    }
}

/* The size of the note in front, if there is one. */
static size_t read_note(const uint8_t *bytes, size_t size) {
    struct remote_note note;
    const size_t length = remote_note_read(bytes, size, &note);
    if (length > size || (note.given && !length)) {
        abort();
    }
    if (note.given && (note.note.object_count > 16 || strlen(note.note.type) >= sizeof note.type ||
                       strlen(note.note.show) >= sizeof note.show || !(note.note.seconds >= 0))) {
        abort();
    }
    return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const struct us_digest key;
    const size_t note = read_note(bytes, size);
    struct one_store one = {.store.ops = &ops, .bytes = bytes + note, .size = size - note};
    struct us_run *run = us_calloc(1, sizeof *run);
    struct us_str fields = {0}, why = {0};
    run->store = &one.store;
    for (size_t outputs = 0; outputs <= 4; outputs++) {
        read_record(run, outputs);
    }
    if (record_fields(run, &key, &fields, &why)) {
        read_fields(&fields);
    }
    us_str_finish(&fields);
    us_str_finish(&why);
    us_free(run);
    return 0;
}
