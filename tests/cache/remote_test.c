#include "cache/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "tests/support/check.h"
#include "tests/support/http_server.h"

struct warnings {
    int count;
    char all[8192];
};

static void note(void *context, const char *message) {
    struct warnings *warnings = context;
    warnings->count++;
    strncat(warnings->all, message, sizeof warnings->all - strlen(warnings->all) - 2);
    strncat(warnings->all, "\n", 2);
}

static struct us_store *open_host(const char *name, const struct us_remote_options *how,
                                  struct warnings *warnings) {
    static int number;
    char folder[512], url[64];
    snprintf(folder, sizeof folder, "%s/%s-%d", us_test_folder(), name, number++);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/cache/", http_server.port);
    struct us_store *local, *store;
    ASSERT_OK(us_cache_open(folder, &local));
    struct us_remote_options options = how ? *how : (struct us_remote_options){0};
    options.url = options.url ? options.url : url;
    ASSERT_OK(us_remote_open(local, &options, &store));
    *warnings = (struct warnings){0};
    store->warn = note;
    store->warn_context = warnings;
    return store;
}

static struct us_digest named(const char *name) {
    return us_digest_of(name, strlen(name));
}

static void put_object(struct us_store *store, const char *name) {
    struct us_digest digest = named(name);
    ASSERT_OK(store->ops->put_object(store, &digest, name, strlen(name)));
}

static bool get_object(struct us_store *store, const char *name) {
    struct us_digest digest = named(name);
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(store->ops->get_object(store, &digest, &bytes, &size));
    if (bytes) {
        assert_int_equal(size, strlen(name));
        assert_memory_equal(bytes, name, size);
    }
    us_free(bytes);
    return bytes != NULL;
}

static bool has_object(struct us_store *store, const char *name) {
    struct us_digest digest = named(name);
    return store->ops->has_object(store, &digest);
}

static bool put_record(struct us_store *store, const char *key, const char *text,
                       const char *object) {
    struct us_digest digest = named(key), of_object = named(object ? object : "");
    const uint64_t size = object ? strlen(object) : 0;
    const struct us_record_note about = {.type = "blur",
                                         .show = "show",
                                         .seconds = 1.5,
                                         .objects = &of_object,
                                         .sizes = &size,
                                         .object_count = 1};
    bool won;
    ASSERT_OK(
        store->ops->put_record(store, &digest, object ? &about : NULL, text, strlen(text), &won));
    return won;
}

static bool record_is(struct us_store *store, const char *key, const char *wanted) {
    struct us_digest digest = named(key);
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(store->ops->find_record(store, &digest, &bytes, &size));
    bool is =
        bytes ? wanted && size == strlen(wanted) && memcmp(bytes, wanted, size) == 0 : !wanted;
    us_free(bytes);
    return is;
}

/* "an object" and a record "key" that names it, sent by a first host. */
static void fill(void) {
    struct warnings warnings;
    struct us_store *store = open_host("first", NULL, &warnings);
    put_object(store, "an object");
    put_object(store, "another object");
    assert_true(put_record(store, "key", "what it came to", "an object"));
    us_remote_close(store);
    assert_int_equal(warnings.count, 0);
    assert_int_equal(http_server.count, 3);
}

static void it_does_all_that_a_store_does(void **state) {
    (void)state;
    struct warnings warnings;
    struct us_store *store = open_host("whole", NULL, &warnings);
    void *calls[sizeof *store->ops / sizeof(void *)];
    memcpy(calls, store->ops, sizeof *store->ops);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        assert_non_null(calls[i]);
    }
    us_remote_close(store);
}

static void what_one_host_makes_another_finds(void **state) {
    (void)state;
    fill();
    assert_true(us_str_starts(http_server.files[2].path, "/cache/ac/"));
    struct warnings warnings;
    struct us_store *store = open_host("second", NULL, &warnings);
    assert_true(record_is(store, "key", "what it came to"));
    assert_true(has_object(store, "an object"));
    assert_false(has_object(store, "no object"));
    int asked = atomic_load(&http_server.requests);
    assert_true(get_object(store, "an object"));
    assert_true(record_is(store, "key", "what it came to"));
    assert_false(has_object(store, "no object"));
    assert_int_equal(atomic_load(&http_server.requests), asked);
    assert_true(get_object(store, "another object"));
    assert_false(get_object(store, "no object"));
    struct us_remote_counts counts;
    us_remote_counts(store, &counts);
    assert_int_equal(counts.objects_fetched, 2);
    assert_int_equal(counts.records_fetched, 1);
    assert_int_equal(counts.objects_sent + counts.records_sent, 0);
    us_remote_close(store);
    assert_int_equal(warnings.count, 0);
    assert_int_equal(atomic_load(&http_server.puts), 3);
}

static void nothing_is_sent_twice_and_the_first_record_stays(void **state) {
    (void)state;
    fill();
    struct warnings warnings;
    const struct us_remote_options blind = {.no_reads = true};
    struct us_store *store = open_host("third", &blind, &warnings);
    put_object(store, "an object");
    assert_true(put_record(store, "key", "something else", "an object"));
    us_remote_flush(store, -1);
    assert_int_equal(atomic_load(&http_server.puts), 3);
    assert_true(record_is(store, "key", "something else"));
    us_remote_close(store);
    store = open_host("fourth", NULL, &warnings);
    assert_true(record_is(store, "key", "what it came to"));
    us_remote_close(store);
}

static void a_record_never_comes_before_its_objects(void **state) {
    (void)state;
    struct warnings warnings;
    struct us_store *store = open_host("order", NULL, &warnings);
    for (int i = 0; i < 10; i++) {
        char object[32], key[32];
        snprintf(object, sizeof object, "object %d", i);
        snprintf(key, sizeof key, "record %d", i);
        put_object(store, object);
        put_record(store, key, "text", i % 2 ? object : NULL);
    }
    us_remote_close(store);
    assert_int_equal(http_server.count, 20);
    char hex[US_DIGEST_HEX], path[256];
    for (int i = 0; i < 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "object %d", i);
        struct us_digest digest = named(name);
        us_digest_hex(&digest, hex);
        snprintf(path, sizeof path, "/cache/cas/%.2s/%s", hex, hex);
        int object = http_server_file(path)->order;
        snprintf(name, sizeof name, "record %d", i);
        digest = named(name);
        us_digest_hex(&digest, hex);
        snprintf(path, sizeof path, "/cache/ac/%.2s/%s", hex, hex);
        assert_true(object < http_server_file(path)->order);
    }
}

static void a_dropped_record_does_not_come_back(void **state) {
    (void)state;
    fill();
    struct warnings warnings;
    struct us_store *store = open_host("drop", NULL, &warnings);
    struct us_digest key = named("key");
    assert_true(record_is(store, "key", "what it came to"));
    ASSERT_OK(store->ops->drop_record(store, &key));
    assert_true(record_is(store, "key", NULL));
    assert_true(put_record(store, "key", "made again", NULL));
    us_remote_flush(store, -1);
    us_remote_close(store);
    /* Its object is there: others can use it, so it stays. */
    store = open_host("stays", NULL, &warnings);
    assert_true(record_is(store, "key", "what it came to"));
    us_remote_close(store);
}

static void a_record_whose_object_is_gone_is_replaced(void **state) {
    (void)state;
    fill();
    for (int i = 0; i < http_server.count; i++) {
        struct us_digest digest = named("an object");
        char hex[US_DIGEST_HEX];
        if (strstr(http_server.files[i].path, us_digest_hex(&digest, hex))) {
            strcpy(http_server.files[i].path, "/purged");
        }
    }
    struct warnings warnings;
    struct us_store *store = open_host("purged", NULL, &warnings);
    struct us_digest key = named("key");
    assert_true(record_is(store, "key", "what it came to"));
    assert_false(has_object(store, "an object"));
    ASSERT_OK(store->ops->drop_record(store, &key));
    put_object(store, "a new object");
    assert_true(put_record(store, "key", "made again", "a new object"));
    us_remote_close(store);
    store = open_host("sees", NULL, &warnings);
    assert_true(record_is(store, "key", "made again"));
    assert_true(get_object(store, "a new object"));
    us_remote_close(store);
}

static void damage_is_a_miss_told_once_and_never_kept(void **state) {
    (void)state;
    static const enum http_manner manners[] = {HTTP_GARBAGE, HTTP_HALF, HTTP_SWAPPED, HTTP_LONGER};
    for (size_t i = 0; i < sizeof manners / sizeof *manners; i++) {
        http_server_forget(NULL);
        fill();
        http_server_behave(manners[i]);
        struct warnings warnings;
        struct us_store *store = open_host("damage", NULL, &warnings);
        assert_false(has_object(store, "an object"));
        assert_false(get_object(store, "an object"));
        assert_int_equal(warnings.count, 1);
        assert_true(record_is(store, "key", NULL));
        assert_true(record_is(store, "key", NULL));
        assert_int_equal(warnings.count, 2);
        assert_non_null(strstr(warnings.all, "/cache/cas/"));
        assert_non_null(strstr(warnings.all, "/cache/ac/"));
        http_server_behave(HTTP_HONEST);
        /* What is made instead heals it. */
        put_object(store, "an object");
        put_record(store, "key", "what it came to", "an object");
        us_remote_close(store);
        assert_int_equal(atomic_load(&http_server.puts), 5);
        assert_int_equal(warnings.count, 2);
    }
}

static void each_flipped_bit_is_found(void **state) {
    (void)state;
    fill();
    struct warnings warnings;
    size_t bits = 8 * (56 + strlen("an object"));
    for (size_t at = 0; at < bits; at++) {
        atomic_store(&http_server.flip_at, (int)at);
        http_server_behave(HTTP_FLIPPED);
        struct us_store *store = open_host("flip", NULL, &warnings);
        assert_false(get_object(store, "an object"));
        assert_int_equal(warnings.count, 1);
        us_remote_close(store);
    }
    http_server_behave(HTTP_HONEST);
    struct us_store *store = open_host("flip", NULL, &warnings);
    assert_true(get_object(store, "an object"));
    us_remote_close(store);
}

static void a_lying_head_costs_only_the_asking(void **state) {
    (void)state;
    fill();
    http_server_behave(HTTP_LIES);
    struct warnings warnings;
    struct us_store *store = open_host("lies", NULL, &warnings);
    assert_false(has_object(store, "an object"));
    assert_false(get_object(store, "an object"));
    us_remote_close(store);
    const struct us_remote_options asks = {.ask_only = true, .no_writes = true};
    store = open_host("asks", &asks, &warnings);
    assert_true(has_object(store, "an object"));
    assert_false(get_object(store, "an object"));
    assert_int_equal(warnings.count, 0);
    us_remote_close(store);
}

/* Works as if alone, says so once, and soon asks no more. */
static void goes_on_alone(const struct us_remote_options *how, const char *said) {
    struct warnings warnings;
    struct us_store *store = open_host("alone", how, &warnings);
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "made %d", i);
        assert_false(has_object(store, name));
        assert_true(record_is(store, name, NULL));
        put_object(store, name);
        assert_true(put_record(store, name, name, name));
        assert_true(get_object(store, name));
        assert_true(record_is(store, name, name));
    }
    us_remote_flush(store, -1);
    struct us_remote_counts counts;
    us_remote_counts(store, &counts);
    if (!counts.off || warnings.count != 1 || !strstr(warnings.all, said)) {
        fail_msg("off %d, %d warnings, wanted one with '%s': %s", counts.off, warnings.count, said,
                 warnings.all);
    }
    us_remote_close(store);
}

static void a_server_that_is_not_there_is_done_without(void **state) {
    (void)state;
    const struct us_remote_options nobody = {.url = "http://127.0.0.1:1/cache"};
    goes_on_alone(&nobody, "http://127.0.0.1:1/cache: 5 requests failed in a row");
    const struct us_remote_options nowhere = {.url = "http://no-such-host.invalid/cache"};
    goes_on_alone(&nowhere, "going on without it");
}

static void a_server_that_fails_is_done_without(void **state) {
    (void)state;
    http_server_behave(HTTP_ERRORS);
    goes_on_alone(NULL, "it answers 500; going on without it");
    http_server_behave(HTTP_FORBIDS);
    goes_on_alone(NULL, "it answers 401 (see ~/.netrc or $UNDERSTUDY_REMOTE_NETRC)");
    http_server_behave(HTTP_REDIRECTS);
    goes_on_alone(NULL, "redirects are not followed");
}

static struct us_remote_counts counts_of(struct us_store *store) {
    struct us_remote_counts counts;
    us_remote_flush(store, -1);
    us_remote_counts(store, &counts);
    return counts;
}

static void put_some(struct us_store *store, const char *prefix, int count) {
    for (int i = 0; i < count; i++) {
        char name[64], key[64];
        snprintf(name, sizeof name, "%s %d", prefix, i);
        snprintf(key, sizeof key, "key of %s %d", prefix, i);
        put_object(store, name);
        assert_true(put_record(store, key, "text", name));
    }
}

static void what_is_not_sent_is_counted_to_the_end(void **state) {
    (void)state;
    struct warnings warnings;
    http_server_behave(HTTP_ERRORS);
    struct us_store *store = open_host("errors", NULL, &warnings);
    put_some(store, "before", 10);
    struct us_remote_counts counts = counts_of(store);
    assert_true(counts.off);
    assert_int_equal(counts.given_up, 20);
    put_some(store, "after", 5);
    put_object(store, "after 1"); /* made twice, missed once */
    counts = counts_of(store);
    assert_int_equal(counts.given_up, 30);
    assert_int_equal(counts.objects_sent + counts.records_sent, 0);
    us_remote_close(store);

    http_server_behave(HTTP_NO_PUT);
    store = open_host("refused", NULL, &warnings);
    put_some(store, "refused", 3);
    (void)counts_of(store);
    put_some(store, "later", 3);
    assert_int_equal(counts_of(store).given_up, 12);
    us_remote_close(store);

    const struct us_remote_options reads = {.no_writes = true};
    store = open_host("reads", &reads, &warnings);
    put_some(store, "mine", 3);
    assert_int_equal(counts_of(store).given_up, 0);
    us_remote_close(store);
}

static void a_silent_server_is_done_without(void **state) {
    (void)state;
    http_server_behave(HTTP_MUTE);
    goes_on_alone(NULL, "s were lost on it, lastly: ");
}

static void a_dripping_server_is_done_without(void **state) {
    (void)state;
    http_server_behave(HTTP_DRIP);
    goes_on_alone(NULL, "s were lost on it, lastly: ");
}

static void a_server_that_takes_nothing_is_still_read(void **state) {
    (void)state;
    fill();
    http_server_behave(HTTP_NO_PUT);
    struct warnings warnings;
    struct us_store *store = open_host("reads", NULL, &warnings);
    put_object(store, "mine");
    put_record(store, "my key", "mine", "mine");
    us_remote_flush(store, -1);
    assert_true(get_object(store, "an object"));
    put_object(store, "mine too");
    us_remote_close(store);
    assert_int_equal(warnings.count, 1);
    assert_non_null(strstr(warnings.all, "it answers 405"));
    assert_non_null(strstr(warnings.all, "nothing more is sent there"));
}

static void push_sends_everything(void **state) {
    (void)state;
    char folder[512], url[64];
    snprintf(folder, sizeof folder, "%s/push", us_test_folder());
    snprintf(url, sizeof url, "http://127.0.0.1:%d/cache", http_server.port);
    struct us_store *local, *store;
    ASSERT_OK(us_cache_open(folder, &local));
    for (int i = 0; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof name, "pushed %d", i);
        put_object(local, name);
        put_record(local, name, name, name);
    }
    const struct us_remote_options options = {.url = url};
    ASSERT_OK(us_remote_open(local, &options, &store));
    ASSERT_OK(us_remote_push(store));
    assert_int_equal(http_server.count, 16);
    ASSERT_OK(us_remote_push(store));
    assert_int_equal(atomic_load(&http_server.puts), 16);
    http_server_behave(HTTP_NO_PUT);
    put_object(local, "one more");
    ASSERT_ERROR(us_remote_push(store), "did not reach http://127.0.0.1");
    us_remote_close(store);
}

static void wrong_settings_are_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"ftp://host/x", "allowed http://..., https://... and s3://..."},
        {"http://user:secret@host/x", "has a user or password in it"},
        {"http://", "wanted http://HOST/PATH"},
        {"http://host/x?y=1", "without a query"},
        {"s3://", "the remote cache is 's3://'"},
        {"s3://bucket/a b", "the remote cache is"},
        {"s3://bucket/x", "needs $AWS_ACCESS_KEY_ID"},
    };
    unsetenv("AWS_ACCESS_KEY_ID");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/settings", us_test_folder());
    struct us_store *local, *store;
    ASSERT_OK(us_cache_open(folder, &local));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct us_remote_options options = {.url = cases[i][0]};
        ASSERT_ERROR(us_remote_open(local, &options, &store), cases[i][1]);
        assert_null(store);
    }
    us_cache_close(local);
}

int main(void) {
    setenv("HOME", us_test_folder(), 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_does_all_that_a_store_does, http_server_forget),
        cmocka_unit_test_setup(what_one_host_makes_another_finds, http_server_forget),
        cmocka_unit_test_setup(nothing_is_sent_twice_and_the_first_record_stays,
                               http_server_forget),
        cmocka_unit_test_setup(a_record_never_comes_before_its_objects, http_server_forget),
        cmocka_unit_test_setup(a_dropped_record_does_not_come_back, http_server_forget),
        cmocka_unit_test_setup(a_record_whose_object_is_gone_is_replaced, http_server_forget),
        cmocka_unit_test_setup(damage_is_a_miss_told_once_and_never_kept, http_server_forget),
        cmocka_unit_test_setup(each_flipped_bit_is_found, http_server_forget),
        cmocka_unit_test_setup(a_lying_head_costs_only_the_asking, http_server_forget),
        cmocka_unit_test_setup(a_server_that_is_not_there_is_done_without, http_server_forget),
        cmocka_unit_test_setup(a_server_that_fails_is_done_without, http_server_forget),
        cmocka_unit_test_setup(what_is_not_sent_is_counted_to_the_end, http_server_forget),
        cmocka_unit_test_setup(a_silent_server_is_done_without, http_server_forget),
        cmocka_unit_test_setup(a_dripping_server_is_done_without, http_server_forget),
        cmocka_unit_test_setup(a_server_that_takes_nothing_is_still_read, http_server_forget),
        cmocka_unit_test_setup(push_sends_everything, http_server_forget),
        cmocka_unit_test_setup(wrong_settings_are_refused, http_server_forget),
    };
    return cmocka_run_group_tests(tests, http_server_start, http_server_stop);
}
