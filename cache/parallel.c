#include "cache/parallel.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MOST_THREADS = 16 };

struct job {
    struct us_error *(*work)(void *context, size_t index);
    void *context;
    size_t count;
    atomic_size_t next;
    struct us_error *_Atomic error;
};

static void *take_part(void *context) {
    struct job *job = context;
    for (size_t i;
         !atomic_load(&job->error) && (i = atomic_fetch_add(&job->next, 1)) < job->count;) {
        struct us_error *error = job->work(job->context, i), *none = NULL;
        if (error && !atomic_compare_exchange_strong(&job->error, &none, error)) {
            us_error_free(error);
        }
    }
    return NULL;
}

struct us_error *us_parallel(size_t count, struct us_error *(*work)(void *context, size_t index),
                             void *context) {
    struct job job = {.work = work, .context = context, .count = count};
    pthread_t threads[MOST_THREADS];
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    size_t wanted = cpus > MOST_THREADS ? MOST_THREADS : cpus > 1 ? (size_t)cpus : 1, begun = 0;
    wanted = wanted > count ? count : wanted;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (begun + 1 < wanted && pthread_create(&threads[begun], NULL, take_part, &job) == 0) {
        begun++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    take_part(&job);
    for (size_t i = 0; i < begun; i++) {
        pthread_join(threads[i], NULL);
    }
    return job.error;
}
