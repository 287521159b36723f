#include "cache/record_table.h"

#include <string.h>

#include "runtime/base/mem.h"

enum { START = 64 };
static const uint32_t gone = UINT32_MAX; /* a row's kind: it stands no more */

void us_table_finish(struct us_record_table *table) {
    us_free(table->rows);
    us_free(table->slots);
    us_free(table->drops);
    *table = (struct us_record_table){0};
}

static size_t hash_of(const struct us_digest *key) {
    size_t hash;
    memcpy(&hash, key->bytes, sizeof hash);
    return hash;
}

bool us_row_before(const struct us_row *a, const struct us_row *b) {
    return a->when != b->when ? a->when < b->when : a->sum < b->sum;
}

/* The slot's tag: the half of the hash that does not say where it is. */
static uint32_t tag_of(size_t hash) {
    return (uint32_t)(hash >> 32);
}

static void insert(struct us_record_table *table, uint32_t index) {
    const size_t hash = hash_of(&table->rows[index].row.key), mask = table->slot_count - 1;
    size_t at = hash & mask;
    while (table->slots[at].row) {
        at = (at + 1) & mask;
    }
    table->slots[at] = (struct us_table_slot){.row = index + 1, .tag = tag_of(hash)};
}

static void make_slots(struct us_record_table *table, size_t count) {
    us_free(table->slots);
    table->slot_count = count;
    table->slots = us_calloc(count, sizeof *table->slots);
    for (size_t i = 0; i < table->count; i++) {
        insert(table, (uint32_t)i);
    }
}

void us_table_add(struct us_record_table *table, const struct us_row *row,
                  struct us_record_file *file) {
    if (us_table_dropped(table, &row->key, row->sum)) {
        return;
    }
    if (2 * (table->count + 1) > table->slot_count) {
        make_slots(table, table->slot_count ? 2 * table->slot_count : START);
    }
    us_grow(&table->rows, &table->capacity, table->count, sizeof *table->rows);
    table->rows[table->count] = (struct us_found){.row = *row, .file = file};
    insert(table, (uint32_t)table->count++);
}

/* The next row of that key, of any kind, from *cursor on. */
static struct us_found *next_of_key(const struct us_record_table *table,
                                    const struct us_digest *key, size_t *cursor) {
    const size_t hash = hash_of(key), mask = table->slot_count - 1;
    while (*cursor < table->slot_count) {
        const struct us_table_slot slot = table->slots[(hash + (*cursor)++) & mask];
        if (!slot.row) {
            return NULL;
        }
        struct us_found *found = &table->rows[slot.row - 1];
        if (slot.tag == tag_of(hash) && us_digest_equal(&found->row.key, key)) {
            return found;
        }
    }
    return NULL;
}

const struct us_found *us_table_next(const struct us_record_table *table,
                                     const struct us_digest *key, uint32_t kind, size_t *cursor) {
    const struct us_found *found;
    do {
        found = next_of_key(table, key, cursor);
    } while (found && found->row.kind != kind);
    return found;
}

void us_table_place(struct us_record_table *table, const struct us_digest *key, uint64_t sum,
                    struct us_record_file *file, uint64_t offset) {
    size_t cursor = 0;
    struct us_found *found;
    while ((found = next_of_key(table, key, &cursor))) {
        if (!found->file && found->row.sum == sum) {
            found->file = file;
            found->row.offset = offset;
            return;
        }
    }
}

void us_table_forget(struct us_record_table *table, const struct us_record_file *file) {
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].file != file && table->rows[i].row.kind != gone) {
            table->rows[kept++] = table->rows[i];
        }
    }
    if (kept < table->count) {
        table->count = kept;
        make_slots(table, table->slot_count);
    }
}

static struct us_drop *drop_slot(const struct us_record_table *table, const struct us_digest *key,
                                 uint64_t sum) {
    size_t mask = table->drop_capacity - 1;
    for (size_t slot = hash_of(key) ^ (size_t)sum;; slot++) {
        struct us_drop *drop = &table->drops[slot & mask];
        if (!drop->used || (drop->sum == sum && us_digest_equal(&drop->key, key))) {
            return drop;
        }
    }
}

bool us_table_dropped(const struct us_record_table *table, const struct us_digest *key,
                      uint64_t sum) {
    return table->drop_count && drop_slot(table, key, sum)->used;
}

static void grow_drops(struct us_record_table *table) {
    struct us_record_table old = *table;
    table->drop_capacity = old.drop_capacity ? 2 * old.drop_capacity : START;
    table->drops = us_calloc(table->drop_capacity, sizeof *table->drops);
    for (size_t i = 0; i < old.drop_capacity; i++) {
        if (old.drops[i].used) {
            *drop_slot(table, &old.drops[i].key, old.drops[i].sum) = old.drops[i];
        }
    }
    us_free(old.drops);
}

static void kill_rows(struct us_record_table *table, const struct us_digest *key, uint64_t sum) {
    size_t cursor = 0;
    struct us_found *found;
    while ((found = next_of_key(table, key, &cursor))) {
        found->row.kind = found->row.sum == sum ? gone : found->row.kind;
    }
}

void us_table_drop(struct us_record_table *table, const struct us_digest *key, uint64_t sum) {
    if (2 * (table->drop_count + 1) > table->drop_capacity) {
        grow_drops(table);
    }
    struct us_drop *drop = drop_slot(table, key, sum);
    if (!drop->used) {
        *drop = (struct us_drop){.key = *key, .sum = sum, .used = 1};
        table->drop_count++;
    }
    kill_rows(table, key, sum);
}
