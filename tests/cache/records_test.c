#include "cache/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache/records_internal.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/text_records.h"

static int warned;

static void count_warning(void *context, const char *message) {
    (void)context;
    (void)message;
    warned++;
}

static struct us_store *open_store(const char *name) {
    char folder[512];
    snprintf(folder, sizeof folder, "%s/%s", us_test_folder(), name);
    struct us_store *store;
    ASSERT_OK(us_cache_open(folder, &store));
    store->warn = count_warning;
    return store;
}

static bool put(struct us_store *store, int n, const char *text) {
    struct us_digest key = us_text_key(n);
    bool won;
    ASSERT_OK(store->ops->put_record(store, &key, NULL, text, strlen(text), &won));
    return won;
}

static uint64_t compact(struct us_store *store) {
    uint64_t entries, bytes;
    ASSERT_OK(us_records_compact(us_cache_of(store), NULL, NULL, &entries, &bytes));
    return entries;
}

static void two_stores_see_each_other(void **state) {
    (void)state;
    struct us_store *a = open_store("two"), *b = open_store("two");
    assert_string_equal(us_text_get(b, 1), "");
    assert_true(put(a, 1, "from a"));
    us_text_ask(b);
    assert_string_equal(us_text_get(b, 1), "from a");
    assert_false(put(b, 1, "from b"));
    assert_true(put(b, 2, "from b"));
    assert_false(put(a, 2, "from a"));
    assert_string_equal(us_text_get(a, 2), "from b");
    us_cache_close(a);
    us_cache_close(b);
}

static void dropped_is_gone_for_all_and_may_come_again(void **state) {
    (void)state;
    struct us_store *a = open_store("drop"), *b = open_store("drop");
    struct us_digest key = us_text_key(1), before = a->ops->generation(a), now;
    assert_true(put(a, 1, "old"));
    now = b->ops->generation(b);
    assert_true(us_digest_equal(&before, &now));
    assert_false(put(b, 1, "other"));
    ASSERT_OK(b->ops->drop_record(b, &key));
    now = a->ops->generation(a);
    assert_false(us_digest_equal(&before, &now));
    assert_string_equal(us_text_get(a, 1), "");
    assert_string_equal(us_text_get(b, 1), "");
    /* b's log, with the drop, is packed; a's, with what it drops, is still being written */
    us_cache_close(b);
    b = open_store("drop");
    compact(b);
    assert_string_equal(us_text_get(b, 1), "");
    assert_true(put(b, 1, "new"));
    us_text_ask(a);
    assert_string_equal(us_text_get(a, 1), "new");
    us_cache_close(a);
    compact(b);
    assert_string_equal(us_text_get(b, 1), "new");
    us_cache_close(b);
    b = open_store("drop");
    assert_string_equal(us_text_get(b, 1), "new");
    us_cache_close(b);
}

enum { KEYS = 200, WRITERS = 4 };

/* Starts writing when the other end of the pipe is closed. */
static pid_t start_writer(int name, const int start[2]) {
    pid_t child = fork();
    if (child == 0) {
        struct us_store *store = open_store("race");
        char text[32], byte;
        close(start[1]);
        if (read(start[0], &byte, 1) < 0) {
            _exit(1);
        }
        for (int i = 0; i < KEYS; i++) {
            snprintf(text, sizeof text, "writer %d key %d", name, i);
            put(store, i, text);
        }
        us_cache_close(store);
        _exit(0);
    }
    return child;
}

static void all_choose_the_same_of_many_writers(void **state) {
    (void)state;
    int start[2];
    pid_t children[WRITERS];
    us_cache_close(open_store("race"));
    assert_int_equal(pipe(start), 0);
    for (int i = 0; i < WRITERS; i++) {
        children[i] = start_writer(i, start);
    }
    close(start[1]);
    for (int i = 0; i < WRITERS; i++) {
        int status;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    close(start[0]);
    struct us_store *a = open_store("race"), *b = open_store("race");
    static char chosen[KEYS][256];
    for (int i = 0; i < KEYS; i++) {
        snprintf(chosen[i], sizeof chosen[i], "%s", us_text_get(a, i));
        assert_true(chosen[i][0] != '\0');
        assert_string_equal(us_text_get(b, i), chosen[i]);
    }
    compact(b);
    us_cache_close(b);
    b = open_store("race");
    for (int i = 0; i < KEYS; i++) {
        assert_string_equal(us_text_get(a, i), chosen[i]);
        assert_string_equal(us_text_get(b, i), chosen[i]);
    }
    us_cache_close(a);
    us_cache_close(b);
}

/* Two logs that both have a record of the key: the earlier stands, whichever is read first. */
static void the_earlier_of_two_stands(void **state) {
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct us_store *store = open_store(first ? "earlier1" : "earlier0");
        struct cache *cache = us_cache_of(store);
        for (int i = 0; i < 2; i++) {
            struct us_entry entry = {.kind = US_ENTRY_RECORD,
                                     .key = us_text_key(1),
                                     .payload = (const uint8_t *)(i ? "second" : "first"),
                                     .payload_size = i ? 6 : 5};
            pthread_mutex_lock(&cache->records->lock);
            ASSERT_OK(us_records_append(cache, &entry));
            if (first) {
                us_records_seal(cache); /* each in a log of its own */
            }
            pthread_mutex_unlock(&cache->records->lock);
        }
        assert_string_equal(us_text_get(store, 1), "first");
        assert_int_equal(compact(store), 1);
        assert_string_equal(us_text_get(store, 1), "first");
        us_cache_close(store);
    }
}

/* As after a kill between a pack's link and the removal of what it was made of: the log with the
 * record is still there, the one with its drop is not. */
static void what_a_pack_stands_for_does_not_count(void **state) {
    (void)state;
    struct us_store *store = open_store("covered");
    struct cache *cache = us_cache_of(store);
    struct us_digest key = us_text_key(1);
    put(store, 1, "dropped");
    char log[CACHE_PATH];
    uint8_t *bytes;
    size_t size;
    us_records_path(cache, cache->records->own->name, log);
    us_cache_close(store);
    ASSERT_OK(us_read_file(log, 0, &bytes, &size));
    store = open_store("covered");
    ASSERT_OK(store->ops->drop_record(store, &key));
    for (int round = 0; round < 2; round++) {
        compact(store);
        assert_int_not_equal(access(log, F_OK), 0);
        ASSERT_OK(us_write_file(log, bytes, size));
        us_cache_close(store);
        store = open_store("covered");
        assert_string_equal(us_text_get(store, 1), "");
    }
    us_free(bytes);
    us_cache_close(store);
}

static bool is_even(void *context, const struct us_record_view *view) {
    (void)context;
    return view->note.seconds == 0;
}

static struct us_error *count_one(void *context, const struct us_record_view *view) {
    (void)view;
    ++*(int *)context;
    return NULL;
}

static struct us_error *check_note(void *context, const struct us_record_view *view) {
    const struct us_digest object = us_text_key(1000);
    assert_string_equal(view->note.type, "toy_add");
    assert_string_equal(view->note.show, "");
    assert_int_equal(view->note.object_count, 1);
    assert_true(us_digest_equal(&view->note.objects[0], &object));
    assert_int_equal(view->note.sizes[0], 123456789012);
    assert_true(view->when > 1500000000 && view->bytes > 64 && !view->is_object);
    return count_one(context, view);
}

static void notes_come_back_and_choose_what_stays(void **state) {
    (void)state;
    struct us_store *store = open_store("notes");
    const struct us_digest object = us_text_key(1000);
    const uint64_t size = 123456789012;
    for (int i = 0; i < 10; i++) {
        struct us_digest key = us_text_key(i);
        struct us_record_note note = {.type = "toy_add",
                                      .show = NULL,
                                      .seconds = i % 2,
                                      .objects = &object,
                                      .sizes = &size,
                                      .object_count = 1};
        bool won;
        ASSERT_OK(store->ops->put_record(store, &key, &note, "text", 4, &won));
    }
    struct us_digest before = store->ops->generation(store), now;
    int count = 0;
    ASSERT_OK(us_records_each(us_cache_of(store), check_note, &count));
    assert_int_equal(count, 10);
    uint64_t entries, bytes;
    ASSERT_OK(us_records_compact(us_cache_of(store), is_even, NULL, &entries, &bytes));
    assert_int_equal(entries, 5);
    now = store->ops->generation(store);
    assert_false(us_digest_equal(&before, &now));
    for (int i = 0; i < 10; i++) {
        assert_string_equal(us_text_get(store, i), i % 2 ? "" : "text");
    }
    count = 0;
    ASSERT_OK(us_records_each(us_cache_of(store), check_note, &count));
    assert_int_equal(count, 5);
    us_cache_close(store);
}

static uint64_t opens_for_all(const char *name) {
    struct us_store *store = open_store(name);
    for (int i = 0; i < 1000; i++) {
        assert_string_equal(us_text_get(store, i), "frame");
    }
    uint64_t opens = us_cache_of(store)->records->opens;
    us_cache_close(store);
    return opens;
}

static void a_thousand_frames_take_three_opens(void **state) {
    (void)state;
    struct us_store *store = open_store("frames");
    for (int i = 0; i < 1000; i++) {
        put(store, i, "frame");
    }
    us_cache_close(store);
    assert_in_range(opens_for_all("frames"), 1, 3);
    store = open_store("frames");
    ASSERT_OK(us_records_rebuild(us_cache_of(store)));
    us_cache_close(store);
    assert_in_range(opens_for_all("frames"), 1, 3);
}

/* Runs that write little leave few files. */
static void logs_are_packed_when_there_are_many(void **state) {
    (void)state;
    size_t most = 0;
    for (int i = 0; i < 100; i++) {
        struct us_store *store = open_store("many");
        put(store, i, "text");
        us_cache_close(store);
        store = open_store("many");
        assert_string_equal(us_text_get(store, 0), "text");
        size_t files = us_cache_of(store)->records->count;
        most = files > most ? files : most;
        us_cache_close(store);
    }
    assert_in_range(most, 1, 24);
    struct us_store *store = open_store("many");
    for (int i = 0; i < 100; i++) {
        assert_string_equal(us_text_get(store, i), "text");
    }
    us_cache_close(store);
}

static void small_objects_lie_among_the_records(void **state) {
    (void)state;
    static const char text[] = "{\"faces\": []}";
    struct us_store *store = open_store("small"), *other = open_store("small");
    struct us_digest digest = us_text_key(7);
    assert_false(other->ops->has_object(other, &digest));
    ASSERT_OK(store->ops->put_object(store, &digest, text, sizeof text));
    char path[CACHE_PATH];
    us_cache_fan_path(us_cache_of(store), "objects", &digest, path);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_true(put(store, 8, "what names it")); /* written in one with it */
    us_text_ask(other);
    for (int round = 0; round < 2; round++) {
        uint8_t *bytes;
        size_t size;
        assert_true(other->ops->has_object(other, &digest));
        ASSERT_OK(other->ops->get_object(other, &digest, &bytes, &size));
        assert_int_equal(size, sizeof text);
        assert_memory_equal(bytes, text, size);
        us_free(bytes);
        assert_string_equal(us_text_get(other, 7), ""); /* no record of that key */
        int count = 0;
        ASSERT_OK(us_records_each_object(us_cache_of(other), count_one, &count));
        assert_int_equal(count, 1);
        compact(store);
    }
    us_cache_close(store);
    us_cache_close(other);
}

/* As the program wrote them before: one file each. */
static void write_old_record(const char *folder, const struct us_digest *key, const char *text) {
    uint8_t header[36] = "USRECORD";
    us_put_le(header + 8, 1, 4);
    us_put_le(header + 12, strlen(text), 8);
    struct us_hasher *hasher = us_hasher_create();
    us_hasher_digest(hasher, key);
    us_hasher_blob(hasher, text, strlen(text));
    struct us_digest sum = us_hasher_finish(hasher);
    us_hasher_destroy(hasher);
    memcpy(header + 20, sum.bytes, 16);
    char hex[US_DIGEST_HEX], path[700], file[200];
    us_digest_hex(key, hex);
    snprintf(path, sizeof path, "%s/%s/actions/%.2s/%s", us_test_folder(), folder, hex, hex);
    memcpy(file, header, sizeof header);
    memcpy(file + sizeof header, text, strlen(text));
    ASSERT_OK(us_write_file(path, file, sizeof header + strlen(text)));
}

static void records_in_files_of_their_own_still_count(void **state) {
    (void)state;
    struct us_digest keys[2] = {us_text_key(1), us_text_key(2)};
    write_old_record("old", &keys[0], "old one");
    write_old_record("old", &keys[1], "old two");
    struct us_store *store = open_store("old");
    assert_string_equal(us_text_get(store, 1), "old one");
    assert_false(put(store, 1, "new one"));
    int count = 0;
    ASSERT_OK(us_records_each(us_cache_of(store), count_one, &count));
    assert_int_equal(count, 2);
    ASSERT_OK(store->ops->drop_record(store, &keys[0]));
    assert_string_equal(us_text_get(store, 1), "");
    assert_true(put(store, 1, "new one"));
    assert_string_equal(us_text_get(store, 1), "new one");
    assert_string_equal(us_text_get(store, 2), "old two");
    us_cache_close(store);
}

/* Reads what was there all along, writes, and reads that, until told to stop. */
static void use_while_packed(int stop) {
    struct us_store *store = open_store("busy");
    char byte, text[32];
    for (int i = 0;; i++) {
        for (int k = 0; k < 50; k++) {
            if (strcmp(us_text_get(store, k), "there") != 0) {
                _exit(2);
            }
        }
        snprintf(text, sizeof text, "%d", i);
        int key = 1000 + i;
        if (!put(store, key, text) || strcmp(us_text_get(store, key), text) != 0 ||
            (i > 10 && atoi(us_text_get(store, key - 10)) != i - 10)) {
            _exit(3);
        }
        if (read(stop, &byte, 1) == 0) {
            us_cache_close(store);
            _exit(warned ? 4 : 0);
        }
    }
}

static void packing_disturbs_nobody(void **state) {
    (void)state;
    struct us_store *store = open_store("busy");
    for (int k = 0; k < 50; k++) {
        put(store, k, "there");
    }
    us_cache_close(store);
    int stop[2];
    assert_int_equal(pipe2(stop, 04000 /* O_NONBLOCK */), 0);
    pid_t child = fork();
    if (child == 0) {
        close(stop[1]);
        use_while_packed(stop[0]);
    }
    for (int i = 0; i < 20; i++) {
        store = open_store("busy");
        put(store, 500 + i, "text");
        us_cache_close(store);
        store = open_store("busy");
        compact(store);
        us_cache_close(store);
    }
    close(stop[1]);
    int status;
    waitpid(child, &status, 0);
    close(stop[0]);
    assert_int_equal(status, 0);
    store = open_store("busy");
    for (int i = 0; i < 20; i++) {
        assert_string_equal(us_text_get(store, 500 + i), "text");
    }
    us_cache_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_stores_see_each_other),
        cmocka_unit_test(dropped_is_gone_for_all_and_may_come_again),
        cmocka_unit_test(all_choose_the_same_of_many_writers),
        cmocka_unit_test(the_earlier_of_two_stands),
        cmocka_unit_test(what_a_pack_stands_for_does_not_count),
        cmocka_unit_test(notes_come_back_and_choose_what_stays),
        cmocka_unit_test(a_thousand_frames_take_three_opens),
        cmocka_unit_test(logs_are_packed_when_there_are_many),
        cmocka_unit_test(small_objects_lie_among_the_records),
        cmocka_unit_test(records_in_files_of_their_own_still_count),
        cmocka_unit_test(packing_disturbs_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
