#include "runtime/base/hash.h"

#include <string.h>

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wundef"
#include <xxhash.h>
#pragma GCC diagnostic pop

#include "runtime/base/error.h"
#include "runtime/base/mem.h"

struct us_hasher *us_hasher_create(void) {
    struct us_hasher *hasher = us_malloc(sizeof *hasher);
    hasher->state = NULL;
    hasher->kept = 0;
    return hasher;
}

void us_hasher_reset(struct us_hasher *hasher) {
    XXH3_freeState(hasher->state);
    hasher->state = NULL;
    hasher->kept = 0;
}

void us_hasher_destroy(struct us_hasher *hasher) {
    if (hasher) {
        us_hasher_reset(hasher);
        us_free(hasher);
    }
}

static void spill(struct us_hasher *hasher) {
    hasher->state = XXH3_createState();
    if (!hasher->state) {
        US_BUG("no memory for a hash state");
    }
    XXH3_128bits_reset(hasher->state);
    XXH3_128bits_update(hasher->state, hasher->bytes, hasher->kept);
}

void us_hasher_bytes(struct us_hasher *hasher, const void *bytes, size_t length) {
    if (!hasher->state && length <= sizeof hasher->bytes - hasher->kept) {
        if (length) {
            memcpy(hasher->bytes + hasher->kept, bytes, length);
        }
        hasher->kept += length;
        return;
    }
    if (!hasher->state) {
        spill(hasher);
    }
    XXH3_128bits_update(hasher->state, bytes, length);
}

static void feed(struct us_hasher *hasher, char type, const void *bytes, size_t length) {
    uint8_t head[9] = {(uint8_t)type};
    for (int i = 0; i < 8; i++) {
        head[1 + i] = (uint8_t)((uint64_t)length >> (8 * i));
    }
    us_hasher_bytes(hasher, head, sizeof head);
    us_hasher_bytes(hasher, bytes, length);
}

void us_hasher_string(struct us_hasher *hasher, const char *text) {
    feed(hasher, 's', text, strlen(text));
}

void us_hasher_blob(struct us_hasher *hasher, const void *bytes, size_t length) {
    feed(hasher, 'b', bytes, length);
}

void us_hasher_int(struct us_hasher *hasher, int64_t value) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)((uint64_t)value >> (8 * i));
    }
    feed(hasher, 'i', bytes, sizeof bytes);
}

void us_hasher_double(struct us_hasher *hasher, double value) {
    uint64_t bits = 0x7ff8000000000000u;
    if (value == value) {
        value += 0.0; /* -0 becomes 0 */
        memcpy(&bits, &value, sizeof bits);
    }
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(bits >> (8 * i));
    }
    feed(hasher, 'f', bytes, sizeof bytes);
}

void us_hasher_digest(struct us_hasher *hasher, const struct us_digest *digest) {
    feed(hasher, 'd', digest->bytes, sizeof digest->bytes);
}

static struct us_digest canonical(XXH128_hash_t hash) {
    XXH128_canonical_t canon;
    XXH128_canonicalFromHash(&canon, hash);
    struct us_digest digest;
    memcpy(digest.bytes, canon.digest, sizeof digest.bytes);
    return digest;
}

struct us_digest us_hasher_finish(const struct us_hasher *hasher) {
    return canonical(hasher->state ? XXH3_128bits_digest(hasher->state)
                                   : XXH3_128bits(hasher->bytes, hasher->kept));
}

struct us_digest us_digest_of(const void *bytes, size_t length) {
    return canonical(XXH3_128bits(bytes, length));
}

bool us_digest_equal(const struct us_digest *a, const struct us_digest *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool us_digest_is_zero(const struct us_digest *digest) {
    static const struct us_digest zero;
    return us_digest_equal(digest, &zero);
}

char *us_digest_hex(const struct us_digest *digest, char hex[US_DIGEST_HEX]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof digest->bytes; i++) {
        hex[2 * i] = digits[digest->bytes[i] >> 4];
        hex[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    hex[32] = '\0';
    return hex;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool us_digest_parse(const char *hex, struct us_digest *digest) {
    for (size_t i = 0; i < sizeof digest->bytes; i++) {
        int high = hex_value(hex[2 * i]);
        int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);
        if (low < 0) {
            return false;
        }
        digest->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
