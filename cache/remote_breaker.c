/* What the remote may cost. A request that gets nothing done for STALL_SECONDS, or falls so far
 * behind SLOWEST bytes a second, fails. Time counts as lost when a request failed, or as far as it
 * took longer than is fair; requests at the same time lose it together. Off for good is: five
 * failures in a row, sixteen damaged answers, being refused, or more than LOST_SECONDS and
 * LOST_SHARE of the run lost. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cache/remote_internal.h"

#define STALL_SECONDS 2.0
#define FAIR_SECONDS 0.25
#define SLOWEST 1048576.0 /* of all requests together */
#define STORED_RATE 5e7
#define LOST_SECONDS 2.5
#define LOST_SHARE 0.08
enum { IN_A_ROW = 5, DAMAGED = 16 };

double remote_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double remote_fair_seconds(const struct remote *remote, uint64_t bytes) {
    int active = atomic_load(&remote->active);
    return FAIR_SECONDS + (double)bytes * (active > 1 ? active : 1) / SLOWEST;
}

bool remote_overdue(const struct remote *remote, double seconds, double idle, uint64_t bytes) {
    double storing = (double)bytes / STORED_RATE; /* what was sent is on its way to a disk there */
    return idle > STALL_SECONDS + storing ||
           seconds - remote_fair_seconds(remote, bytes) > STALL_SECONDS;
}

/* With the lock; true the first time. */
static bool switch_off(struct remote *remote, const char *why) {
    if (atomic_exchange(&remote->off, true)) {
        return false;
    }
    snprintf(remote->breaker.why, sizeof remote->breaker.why, "%s", why);
    pthread_cond_broadcast(&remote->wake);
    return true;
}

static bool count_failure(struct remote *remote, const struct remote_request *request,
                          enum remote_answer answer) {
    struct remote_breaker *breaker = &remote->breaker;
    breaker->in_a_row++;
    breaker->damaged += answer == REMOTE_BAD;
    char why[256];
    if (breaker->in_a_row >= IN_A_ROW) {
        snprintf(why, sizeof why, "%d requests failed in a row, the last one: %s", IN_A_ROW,
                 request->trouble);
        return switch_off(remote, why);
    }
    if (breaker->damaged >= DAMAGED) {
        snprintf(why, sizeof why, "%d of its answers were damaged", DAMAGED);
        return switch_off(remote, why);
    }
    return false;
}

static bool count_lost(struct remote *remote, const struct remote_request *request, bool failed) {
    struct remote_breaker *breaker = &remote->breaker;
    double now = remote_now();
    double fair = failed ? 0 : remote_fair_seconds(remote, request->size);
    double from = now - request->seconds + fair;
    from = from > breaker->seen ? from : breaker->seen;
    if (from < now) {
        breaker->lost += now - from;
        breaker->seen = now;
    }
    char why[256];
    if (breaker->lost < LOST_SECONDS + LOST_SHARE * (now - breaker->opened)) {
        return false;
    }
    snprintf(why, sizeof why, "%.1f s were lost on it%s%s", breaker->lost,
             failed ? ", lastly: " : "", failed ? request->trouble : "");
    return switch_off(remote, why);
}

void remote_account(struct remote *remote, const struct remote_request *request,
                    enum remote_answer answer) {
    bool failed = answer == REMOTE_FAILED || answer == REMOTE_BAD, told = false, refused = false;
    pthread_mutex_lock(&remote->lock);
    if (failed) {
        told = count_failure(remote, request, answer);
    } else if (answer == REMOTE_REFUSED && request->verb == REMOTE_PUT) {
        refused = atomic_exchange(&remote->writes, false);
    } else if (answer == REMOTE_REFUSED) {
        told = switch_off(remote, request->trouble);
    } else {
        remote->breaker.in_a_row = 0;
    }
    told |= count_lost(remote, request, failed);
    char why[256];
    memcpy(why, remote->breaker.why, sizeof why);
    pthread_mutex_unlock(&remote->lock);
    if (told) {
        remote_warn(remote, "remote cache %s: %s; going on without it", remote->target.shown, why);
    } else if (refused) {
        remote_warn(remote, "remote cache %s: %s; nothing more is sent there", remote->target.shown,
                    request->trouble);
    }
}
