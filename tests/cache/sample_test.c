/* verify of a part reads a part of everything, small objects and records in packs as well. */
#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/care.h"
#include "runtime/base/hash.h"
#include "tests/support/check.h"

enum { MANY = 200 };

static struct us_store *open_store(void) {
    struct us_store *store;
    ASSERT_OK(us_cache_open(us_test_folder(), &store));
    return store;
}

static void fill(struct us_store *store) {
    for (int i = 0; i < MANY; i++) {
        char text[64];
        bool won;
        const int length = snprintf(text, sizeof text, "small object %d", i);
        const struct us_digest object = us_digest_of(text, (size_t)length);
        ASSERT_OK(store->ops->put_object(store, &object, text, (size_t)length));
        const struct us_digest key = us_digest_of(&object, sizeof object);
        ASSERT_OK(store->ops->put_record(store, &key, NULL, text, (size_t)length, &won));
        assert_true(won);
    }
}

static struct us_cache_check check(struct us_store *store, double sample) {
    struct us_cache_check found;
    ASSERT_OK(us_cache_check(store, &(struct us_check_options){.sample = sample}, &found));
    assert_int_equal(found.damaged, 0);
    return found;
}

static void test_sample(void **state) {
    (void)state;
    struct us_store *store = open_store();
    fill(store);
    us_cache_close(store);
    store = open_store();
    struct us_cache_rebuilt rebuilt;
    ASSERT_OK(us_cache_reindex(store, &rebuilt)); /* one pack */
    const struct us_cache_check all = check(store, 1), some = check(store, 0.1);
    assert_int_equal(all.objects, MANY);
    assert_int_equal(all.records, MANY);
    /* 20 of each are to be expected: none, or half, comes once in a billion times. */
    assert_in_range(some.objects, 1, MANY / 2);
    assert_in_range(some.records, 1, MANY / 2);
    assert_true(some.bytes < all.bytes / 2);
    us_cache_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sample)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
