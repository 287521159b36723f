#include "tests/support/text_records.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/support/check.h"

struct us_digest us_text_key(int n) {
    char name[32];
    snprintf(name, sizeof name, "key %d", n);
    return us_digest_of(name, strlen(name));
}

const char *us_text_get(struct us_store *store, int n) {
    static char text[256];
    struct us_digest key = us_text_key(n);
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(store->ops->find_record(store, &key, &bytes, &size));
    snprintf(text, sizeof text, "%s", bytes ? (const char *)bytes : "");
    us_free(bytes);
    return text;
}

void us_text_ask(struct us_store *store) {
    struct us_digest key = us_text_key(-1);
    bool taken;
    ASSERT_OK(store->ops->lease(store, &key, &taken));
    assert_true(taken);
    store->ops->release(store, &key);
}
