/* XXH3-128 digests and typed, length-prefixed feeding (docs/cache.md has the encoding).
 *
 * Source: xxHash specification, XXH3 128-bit variant. It finds accidents, not attacks. */
#ifndef US_RUNTIME_BASE_HASH_H
#define US_RUNTIME_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct us_digest {
    uint8_t bytes[16]; /* canonical (big-endian) form */
};

enum { US_DIGEST_HEX = 33 }; /* characters of the hex text, NUL included */

/* Short input is kept and hashed at the end, in one go. A zeroed one is ready for use, too. */
struct us_hasher {
    void *state; /* NULL while what was fed fits below */
    size_t kept;
    uint8_t bytes[240];
};

struct us_hasher *us_hasher_create(void);
void us_hasher_destroy(struct us_hasher *hasher);
/* Starts anew; also how a hasher of one's own is made ready and, at last, given back. */
void us_hasher_reset(struct us_hasher *hasher);

/* Raw bytes, no length: for bulk data whose size was fed before. */
void us_hasher_bytes(struct us_hasher *hasher, const void *bytes, size_t length);
/* Each of these feeds a type byte and a fixed or prefixed length, so that no two sequences of
 * calls feed the same bytes. A double's -0 is fed as 0 and every NaN as one NaN. */
void us_hasher_string(struct us_hasher *hasher, const char *text);
void us_hasher_blob(struct us_hasher *hasher, const void *bytes, size_t length);
void us_hasher_int(struct us_hasher *hasher, int64_t value);
void us_hasher_double(struct us_hasher *hasher, double value);
void us_hasher_digest(struct us_hasher *hasher, const struct us_digest *digest);
struct us_digest us_hasher_finish(const struct us_hasher *hasher);

struct us_digest us_digest_of(const void *bytes, size_t length);
bool us_digest_equal(const struct us_digest *a, const struct us_digest *b);
bool us_digest_is_zero(const struct us_digest *digest);
/* Writes US_DIGEST_HEX characters to `hex` and returns it. */
char *us_digest_hex(const struct us_digest *digest, char hex[US_DIGEST_HEX]);
/* False unless `hex` starts with exactly 32 hex digits. */
bool us_digest_parse(const char *hex, struct us_digest *digest);

#endif
