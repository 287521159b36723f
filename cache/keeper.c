#include <math.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache_internal.h"

double us_cache_beat_seconds = 5.0;

static void wait_a_beat(struct cache *cache) {
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
}

static void *keep(void *context) {
    struct cache *cache = context;
    pthread_mutex_lock(&cache->lock);
    while (!cache->closing) {
        wait_a_beat(cache);
        pthread_mutex_unlock(&cache->lock);
        us_cache_beat(cache);
        us_live_beat(cache);
        us_records_tick(cache);
        us_index_tick(&cache->index);
        pthread_mutex_lock(&cache->lock);
    }
    pthread_mutex_unlock(&cache->lock);
    return NULL;
}

/* Signals belong to the program's own threads. */
void us_cache_start_keeper(struct cache *cache) {
    pthread_mutex_lock(&cache->lock);
    if (!cache->keeper_runs && !cache->closing) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        cache->keeper_runs = pthread_create(&cache->keeper, NULL, keep, cache) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_mutex_unlock(&cache->lock);
}

void us_cache_stop_keeper(struct cache *cache) {
    pthread_mutex_lock(&cache->lock);
    cache->closing = true;
    bool runs = cache->keeper_runs;
    pthread_cond_signal(&cache->wake);
    pthread_mutex_unlock(&cache->lock);
    if (runs) {
        pthread_join(cache->keeper, NULL);
    }
    pthread_mutex_lock(&cache->lock);
    cache->keeper_runs = false;
    pthread_mutex_unlock(&cache->lock);
}
