#include <string.h>

#include "cache/remote_internal.h"
#include "runtime/base/mem.h"

/* Open addressing; keys are digests already, so any eight of their bytes are a hash. */
static struct remote_fact *place_of(const struct remote_facts *facts, enum remote_kind kind,
                                    const struct us_digest *key) {
    uint64_t hash;
    memcpy(&hash, key->bytes, sizeof hash);
    for (size_t at = (size_t)hash + kind;; at++) {
        struct remote_fact *fact = &facts->items[at & (facts->capacity - 1)];
        if (!fact->kind || (fact->kind == kind && us_digest_equal(&fact->key, key))) {
            return fact;
        }
    }
}

struct remote_fact remote_fact_of(const struct remote_facts *facts, enum remote_kind kind,
                                  const struct us_digest *key) {
    return facts->capacity ? *place_of(facts, kind, key) : (struct remote_fact){0};
}

static void grow(struct remote_facts *facts) {
    struct remote_facts larger = {.used = facts->used,
                                  .capacity = facts->capacity ? 2 * facts->capacity : 256};
    larger.items = us_calloc(larger.capacity, sizeof *larger.items);
    for (size_t i = 0; i < facts->capacity; i++) {
        struct remote_fact *fact = &facts->items[i];
        if (fact->kind) {
            *place_of(&larger, (enum remote_kind)fact->kind, &fact->key) = *fact;
        }
    }
    us_free(facts->items);
    *facts = larger;
}

struct remote_fact *remote_fact_at(struct remote_facts *facts, enum remote_kind kind,
                                   const struct us_digest *key) {
    if (4 * (facts->used + 1) > 3 * facts->capacity) {
        grow(facts);
    }
    struct remote_fact *fact = place_of(facts, kind, key);
    if (!fact->kind) {
        facts->used++;
        *fact = (struct remote_fact){.key = *key, .kind = (uint8_t)kind};
    }
    return fact;
}
