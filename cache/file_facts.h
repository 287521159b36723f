/* What is remembered of a source file. */
#ifndef US_CACHE_FILE_FACTS_H
#define US_CACHE_FILE_FACTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "runtime/base/hash.h"

/* What the index keeps of a file; the digest holds as long as all of it does. */
struct us_file_facts {
    int64_t size, mtime_ns, ctime_ns;
    struct us_digest digest;
};

/* A time stamp in nanoseconds, modulo 2^64: those of files may be any, and are only compared with
 * each other. */
static inline int64_t us_facts_time(struct timespec time) {
    return (int64_t)((uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec);
}

struct us_file_facts us_facts_of(const struct stat *info);
bool us_same_facts(const struct us_file_facts *a, const struct us_file_facts *b);
/* The file's name in the index: device and inode. */
struct us_digest us_facts_key(const struct stat *info);

#endif
