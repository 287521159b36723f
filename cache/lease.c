#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/host.h"
#include "runtime/base/mem.h"

enum { MISSED_BEATS = 3, LEASE_TEXT = 256 };
double us_cache_beat_seconds = 5.0;

struct us_lease {
    struct us_digest key;
    int fd; /* beats go to the file we made, whatever has its name now */
    struct us_lease *next;
};

static void lease_path(const struct cache *cache, const struct us_digest *key,
                       char path[CACHE_PATH]) {
    char hex[US_DIGEST_HEX];
    us_cache_room_path(cache, "leases", us_digest_hex(key, hex), path);
}

static void beat(struct cache *cache) {
    pthread_mutex_lock(&cache->lock);
    for (struct us_lease *lease = cache->leases; lease; lease = lease->next) {
        futimens(lease->fd, NULL);
    }
    pthread_mutex_unlock(&cache->lock);
}

static void *keep(void *context) {
    struct cache *cache = context;
    pthread_mutex_lock(&cache->lock);
    while (!cache->closing) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        double whole = floor(us_cache_beat_seconds);
        until.tv_sec += (time_t)whole;
        until.tv_nsec += (long)((us_cache_beat_seconds - whole) * 1e9);
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&cache->wake, &cache->lock, &until);
        pthread_mutex_unlock(&cache->lock);
        beat(cache);
        us_index_tick(&cache->index);
        pthread_mutex_lock(&cache->lock);
    }
    pthread_mutex_unlock(&cache->lock);
    return NULL;
}

/* Signals belong to the program's own threads. */
static void start_keeper(struct cache *cache) {
    if (cache->keeper_runs) {
        return;
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    cache->keeper_runs = pthread_create(&cache->keeper, NULL, keep, cache) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Makes our claim in tmp/: who we are, with a number that no other claim has. */
static struct us_error *write_claim(struct cache *cache, const char *temporary, const char *path,
                                    int *fd) {
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    *fd = open(temporary, flags, 0640);
    if (*fd < 0 && errno == ENOENT) {
        US_TRY(us_cache_make_rooms(cache));
        *fd = open(temporary, flags, 0640);
    }
    if (*fd < 0) {
        return us_cache_errno(cache, errno, "cannot take the lease", path);
    }
    char text[LEASE_TEXT];
    int length = snprintf(text, sizeof text, "%s %ld %llu\n%s\n", us_host_id(), (long)getpid(),
                          us_process_start(getpid()), strrchr(temporary, '/') + 1);
    ssize_t put = write(*fd, text, (size_t)length);
    if (put == length) {
        return NULL;
    }
    int failed = put < 0 ? errno : ENOSPC;
    close(*fd);
    unlink(temporary);
    return us_cache_errno(cache, failed, "cannot take the lease", path);
}

struct claim {
    char text[LEASE_TEXT];
    struct timespec beat;
};

static bool read_claim(const char *path, struct claim *claim) {
    *claim = (struct claim){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0) {
        return false;
    }
    ssize_t length = read(fd, claim->text, sizeof claim->text - 1);
    bool fine = length >= 0 && fstat(fd, &info) == 0;
    close(fd);
    if (fine) {
        claim->beat = info.st_mtim;
    }
    return fine;
}

/* Ages are told by the file server's clock: `ours` was touched just now. */
static bool is_stale(const struct claim *claim, const struct stat *ours) {
    double age = (double)(ours->st_mtim.tv_sec - claim->beat.tv_sec) +
                 1e-9 * (double)(ours->st_mtim.tv_nsec - claim->beat.tv_nsec);
    if (age > MISSED_BEATS * us_cache_beat_seconds) {
        return true;
    }
    char host[64] = "";
    long pid = 0;
    unsigned long long start = 0;
    if (sscanf(claim->text, "%63s %ld %llu", host, &pid, &start) != 3 ||
        strcmp(host, us_host_id()) != 0) {
        return false;
    }
    return us_process_start((pid_t)pid) != start;
}

/* Moves a stale claim away. Somebody else may have done so already and stand there now: what was
 * moved is looked at, and put back when it is not the stale one. */
static void evict(const struct cache *cache, const char *path, const struct claim *stale) {
    char aside[CACHE_PATH];
    us_cache_temporary(cache, aside);
    struct claim moved;
    if (rename(path, aside) != 0) {
        return;
    }
    if (read_claim(aside, &moved) && strcmp(moved.text, stale->text) != 0 &&
        link(aside, path) != 0) {
        unlink(aside);
        return;
    }
    unlink(aside);
}

static struct us_error *claim(struct cache *cache, const char *temporary, const char *path, int fd,
                              bool *taken) {
    *taken = false;
    for (int tries = 0; tries < 4; tries++) {
        struct claim other;
        struct stat ours;
        if (link(temporary, path) == 0) {
            *taken = true;
            return NULL;
        }
        if (errno != EEXIST) {
            return us_cache_errno(cache, errno, "cannot take the lease", path);
        }
        if (!read_claim(path, &other)) {
            continue;
        }
        if (futimens(fd, NULL) != 0 || fstat(fd, &ours) != 0 || !is_stale(&other, &ours)) {
            return NULL;
        }
        evict(cache, path, &other);
    }
    return NULL;
}

struct us_error *us_cache_lease(struct us_store *store, const struct us_digest *key, bool *taken) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH], temporary[CACHE_PATH];
    int fd;
    *taken = false;
    lease_path(cache, key, path);
    us_cache_temporary(cache, temporary);
    US_TRY(write_claim(cache, temporary, path, &fd));
    struct us_error *error = claim(cache, temporary, path, fd, taken);
    unlink(temporary);
    if (!*taken) {
        close(fd);
        return error;
    }
    struct us_lease *lease = us_calloc(1, sizeof *lease);
    lease->key = *key;
    lease->fd = fd;
    pthread_mutex_lock(&cache->lock);
    lease->next = cache->leases;
    cache->leases = lease;
    start_keeper(cache);
    pthread_mutex_unlock(&cache->lock);
    return NULL;
}

static void end_lease(struct cache *cache, struct us_lease *lease) {
    char path[CACHE_PATH];
    lease_path(cache, &lease->key, path);
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
    pthread_mutex_lock(&cache->lock);
    cache->closing = true;
    bool runs = cache->keeper_runs;
    pthread_cond_signal(&cache->wake);
    pthread_mutex_unlock(&cache->lock);
    if (runs) {
        pthread_join(cache->keeper, NULL);
    }
    while (cache->leases) {
        struct us_lease *next = cache->leases->next;
        end_lease(cache, cache->leases);
        cache->leases = next;
    }
}
