#include "cache/host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/hash.h"

static char id[US_DIGEST_HEX];

static void make_id(void) {
    char host[256] = "", boot[64] = "", pids[64] = "";
    gethostname(host, sizeof host - 1);
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file) {
        if (!fgets(boot, sizeof boot, file)) {
            boot[0] = '\0';
        }
        fclose(file);
    }
    if (readlink("/proc/self/ns/pid", pids, sizeof pids - 1) < 0) {
        pids[0] = '\0';
    }
    struct us_hasher *hasher = us_hasher_create();
    us_hasher_string(hasher, host);
    us_hasher_string(hasher, boot);
    us_hasher_string(hasher, pids);
    struct us_digest digest = us_hasher_finish(hasher);
    us_hasher_destroy(hasher);
    us_digest_hex(&digest, id);
    id[16] = '\0';
}

const char *us_host_id(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_id);
    return id;
}

unsigned long long us_process_start(pid_t pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "re");
    if (!file) {
        return 0;
    }
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    /* The program's name, in brackets, may hold anything; field 3 follows the last bracket. */
    char *at = strrchr(text, ')');
    if (at && (strncmp(at, ") Z", 3) == 0 || strncmp(at, ") X", 3) == 0)) {
        return 0;
    }
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

enum us_life us_process_life(const char *text, char blank) {
    size_t length = strlen(us_host_id());
    if (strncmp(text, us_host_id(), length) != 0 || text[length] != blank) {
        return US_ELSEWHERE;
    }
    char *end;
    long pid = strtol(text + length + 1, &end, 10);
    if (pid <= 0 || *end != blank) {
        return US_ELSEWHERE;
    }
    unsigned long long start = strtoull(end + 1, NULL, 10);
    return us_process_start((pid_t)pid) == start ? US_ALIVE : US_DEAD;
}

unsigned long long us_own_start(void) {
    static _Atomic unsigned long long start;
    static _Atomic pid_t owner; /* a child of fork is another process */
    if (atomic_load(&owner) != getpid()) {
        atomic_store(&start, us_process_start(getpid()));
        atomic_store(&owner, getpid());
    }
    return atomic_load(&start);
}
