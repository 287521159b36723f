/* Pages of the index damaged in every way: no wrong value, no end of the program, and new values
 * are kept. ROUNDS=5000 for long. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/index.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"

enum { VALUES = 3000, NEW = 200, PAGE = 4096, LONG = 10000 };

static uint64_t seed = 20261127;

static uint32_t any(uint32_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

static struct us_digest key_of(int i) {
    return us_digest_of(&i, sizeof i);
}

/* Some larger than a page, so that there are pages of every kind. */
static size_t value_of(int i, uint8_t value[LONG]) {
    const size_t size = i % 97 == 0 ? LONG : 24;
    for (size_t at = 0; at < size; at++) {
        value[at] = (uint8_t)((size_t)i * 31 + at);
    }
    return size;
}

static void put(struct us_index *index, int from, int to) {
    uint8_t value[LONG];
    for (int i = from; i < to; i++) {
        const struct us_digest key = key_of(i);
        us_index_put(index, &key, value, value_of(i, value));
    }
}

/* How many there are; all of those are right. */
static int get(struct us_index *index, int from, int to) {
    uint8_t wanted[LONG];
    int found = 0;
    for (int i = from; i < to; i++) {
        const struct us_digest key = key_of(i);
        const size_t size = value_of(i, wanted);
        size_t is;
        uint8_t *value = us_index_get(index, &key, &is);
        if (value) {
            found++;
            assert_int_equal(is, size);
            assert_memory_equal(value, wanted, size);
            us_free(value);
        }
    }
    return found;
}

static const char *folder(void) {
    static char path[300];
    snprintf(path, sizeof path, "%s/index", us_test_folder());
    return path;
}

static void data_path(char path[320]) {
    snprintf(path, 320, "%s/data.mdb", folder());
}

static void restore(const void *bytes, size_t size) {
    char path[320], lock[320];
    data_path(path);
    snprintf(lock, sizeof lock, "%s/lock.mdb", folder());
    unlink(lock);
    ASSERT_OK(us_write_file(path, bytes, size));
}

/* True when only bits or the end are gone. */
static bool damage(uint8_t *bytes, size_t *size) {
    uint8_t *page = bytes + (size_t)any((uint32_t)(*size / PAGE)) * PAGE;
    const uint32_t kind = any(6);
    switch (kind) {
    case 0:
        bytes[any((uint32_t)*size)] ^= (uint8_t)(1 << any(8));
        break;
    case 1:
        for (int i = 0; i < PAGE; i++) {
            page[i] = (uint8_t)any(256);
        }
        break;
    case 2:
        memset(page, 0, PAGE);
        break;
    case 3: /* the head of a page and its first places */
        page[any(64)] = (uint8_t)any(256);
        break;
    case 4:
        memcpy(page, bytes + (size_t)any((uint32_t)(*size / PAGE)) * PAGE, PAGE);
        break;
    default:
        *size = any((uint32_t)*size);
    }
    return kind == 0 || kind > 4;
}

static void damage_costs_only_what_was_known(void **state) {
    (void)state;
    struct us_index index;
    us_index_init(&index, us_strdup(folder()));
    put(&index, 0, VALUES);
    us_index_finish(&index);
    char path[320];
    data_path(path);
    uint8_t *whole;
    size_t size;
    ASSERT_OK(us_read_file(path, 1 << 30, &whole, &size));
    while (size > PAGE && !whole[size - 1]) {
        size--; /* the file has room for more */
    }
    size = (size + PAGE - 1) / PAGE * PAGE;
    uint8_t *bytes = us_malloc(size);
    const char *rounds = getenv("ROUNDS");
    int noticed = 0, forgetful = 0;
    for (long round = 0; round < (rounds ? strtol(rounds, NULL, 10) : 150); round++) {
        memcpy(bytes, whole, size);
        size_t left = size;
        const bool slight = damage(bytes, &left);
        restore(bytes, left);
        us_index_init(&index, us_strdup(folder()));
        noticed += get(&index, 0, VALUES) < VALUES;
        for (int i = 0; slight && i < 2; i++) { /* what is damaged in writing is noticed by then */
            put(&index, VALUES, VALUES + NEW);
            us_index_finish(&index);
            us_index_init(&index, us_strdup(folder()));
            get(&index, 0, VALUES);
            forgetful += i && get(&index, VALUES, VALUES + NEW) < NEW;
        }
        us_index_finish(&index);
    }
    assert_true(noticed > 10);
    assert_true(forgetful <= noticed / 50); /* keys out of order, unseen */
    us_free(bytes);
    us_free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(damage_costs_only_what_was_known)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
