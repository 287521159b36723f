#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

/* A record's bytes: magic, counts, digests, witnesses, seconds, then the key's fields for explain.
 */
static const char magic[8] = "usrec01\n";

struct reader {
    const uint8_t *bytes;
    size_t left;
};

static bool take(struct reader *reader, void *to, size_t size) {
    if (reader->left < size) {
        return false;
    }
    memcpy(to, reader->bytes, size);
    reader->bytes += size;
    reader->left -= size;
    return true;
}

static bool parse(const uint8_t *bytes, size_t size, size_t outputs, struct record *record) {
    struct reader reader = {bytes, size};
    char head[8];
    uint32_t counts[2];
    if (!take(&reader, head, 8) || memcmp(head, magic, 8) != 0 ||
        !take(&reader, counts, sizeof counts) || counts[0] != outputs || counts[0] > MAX_OUTPUTS ||
        counts[1] > MAX_WITNESSES) {
        return false;
    }
    record->output_count = counts[0];
    record->witness_count = counts[1];
    return take(&reader, record->outputs, counts[0] * sizeof *record->outputs) &&
           take(&reader, record->witnesses, counts[1] * sizeof *record->witnesses) &&
           take(&reader, &record->seconds, sizeof record->seconds);
}

struct us_error *load_record(struct us_run *run, const struct us_digest *key, size_t outputs,
                             struct record *record, bool *found) {
    uint8_t *bytes;
    size_t size;
    US_TRY(run->store->ops->find_record(run->store, key, &bytes, &size));
    *found = bytes && parse(bytes, size, outputs, record);
    us_free(bytes);
    return NULL;
}

struct us_error *store_record(struct us_run *run, const struct us_digest *key,
                              const struct record *record, const struct us_str *fields, bool *won) {
    struct us_str out = {0};
    uint32_t counts[2] = {(uint32_t)record->output_count, (uint32_t)record->witness_count};
    us_str_append_bytes(&out, magic, sizeof magic);
    us_str_append_bytes(&out, counts, sizeof counts);
    us_str_append_bytes(&out, record->outputs, record->output_count * sizeof *record->outputs);
    us_str_append_bytes(&out, record->witnesses, record->witness_count * sizeof *record->witnesses);
    us_str_append_bytes(&out, &record->seconds, sizeof record->seconds);
    if (fields) {
        us_str_append_bytes(&out, fields->data, fields->length);
    }
    struct us_error *error =
        run->store->ops->put_record(run->store, key, NULL, out.data, out.length, won);
    us_str_finish(&out);
    return error;
}

static void add_witness(struct us_run *run, struct task *task, void *context) {
    struct record *record = context;
    if (!run->nodes[task->node].volatile_above) {
        return;
    }
    if (!task_node(run, task)->type->volatile_result) {
        each_input(run, task, add_witness, context);
        return;
    }
    if (!task->digests) {
        return;
    }
    struct witness witness = {task->plan_key, task->digests[0]};
    for (size_t i = 0; i < record->witness_count; i++) {
        if (memcmp(&record->witnesses[i], &witness, sizeof witness) == 0) {
            return;
        }
    }
    if (record->witness_count == MAX_WITNESSES) {
        US_BUG("more than %d volatile nodes above one task", MAX_WITNESSES);
    }
    record->witnesses[record->witness_count++] = witness;
}

void collect_witnesses(struct us_run *run, const struct task *task, struct record *record) {
    record->witness_count = 0;
    if (run->nodes[task->node].volatile_above) {
        each_input(run, task, add_witness, record);
    }
}

struct us_error *witnesses_stand(struct us_run *run, const struct record *record, bool *stand) {
    *stand = true;
    for (size_t i = 0; i < record->witness_count && *stand; i++) {
        const struct witness *witness = &record->witnesses[i];
        uint8_t *bytes;
        size_t size;
        US_TRY(run->store->ops->find_record(run->store, &witness->plan_key, &bytes, &size));
        *stand = bytes && size >= 32 && memcmp(bytes, magic, 8) == 0 &&
                 memcmp(bytes + 16, witness->digest.bytes, 16) == 0;
        us_free(bytes);
    }
    return NULL;
}
