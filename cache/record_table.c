#include "cache/record_table.h"

#include <string.h>

#include "runtime/base/mem.h"

enum { EMPTY = 0, START = 64 };
static const uint32_t gone = UINT32_MAX; /* its slot still leads to those behind it */

void us_table_finish(struct us_record_table *table) {
    us_free(table->rows);
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

static void insert(struct us_record_table *table, const struct us_found *found) {
    size_t mask = table->capacity - 1, slot = hash_of(&found->row.key) & mask;
    while (table->rows[slot].row.kind != EMPTY) {
        slot = (slot + 1) & mask;
    }
    table->rows[slot] = *found;
    table->count++;
}

/* Makes them anew with room for more; `file` is left out. */
static void rebuild(struct us_record_table *table, const struct us_record_file *file) {
    struct us_record_table old = *table;
    size_t living = 0;
    for (size_t i = 0; i < old.capacity; i++) {
        const struct us_found *found = &old.rows[i];
        living += found->row.kind != EMPTY && found->row.kind != gone && found->file != file;
    }
    table->count = 0;
    table->capacity = START;
    while (table->capacity < 3 * living) {
        table->capacity *= 2;
    }
    table->rows = us_calloc(table->capacity, sizeof *table->rows);
    for (size_t i = 0; i < old.capacity; i++) {
        const struct us_found *found = &old.rows[i];
        if (found->row.kind != EMPTY && found->row.kind != gone && found->file != file) {
            insert(table, found);
        }
    }
    us_free(old.rows);
}

void us_table_add(struct us_record_table *table, const struct us_row *row,
                  struct us_record_file *file) {
    if (us_table_dropped(table, &row->key, row->sum)) {
        return;
    }
    if (3 * (table->count + 1) > 2 * table->capacity) {
        rebuild(table, NULL);
    }
    insert(table, &(struct us_found){.row = *row, .file = file});
}

const struct us_found *us_table_next(const struct us_record_table *table,
                                     const struct us_digest *key, uint32_t kind, size_t *cursor) {
    if (!table->capacity) {
        return NULL;
    }
    size_t mask = table->capacity - 1;
    for (size_t start = hash_of(key); *cursor < table->capacity;) {
        const struct us_found *found = &table->rows[(start + (*cursor)++) & mask];
        if (found->row.kind == EMPTY) {
            return NULL;
        }
        if (found->row.kind == kind && us_digest_equal(&found->row.key, key)) {
            return found;
        }
    }
    return NULL;
}

void us_table_forget(struct us_record_table *table, const struct us_record_file *file) {
    if (table->capacity) {
        rebuild(table, file);
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
    size_t mask = table->capacity - 1, slot = hash_of(key);
    for (size_t i = 0; i < table->capacity; i++, slot++) {
        struct us_row *row = &table->rows[slot & mask].row;
        if (row->kind == EMPTY) {
            return;
        }
        if (row->sum == sum && us_digest_equal(&row->key, key)) {
            row->kind = gone;
        }
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
