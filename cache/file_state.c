#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/file_facts.h"

enum { MOST_THREADS = 8, ENOUGH_FOR_A_THREAD = 2048, FINE_TICK_MS = 20, COARSE_TICK_MS = 2000 };

struct states {
    const char *const *paths;
    struct us_digest *states;
    size_t count;
    int64_t fine_device, coarse_device; /* the last ones asked about; -1: none */
};

static bool has_fine_stamps(struct states *states, const char *path, const struct stat *info) {
    const int64_t device = (int64_t)info->st_dev;
    struct statfs system;
    if (device == states->fine_device || device == states->coarse_device) {
        return device == states->fine_device;
    }
    const bool fine = statfs(path, &system) == 0 && us_cache_stamps_are_fine((long)system.f_type);
    *(fine ? &states->fine_device : &states->coarse_device) = device;
    return fine;
}

/* Whether a change from now on would move the stamps. */
static bool is_settled(struct states *states, const char *path, const struct stat *info) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t age =
        (us_facts_time(now) - us_facts_time(info->st_ctim)) / 1000000; /* milliseconds */
    return age > COARSE_TICK_MS ||
           (age > FINE_TICK_MS && info->st_ctim.tv_nsec && has_fine_stamps(states, path, info));
}

static struct us_digest state_of(const struct stat *info) {
    const int64_t facts[] = {
        (int64_t)info->st_dev, (int64_t)info->st_ino,        info->st_mode,
        info->st_size,         us_facts_time(info->st_mtim), us_facts_time(info->st_ctim)};
    return us_digest_of(facts, sizeof facts);
}

/* Paths of one folder mostly come together: the folder is opened once for them. */
struct near_folder {
    char path[CACHE_PATH];
    int at; /* -1: none, or it could not be opened */
};

static void enter(struct near_folder *folder, const char *path, size_t length) {
    if (strncmp(folder->path, path, length) == 0 && !folder->path[length]) {
        return;
    }
    if (folder->at >= 0) {
        close(folder->at);
    }
    memcpy(folder->path, path, length);
    folder->path[length] = '\0';
    folder->at = open(folder->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static bool look(struct near_folder *folder, const char *path, struct stat *info) {
    const char *slash = strrchr(path, '/');
    const size_t length = slash ? (size_t)(slash - path) : 0;
    if (length && length < sizeof folder->path) {
        enter(folder, path, length);
        if (folder->at >= 0 && slash[1]) {
            return fstatat(folder->at, slash + 1, info, 0) == 0;
        }
    }
    return stat(path, info) == 0;
}

static void *find_states(void *context) {
    struct states *states = context;
    struct near_folder folder = {.at = -1};
    states->fine_device = states->coarse_device = -1;
    for (size_t i = 0; i < states->count; i++) {
        const char *path = states->paths[i];
        struct stat info;
        const bool found = look(&folder, path, &info);
        if (found && is_settled(states, path, &info)) {
            states->states[i] = state_of(&info);
        } else if (!found && (errno == ENOENT || errno == ENOTDIR)) {
            states->states[i] = us_digest_of("absent", 6);
        } else {
            states->states[i] = (struct us_digest){0};
        }
    }
    if (folder.at >= 0) {
        close(folder.at);
    }
    return NULL;
}

void us_cache_file_states(struct us_store *store, const char *const *paths, size_t count,
                          struct us_digest *states) {
    (void)store;
    struct states parts[MOST_THREADS];
    pthread_t threads[MOST_THREADS];
    size_t wanted = 1 + count / ENOUGH_FOR_A_THREAD, started = 0;
    wanted = wanted < MOST_THREADS ? wanted : MOST_THREADS;
    for (size_t i = 0; i < wanted; i++) {
        const size_t from = count * i / wanted, to = count * (i + 1) / wanted;
        parts[i] =
            (struct states){.paths = paths + from, .states = states + from, .count = to - from};
    }
    while (started + 1 < wanted &&
           pthread_create(&threads[started], NULL, find_states, &parts[started]) == 0) {
        started++;
    }
    for (size_t i = started; i < wanted; i++) {
        find_states(&parts[i]);
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
}
