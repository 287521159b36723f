#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

/* A record's bytes: magic, counts, flags, seconds, outputs with sizes, witnesses; then, for
 * explain, why the task ran (length and text), the object that holds the fields' beginning, which
 * many records share, and the rest of the fields. Numbers as the machine has them: little-endian.
 */
static const char magic[8] = "usrec02\n";
enum { UNSTORED = 1 };

struct head {
    char magic[8];
    uint32_t output_count, witness_count, flags, why_size;
    double seconds, remake_seconds;
};

struct reader {
    const uint8_t *bytes;
    size_t left;
};

static bool take(struct reader *reader, void *to, size_t size) {
    if (reader->left < size) {
        return false;
    }
    if (size) {
        memcpy(to, reader->bytes, size);
    }
    reader->bytes += size;
    reader->left -= size;
    return true;
}

/* Durations are added, divided and cast: what cannot be one counts as none. */
static double usable_seconds(double seconds) {
    return seconds >= 0 && seconds <= 1e12 ? seconds : 0;
}

static bool parse_results(struct reader *reader, struct head *head, struct record *record) {
    if (!take(reader, head, sizeof *head) || memcmp(head->magic, magic, sizeof magic) != 0 ||
        head->output_count > MAX_OUTPUTS || head->witness_count > MAX_WITNESSES) {
        return false;
    }
    record->output_count = head->output_count;
    record->witness_count = head->witness_count;
    record->seconds = usable_seconds(head->seconds);
    record->remake_seconds = usable_seconds(head->remake_seconds);
    record->unstored = head->flags & UNSTORED;
    return take(reader, record->outputs, head->output_count * sizeof *record->outputs) &&
           take(reader, record->sizes, head->output_count * sizeof *record->sizes) &&
           take(reader, record->witnesses, head->witness_count * sizeof *record->witnesses);
}

bool parse_record(const uint8_t *bytes, size_t size, size_t outputs, struct record *record) {
    struct reader reader = {bytes, size};
    struct head head;
    return parse_results(&reader, &head, record) && record->output_count == outputs;
}

struct us_error *load_record(struct us_run *run, const struct us_digest *key, size_t outputs,
                             struct record *record, bool *found) {
    uint8_t *bytes;
    size_t size;
    US_TRY(run->store->ops->find_record(run->store, key, &bytes, &size));
    *found = bytes && parse_record(bytes, size, outputs, record);
    us_free(bytes);
    return NULL;
}

/* The fields' beginning is an object of its own, put once a node and run, before any record. */
static struct us_error *put_prefix(struct us_run *run, const struct task *task) {
    struct node_prefix *prefix = run->nodes[task->node].prefix;
    if (!prefix || prefix->known || atomic_load_explicit(&prefix->stored, memory_order_relaxed)) {
        return NULL;
    }
    US_TRY(run->store->ops->put_object(run->store, &prefix->digest, prefix->fields.data,
                                       prefix->fields.length));
    atomic_store_explicit(&prefix->stored, true, memory_order_relaxed);
    return NULL;
}

static struct us_record_note note_of(const struct us_run *run, const struct task *task,
                                     const struct record *record) {
    struct us_record_note note = {.type = task_node(run, task)->type->name,
                                  .show = run->graph->show,
                                  .seconds = record->remake_seconds > record->seconds
                                                 ? record->remake_seconds
                                                 : record->seconds};
    if (task_is_stored(run, task) && !record->unstored) {
        note.objects = record->outputs;
        note.sizes = record->sizes;
        note.object_count = record->output_count;
    }
    return note;
}

bool was_made_somewhere(struct us_run *run, const struct task *task) {
    struct node_prefix *prefix = run->nodes[task->node].prefix;
    if (!prefix) {
        return true;
    }
    if (!prefix->asked) {
        prefix->asked = true;
        prefix->known = run->store->ops->has_object(run->store, &prefix->digest);
    }
    return prefix->known;
}

struct us_error *store_record(struct us_run *run, const struct task *task,
                              const struct us_digest *key, const struct record *record,
                              const struct us_str *fields, bool *won) {
    const char *why = fields && task->why ? task->why : "";
    struct head head = {.output_count = (uint32_t)record->output_count,
                        .witness_count = (uint32_t)record->witness_count,
                        .flags = record->unstored ? UNSTORED : 0,
                        .why_size = (uint32_t)strlen(why),
                        .seconds = record->seconds,
                        .remake_seconds = record->remake_seconds};
    memcpy(head.magic, magic, sizeof magic);
    US_TRY(put_prefix(run, task));
    struct us_str out = {0};
    us_str_append_bytes(&out, &head, sizeof head);
    us_str_append_bytes(&out, record->outputs, record->output_count * sizeof *record->outputs);
    us_str_append_bytes(&out, record->sizes, record->output_count * sizeof *record->sizes);
    us_str_append_bytes(&out, record->witnesses, record->witness_count * sizeof *record->witnesses);
    us_str_append(&out, why);
    if (fields) {
        const struct us_digest none = {0};
        const struct node_prefix *prefix = run->nodes[task->node].prefix;
        const size_t shared = prefix ? prefix->fields.length : 0;
        us_str_append_bytes(&out, prefix ? &prefix->digest : &none, sizeof none);
        us_str_append_bytes(&out, fields->data + shared, fields->length - shared);
    }
    struct us_record_note note = note_of(run, task, record);
    /* The record under the action key, which the lease is for, decides who was first; where there
     * is no lease nothing is decided. Below a training, though, the next task takes its witnesses
     * from this one. */
    note.relaxed = fields || !task_is_leased(run, task);
    note.later = note.relaxed && !run->nodes[task->node].volatile_above;
    struct us_error *error =
        run->store->ops->put_record(run->store, key, &note, out.data, out.length, won);
    us_str_finish(&out);
    return error;
}

/* Puts the shared beginning in; false when it is no longer there. */
static bool read_prefix(struct us_run *run, const struct us_digest *digest, struct us_str *fields) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (us_digest_is_zero(digest)) {
        return true;
    }
    struct us_error *error = run->store->ops->get_object(run->store, digest, &bytes, &size);
    us_error_free(error);
    if (!error && bytes) {
        us_str_append_bytes(fields, bytes, size);
    }
    us_free(error ? NULL : bytes);
    return !error && bytes;
}

bool record_fields(struct us_run *run, const struct us_digest *key, struct us_str *fields,
                   struct us_str *why) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct us_error *error = run->store->ops->find_record(run->store, key, &bytes, &size);
    if (error || !bytes) {
        us_error_free(error);
        return false;
    }
    struct reader reader = {bytes, size};
    struct head head;
    struct record record;
    struct us_digest prefix;
    bool fine = parse_results(&reader, &head, &record) && reader.left >= head.why_size;
    if (fine) {
        us_str_append_bytes(why, reader.bytes, head.why_size);
        reader.bytes += head.why_size;
        reader.left -= head.why_size;
        fine = take(&reader, &prefix, sizeof prefix) && read_prefix(run, &prefix, fields);
    }
    if (fine) {
        us_str_append_bytes(fields, reader.bytes, reader.left);
    }
    us_free(bytes);
    return fine;
}

/* A count above MAX_WITNESSES: there are more. */
static void add_witness(struct record *record, const struct witness *witness) {
    if (record->witness_count > MAX_WITNESSES) {
        return;
    }
    for (size_t i = 0; i < record->witness_count; i++) {
        if (memcmp(&record->witnesses[i], witness, sizeof *witness) == 0) {
            return;
        }
    }
    if (record->witness_count < MAX_WITNESSES) {
        record->witnesses[record->witness_count] = *witness;
    }
    record->witness_count++;
}

/* The record under an input's plan key says it all; where the plan's walk ended there, nothing else
 * is known of what is above it. */
/* A training that was found under its action key, with or without its bytes. */
static void add_own_witness(struct us_run *run, const struct task *task, struct record *record) {
    if (!task_node(run, task)->type->volatile_result || !task->digests) {
        return;
    }
    struct us_str fields = {0};
    struct us_error *error = action_fields(run, task, false, &fields);
    if (!error) {
        const struct witness own = {key_of("understudy action 1", &fields), task->digests[0]};
        add_witness(record, &own);
    }
    us_error_free(error);
    us_str_finish(&fields);
}

static void add_witnesses(struct us_run *run, struct task *task, void *context) {
    struct record *record = context, above;
    bool found = false;
    if (!run->nodes[task->node].volatile_above || record->witness_count > MAX_WITNESSES) {
        return;
    }
    const size_t outputs = (size_t)us_port_count(task_node(run, task)->type->outputs);
    us_error_free(load_record(run, &task->plan_key, outputs, &above, &found));
    for (size_t i = 0; found && i < above.witness_count; i++) {
        add_witness(record, &above.witnesses[i]);
    }
    if (!found) {
        each_input(run, task, add_witnesses, context);
        add_own_witness(run, task, record);
    }
}

bool collect_witnesses(struct us_run *run, const struct task *task,
                       const struct us_digest *action_key, struct record *record) {
    record->witness_count = 0;
    if (run->nodes[task->node].volatile_above) {
        each_input(run, task, add_witnesses, record);
    }
    if (task_node(run, task)->type->volatile_result) {
        add_witness(record, &(struct witness){*action_key, record->outputs[0]});
    }
    return record->witness_count <= MAX_WITNESSES;
}

struct us_error *witnesses_stand(struct us_run *run, const struct record *record, bool *stand) {
    *stand = true;
    for (size_t i = 0; i < record->witness_count && *stand; i++) {
        const struct witness *witness = &record->witnesses[i];
        struct record now;
        uint8_t *bytes;
        size_t size;
        US_TRY(run->store->ops->find_record(run->store, &witness->action_key, &bytes, &size));
        struct reader reader = {bytes, size};
        struct head head;
        *stand = bytes && parse_results(&reader, &head, &now) && now.output_count &&
                 us_digest_equal(&now.outputs[0], &witness->digest);
        us_free(bytes);
    }
    return NULL;
}
