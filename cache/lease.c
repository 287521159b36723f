#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/hold.h"
#include "cache/host.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"

enum { MISSED_BEATS = 3, LEASE_TEXT = 256, LEASE_NAME = US_DIGEST_HEX + 8 };

/* A lease is a link to the store's claim, a file in tmp/ that says who we are: taken by one call,
 * and one touch is a beat for all. Where there are no links it is a file of its own. */
struct us_lease {
    struct us_digest key;
    int fd; /* of a file of its own, which gets the beats whatever has its name now; else -1 */
    uint64_t inode; /* of the file taken */
    bool held;      /* or being asked for */
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
    if (cache->claim >= 0) {
        futimens(cache->claim, NULL);
    }
    for (struct us_lease *lease = cache->leases; lease; lease = lease->next) {
        if (lease->fd >= 0) {
            futimens(lease->fd, NULL);
        }
    }
    pthread_mutex_unlock(&cache->lock);
}

/* Makes a file and writes who we are into it. Returns 0 or errno. */
static int write_claim(const char *path, int *fd, uint64_t *inode) {
    struct stat info;
    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (*fd < 0) {
        return errno;
    }
    char text[LEASE_TEXT];
    int length =
        snprintf(text, sizeof text, "%s %ld %llu\n", us_host_id(), (long)getpid(), us_own_start());
    errno = ENOSPC;
    if (write(*fd, text, (size_t)length) == length && fstat(*fd, &info) == 0) {
        *inode = info.st_ino;
        return 0;
    }
    int failed = errno;
    close(*fd);
    unlink(path);
    *fd = -1;
    return failed;
}

/* With the lock held. */
static void drop_claim(struct cache *cache) {
    if (cache->claim >= 0) {
        unlink(cache->claim_path);
        close(cache->claim);
        us_free(cache->claim_path);
        cache->claim_path = NULL;
        cache->claim = -1;
    }
}

/* With the lock held: the store's claim, under a name that is still there. 0 or errno. */
static int have_claim(struct cache *cache) {
    struct stat info;
    char path[CACHE_PATH];
    if (cache->claim >= 0 && fstat(cache->claim, &info) == 0 && info.st_nlink > 0 &&
        access(cache->claim_path, F_OK) == 0) {
        return 0;
    }
    drop_claim(cache);
    us_cache_temporary(cache, path);
    char *name = strrchr(path, '/') + 1;
    memmove(name + 1, name, strlen(name) + 1);
    name[0] = '.'; /* nothing that is being written */
    int failed = write_claim(path, &cache->claim, &cache->claim_inode);
    if (!failed) {
        cache->claim_path = us_strdup(path);
    }
    return failed;
}

bool us_cache_server_time(struct cache *cache, int64_t *ns) {
    struct stat info;
    pthread_mutex_lock(&cache->lock);
    bool fine = have_claim(cache) == 0 && futimens(cache->claim, NULL) == 0 &&
                fstat(cache->claim, &info) == 0;
    pthread_mutex_unlock(&cache->lock);
    if (fine) {
        *ns = us_stamp_of(&info);
    }
    return fine;
}

/* Our claim under that name: 0, EEXIST or what went wrong. A network file system may say EEXIST of
 * a link that it has just made. */
static int link_claim(struct cache *cache, const char *path, struct us_lease *lease) {
    struct stat info;
    lease->fd = -1;
    pthread_mutex_lock(&cache->lock);
    int failed = cache->claim >= 0 ? 0 : have_claim(cache);
    if (!failed && !cache->keeper_runs) {
        futimens(cache->claim, NULL);
    }
    for (int tries = 0; !failed && tries < 2; tries++) {
        failed = link(cache->claim_path, path) == 0 ? 0 : errno;
        if (failed != ENOENT || tries == 1) {
            break;
        }
        failed = have_claim(cache); /* somebody removed it, or the cache */
    }
    if (failed == EEXIST && stat(path, &info) == 0 && info.st_ino == cache->claim_inode) {
        failed = 0;
    }
    lease->inode = cache->claim_inode;
    pthread_mutex_unlock(&cache->lock);
    return failed == EPERM || failed == EOPNOTSUPP ? write_claim(path, &lease->fd, &lease->inode)
                                                   : failed;
}

/* *taken false: somebody has it. */
static struct us_error *make_claim(struct cache *cache, const char *path, struct us_lease *lease,
                                   bool *taken) {
    int failed = link_claim(cache, path, lease);
    if (failed == ENOENT) {
        US_TRY(us_cache_make_rooms(cache));
        failed = link_claim(cache, path, lease);
    }
    *taken = !failed;
    if (!failed || failed == EEXIST) {
        return NULL;
    }
    struct us_error *error = us_cache_errno(cache, failed, "cannot take the lease", path);
    return failed == EROFS || failed == EACCES
               ? us_error_hint(error, "this writes to the cache: name another with --cache")
               : error;
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
        *beat = us_stamp_of(&info);
    }
    return fine;
}

char *us_cache_lease_holder(struct us_store *store, const struct us_digest *key) {
    const struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH], text[LEASE_TEXT];
    int64_t beat;
    lease_path(cache, key, "", path);
    if (!read_claim(path, text, &beat)) {
        return NULL;
    }
    const size_t id = strcspn(text, " ");
    const bool here = strlen(us_host_id()) == id && strncmp(text, us_host_id(), id) == 0;
    struct us_str who = {0};
    us_str_printf(&who, "process %ld on %s", strtol(text + id, NULL, 10),
                  here ? "this machine" : "another machine");
    return us_str_take(&who);
}

/* A dead process of this host at once; else after the missed beats, by the file server's clock. */
static bool is_stale(struct cache *cache, const char *path) {
    char text[LEASE_TEXT];
    int64_t beat, now;
    if (!read_claim(path, text, &beat)) {
        return false;
    }
    if (us_process_life(text, ' ') == US_DEAD) {
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
static struct us_error *steal(struct cache *cache, const char *path, struct us_lease *lease,
                              bool *taken) {
    char path_of_lock[CACHE_PATH];
    struct us_lease lock;
    bool locked;
    *taken = false;
    lease_path(cache, &lease->key, ".steal", path_of_lock);
    US_TRY(make_claim(cache, path_of_lock, &lock, &locked));
    if (!locked) {
        if (is_stale(cache, path_of_lock)) {
            move_away(cache, path_of_lock); /* the thief died; the next try gets it */
        }
        return NULL;
    }
    struct us_error *error = NULL;
    if (is_stale(cache, path)) {
        move_away(cache, path);
        error = make_claim(cache, path, lease, taken);
    }
    unlink(path_of_lock);
    if (lock.fd >= 0) {
        close(lock.fd);
    }
    return error;
}

/* Puts it among ours before it is taken, so that of two threads one asks for it; NULL: it is there.
 */
static struct us_lease *reserve(struct cache *cache, const struct us_digest *key) {
    struct us_lease *lease;
    pthread_mutex_lock(&cache->lock);
    for (lease = cache->leases; lease && !us_digest_equal(&lease->key, key);) {
        lease = lease->next;
    }
    bool there = lease != NULL;
    if (!there) {
        lease = us_calloc(1, sizeof *lease);
        lease->key = *key;
        lease->fd = -1;
        lease->next = cache->leases;
        cache->leases = lease;
    }
    pthread_mutex_unlock(&cache->lock);
    return there ? NULL : lease;
}

static struct us_lease *take_out(struct cache *cache, const struct us_digest *key) {
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
    return lease;
}

struct us_error *us_cache_lease(struct us_store *store, const struct us_digest *key, bool *taken) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH];
    *taken = false;
    struct us_lease *lease = reserve(cache, key);
    struct us_lease made = {.key = *key};
    struct us_error *error = NULL;
    if (lease) {
        lease_path(cache, key, "", path);
        error = make_claim(cache, path, &made, taken);
        for (int tries = 0; !error && !*taken && tries < 2 && is_stale(cache, path); tries++) {
            error = steal(cache, path, &made, taken);
        }
    }
    /* Taken, what its last holder wrote is to be seen; not taken, somebody waits for that. */
    us_records_ask(cache);
    if (lease && !*taken) {
        us_free(take_out(cache, key));
    }
    if (*taken) {
        pthread_mutex_lock(&cache->lock);
        lease->fd = made.fd;
        lease->inode = made.inode;
        lease->held = true;
        pthread_mutex_unlock(&cache->lock);
        us_cache_start_keeper(cache);
    }
    return error;
}

bool us_cache_holds_lease(struct cache *cache, const struct us_digest *key) {
    pthread_mutex_lock(&cache->lock);
    const struct us_lease *lease = cache->leases;
    while (lease && !us_digest_equal(&lease->key, key)) {
        lease = lease->next;
    }
    bool held = lease && lease->held;
    pthread_mutex_unlock(&cache->lock);
    return held;
}

/* Unless it is another's by now. */
static void end_lease(struct cache *cache, struct us_lease *lease) {
    char path[CACHE_PATH];
    lease_path(cache, &lease->key, "", path);
    struct stat there;
    if (stat(path, &there) == 0 && there.st_ino == lease->inode) {
        unlink(path);
    }
    if (lease->fd >= 0) {
        close(lease->fd);
    }
    us_free(lease);
}

void us_cache_release(struct us_store *store, const struct us_digest *key) {
    struct cache *cache = us_cache_of(store);
    us_records_show(cache);
    struct us_lease *lease = take_out(cache, key);
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

void us_cache_claim_finish(struct cache *cache) {
    drop_claim(cache);
}
