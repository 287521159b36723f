#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/host.h"
#include "runtime/base/mem.h"

enum { MISSED_BEATS = 3, LEASE_TEXT = 256, LEASE_NAME = US_DIGEST_HEX + 8 };

struct us_lease {
    struct us_digest key;
    int fd; /* beats go to the file we made, whatever has its name now */
    struct us_lease *next;
};

static void lease_path(const struct cache *cache, const struct us_digest *key, const char *ending,
                       char path[CACHE_PATH]) {
    char hex[US_DIGEST_HEX], name[LEASE_NAME];
    snprintf(name, sizeof name, "%s%s", us_digest_hex(key, hex), ending);
    us_cache_room_path(cache, "leases", name, path);
}

void us_cache_beat(struct cache *cache) {
    pthread_mutex_lock(&cache->lock);
    for (struct us_lease *lease = cache->leases; lease; lease = lease->next) {
        futimens(lease->fd, NULL);
    }
    pthread_mutex_unlock(&cache->lock);
}

/* Makes the file and writes who we are into it. *fd -1: it is there already. A file left empty by
 * who died between the two goes by its age. */
static struct us_error *make_claim(struct cache *cache, const char *path, int *fd) {
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    *fd = open(path, flags, 0640);
    if (*fd < 0 && errno == ENOENT) {
        US_TRY(us_cache_make_rooms(cache));
        *fd = open(path, flags, 0640);
    }
    if (*fd < 0) {
        return errno == EEXIST ? NULL : us_cache_errno(cache, errno, "cannot take the lease", path);
    }
    char text[LEASE_TEXT];
    int length =
        snprintf(text, sizeof text, "%s %ld %llu\n", us_host_id(), (long)getpid(), us_own_start());
    ssize_t put = write(*fd, text, (size_t)length);
    if (put == length) {
        return NULL;
    }
    int failed = put < 0 ? errno : ENOSPC;
    close(*fd);
    unlink(path);
    return us_cache_errno(cache, failed, "cannot take the lease", path);
}

/* What a claim says, and when it was last touched. False: there is none. */
static bool read_claim(const char *path, char text[LEASE_TEXT], int64_t *beat) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0) {
        return false;
    }
    ssize_t length = read(fd, text, LEASE_TEXT - 1);
    bool fine = length >= 0 && fstat(fd, &info) == 0;
    close(fd);
    if (fine) {
        text[length] = '\0';
        *beat = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    }
    return fine;
}

/* A dead process of this host at once; else after the missed beats, by the file server's clock. */
static bool is_stale(struct cache *cache, const char *path) {
    char text[LEASE_TEXT], host[64] = "";
    int64_t beat, now;
    if (!read_claim(path, text, &beat)) {
        return false;
    }
    long pid = 0;
    unsigned long long start = 0;
    if (sscanf(text, "%63s %ld %llu", host, &pid, &start) == 3 && strcmp(host, us_host_id()) == 0 &&
        us_process_start((pid_t)pid) != start) {
        return true;
    }
    return us_cache_server_time(cache, &now) &&
           (double)(now - beat) > MISSED_BEATS * us_cache_beat_seconds * 1e9;
}

/* Moves a stale file out of the way and looks at what was moved: when it is not stale any more,
 * somebody was faster, and it is put back. */
static void move_away(struct cache *cache, const char *path) {
    char aside[CACHE_PATH];
    us_cache_temporary(cache, aside);
    if (rename(path, aside) != 0) {
        return;
    }
    if (!is_stale(cache, aside)) {
        (void)!link(aside, path);
    }
    unlink(aside);
}

/* Only who holds the steal file removes another's claim, and looks at it again first: so a claim
 * made by a faster thief is never taken for the stale one. */
static struct us_error *steal(struct cache *cache, const struct us_digest *key, const char *path,
                              int *fd) {
    char lock[CACHE_PATH];
    int lock_fd;
    lease_path(cache, key, ".steal", lock);
    *fd = -1;
    US_TRY(make_claim(cache, lock, &lock_fd));
    if (lock_fd < 0) {
        if (is_stale(cache, lock)) {
            move_away(cache, lock); /* the thief died; the next try gets it */
        }
        return NULL;
    }
    struct us_error *error = NULL;
    if (is_stale(cache, path)) {
        move_away(cache, path);
        error = make_claim(cache, path, fd);
    }
    unlink(lock);
    close(lock_fd);
    return error;
}

struct us_error *us_cache_lease(struct us_store *store, const struct us_digest *key, bool *taken) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH];
    int fd;
    *taken = false;
    lease_path(cache, key, "", path);
    struct us_error *error = make_claim(cache, path, &fd);
    for (int tries = 0; !error && fd < 0 && tries < 2 && is_stale(cache, path); tries++) {
        error = steal(cache, key, path, &fd);
    }
    /* Taken, what its last holder wrote is to be seen; not taken, somebody waits for that. */
    us_records_ask(cache);
    if (error || fd < 0) {
        return error;
    }
    struct us_lease *lease = us_calloc(1, sizeof *lease);
    lease->key = *key;
    lease->fd = fd;
    pthread_mutex_lock(&cache->lock);
    lease->next = cache->leases;
    cache->leases = lease;
    pthread_mutex_unlock(&cache->lock);
    us_cache_start_keeper(cache);
    *taken = true;
    return NULL;
}

bool us_cache_holds_lease(struct cache *cache, const struct us_digest *key) {
    pthread_mutex_lock(&cache->lock);
    const struct us_lease *lease = cache->leases;
    while (lease && !us_digest_equal(&lease->key, key)) {
        lease = lease->next;
    }
    pthread_mutex_unlock(&cache->lock);
    return lease != NULL;
}

static void end_lease(struct cache *cache, struct us_lease *lease) {
    char path[CACHE_PATH];
    lease_path(cache, &lease->key, "", path);
    struct stat ours, there;
    if (fstat(lease->fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
        ours.st_dev == there.st_dev) {
        unlink(path);
    }
    close(lease->fd);
    us_free(lease);
}

void us_cache_release(struct us_store *store, const struct us_digest *key) {
    struct cache *cache = us_cache_of(store);
    us_records_show(cache);
    pthread_mutex_lock(&cache->lock);
    struct us_lease **at = &cache->leases;
    while (*at && !us_digest_equal(&(*at)->key, key)) {
        at = &(*at)->next;
    }
    struct us_lease *lease = *at;
    if (lease) {
        *at = lease->next;
    }
    pthread_mutex_unlock(&cache->lock);
    if (lease) {
        end_lease(cache, lease);
    }
}

void us_cache_leases_finish(struct cache *cache) {
    us_records_show(cache);
    while (cache->leases) {
        struct us_lease *next = cache->leases->next;
        end_lease(cache, cache->leases);
        cache->leases = next;
    }
}
