/* Records that are written with the next, and the order that they are packed in. */
#include <stdio.h>
#include <string.h>

#include "cache/record_sort.h"
#include "cache/records_internal.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/text_records.h"

static struct us_store *open_store(const char *name) {
    char folder[512];
    snprintf(folder, sizeof folder, "%s/%s", us_test_folder(), name);
    struct us_store *store;
    ASSERT_OK(us_cache_open(folder, &store));
    return store;
}

static void put(struct us_store *store, int n, const char *text) {
    struct us_digest key = us_text_key(n);
    bool won;
    ASSERT_OK(store->ops->put_record(store, &key, NULL, text, strlen(text), &won));
    assert_true(won);
}

static void put_later(struct us_store *store, int n, const char *text) {
    const struct us_record_note note = {.relaxed = true, .later = true};
    struct us_digest key = us_text_key(n);
    bool won;
    ASSERT_OK(store->ops->put_record(store, &key, &note, text, strlen(text), &won));
    assert_true(won);
}

static void what_waits_is_found_here_at_once_and_by_all_once_written(void **state) {
    (void)state;
    struct us_store *store = open_store("waits"), *other = open_store("waits");
    put_later(store, 1, "one");
    put_later(store, 2, "two");
    assert_string_equal(us_text_get(store, 1), "one");
    assert_string_equal(us_text_get(store, 2), "two");
    us_text_ask(other);
    assert_string_equal(us_text_get(other, 1), "");
    put(store, 3, "three");
    us_text_ask(other);
    for (int side = 0; side < 2; side++) {
        struct us_store *one = side ? store : other;
        assert_string_equal(us_text_get(one, 1), "one");
        assert_string_equal(us_text_get(one, 2), "two");
        assert_string_equal(us_text_get(one, 3), "three");
    }
    put_later(store, 4, "four");
    struct us_digest key = us_text_key(4);
    ASSERT_OK(store->ops->drop_record(store, &key));
    assert_string_equal(us_text_get(store, 4), "");
    put_later(store, 4, "again");
    assert_string_equal(us_text_get(store, 4), "again");
    us_cache_close(store);
    us_text_ask(other);
    assert_string_equal(us_text_get(other, 4), "again");
    us_cache_close(other);
}

static void sorted_as_a_pack_wants_it(void **state) {
    (void)state;
    enum { ROWS = 5000 };
    struct us_row *rows = us_calloc(ROWS, sizeof *rows);
    for (int i = 0; i < ROWS; i++) {
        /* some keys several times, some with one beginning */
        rows[i] = (struct us_row){.key = us_text_key(i % 4000),
                                  .kind = (uint32_t)(i % 3),
                                  .when = i % 7,
                                  .sum = (uint64_t)i};
        if (i % 5 == 0) {
            memset(rows[i].key.bytes, i % 2 ? 0 : 255, 12);
        }
    }
    for (size_t count = 0; count <= ROWS; count = 3 * count + 1) {
        struct us_sorted_row *sorted = us_rows_sort(rows, count, sizeof *rows);
        uint64_t seen = 0;
        for (size_t i = 0; i < count; i++) {
            const struct us_row *row = sorted[i].row, *before = i ? sorted[i - 1].row : row;
            const int keys = memcmp(before->key.bytes, row->key.bytes, sizeof row->key.bytes);
            assert_true(keys <= 0);
            assert_true(keys || before->kind <= row->kind);
            assert_true(keys || before->kind < row->kind || !us_row_before(row, before));
            seen += row->sum;
        }
        assert_int_equal(seen, count ? count * (count - 1) / 2 : 0);
        us_free(sorted);
    }
    us_free(rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_is_found_here_at_once_and_by_all_once_written),
        cmocka_unit_test(sorted_as_a_pack_wants_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
