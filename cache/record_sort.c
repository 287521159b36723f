#include "cache/record_sort.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"

enum { IN_A_BUCKET = 8, FEW = 32, MOST_BITS = 20 };

static uint64_t prefix_of(const struct us_digest *key) {
    uint64_t prefix = 0;
    for (size_t i = 0; i < sizeof prefix; i++) {
        prefix = prefix << 8 | key->bytes[i];
    }
    return prefix;
}

static int in_order(const void *left, const void *right) {
    const struct us_sorted_row *a = left, *b = right;
    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix ? -1 : 1;
    }
    const int order = memcmp(a->row->key.bytes, b->row->key.bytes, sizeof a->row->key.bytes);
    if (order || a->row->kind != b->row->kind) {
        return order ? order : (a->row->kind > b->row->kind) - (a->row->kind < b->row->kind);
    }
    return us_row_before(a->row, b->row) ? -1 : us_row_before(b->row, a->row);
}

static void sort_few(struct us_sorted_row *rows, size_t count) {
    for (size_t i = 1; i < count; i++) {
        const struct us_sorted_row row = rows[i];
        size_t at = i;
        for (; at && in_order(&row, &rows[at - 1]) < 0; at--) {
            rows[at] = rows[at - 1];
        }
        rows[at] = row;
    }
}

static const struct us_row *row_at(const void *rows, size_t index, size_t stride) {
    return (const struct us_row *)((const char *)rows + index * stride);
}

/* Keys are digests: by their first bits they fall into buckets of nearly one size. */
struct us_sorted_row *us_rows_sort(const void *rows, size_t count, size_t stride) {
    unsigned bits = 0;
    while (bits < MOST_BITS && count >> bits > IN_A_BUCKET) {
        bits++;
    }
    const size_t buckets = (size_t)1 << bits;
    size_t *ends = us_calloc(buckets + 1, sizeof *ends);
    struct us_sorted_row *sorted = us_malloc((count + 1) * sizeof *sorted);
    for (size_t i = 0; i < count; i++) {
        ends[(prefix_of(&row_at(rows, i, stride)->key) >> 1 >> (63 - bits)) + 1]++;
    }
    for (size_t i = 0; i < buckets; i++) {
        ends[i + 1] += ends[i];
    }
    for (size_t i = 0; i < count; i++) { /* ends[b] goes from where b begins to where it ends */
        const struct us_row *row = row_at(rows, i, stride);
        const uint64_t prefix = prefix_of(&row->key);
        sorted[ends[prefix >> 1 >> (63 - bits)]++] = (struct us_sorted_row){prefix, row};
    }
    for (size_t i = 0, begin = 0; i < buckets; begin = ends[i++]) {
        const size_t many = ends[i] - begin;
        if (many > FEW) {
            qsort(sorted + begin, many, sizeof *sorted, in_order);
        } else {
            sort_few(sorted + begin, many);
        }
    }
    us_free(ends);
    return sorted;
}
