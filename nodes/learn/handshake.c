#include "nodes/learn/handshake.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { NONCE = 32, MAC = 32 };

static const char magic[8] = "USRANK1";

/* The caller's first message, and what the listener says of itself. */
struct hello {
    char magic[8];
    uint8_t nonce[NONCE];
    int32_t rank, world;
    uint32_t use;
    char version[36];
};

enum verdict_kind { FINE, WRONG_KEY, REFUSED };

struct verdict {
    uint32_t kind;
    char text[156];
    uint8_t mac[MAC];
};

double us_deadline_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Until the socket is ready; 0, ETIMEDOUT or another errno. */
static int await(int socket, short events, double deadline) {
    for (;;) {
        const double left = deadline - us_deadline_clock();
        struct pollfd ready = {.fd = socket, .events = events};
        const int n = left > 0 ? poll(&ready, 1, (int)(1000 * left) + 1) : 0;
        if (n > 0 || (n < 0 && errno != EINTR)) {
            return n > 0 ? 0 : errno;
        }
        if (n == 0) {
            return ETIMEDOUT;
        }
    }
}

int us_read_until(int socket, void *bytes, size_t size, double deadline) {
    for (size_t done = 0; done < size;) {
        const int problem = await(socket, POLLIN, deadline);
        if (problem) {
            return problem;
        }
        const ssize_t n = recv(socket, (char *)bytes + done, size - done, MSG_DONTWAIT);
        if (n == 0) {
            return ECONNRESET;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return errno;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int us_write_until(int socket, const void *bytes, size_t size, double deadline) {
    for (size_t done = 0; done < size;) {
        const int problem = await(socket, POLLOUT, deadline);
        if (problem) {
            return problem;
        }
        const ssize_t n =
            send(socket, (const char *)bytes + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return errno;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static struct hello make_hello(const struct us_ranks *ranks, enum us_connection_use use) {
    struct hello hello = {.rank = ranks->rank, .world = ranks->world, .use = use};
    memcpy(hello.magic, magic, sizeof magic);
    randombytes_buf(hello.nonce, sizeof hello.nonce);
    snprintf(hello.version, sizeof hello.version, "%s", UNDERSTUDY_VERSION);
    return hello;
}

static void sign(const struct us_ranks *ranks, const char *who, const struct hello *caller,
                 const struct hello *listener, const struct verdict *verdict, uint8_t mac[MAC]) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, ranks->key, sizeof ranks->key, MAC);
    crypto_generichash_update(&state, (const uint8_t *)who, strlen(who));
    crypto_generichash_update(&state, (const uint8_t *)caller, sizeof *caller);
    crypto_generichash_update(&state, (const uint8_t *)listener, sizeof *listener);
    if (verdict) {
        crypto_generichash_update(&state, (const uint8_t *)verdict, offsetof(struct verdict, mac));
    }
    crypto_generichash_final(&state, mac, MAC);
}

static struct us_error *broken(int problem, int rank) {
    return us_fail(US_RETRY, "rank %d does not go on: %s", rank, strerror(problem));
}

struct us_error *us_handshake_call(int socket, const struct us_ranks *ranks, int to,
                                   enum us_connection_use use, double deadline) {
    const struct hello own = make_hello(ranks, use);
    struct hello other;
    struct verdict verdict;
    uint8_t mac[MAC];
    int problem = us_write_until(socket, &own, sizeof own, deadline);
    problem = problem ? problem : us_read_until(socket, &other, sizeof other, deadline);
    if (problem) {
        return broken(problem, to);
    }
    if (memcmp(other.magic, magic, sizeof magic) != 0) {
        return us_fail(US_RETRY, "what listens where rank %d should be is another program", to);
    }
    sign(ranks, "caller", &own, &other, NULL, mac);
    problem = us_write_until(socket, mac, sizeof mac, deadline);
    problem = problem ? problem : us_read_until(socket, &verdict, sizeof verdict, deadline);
    if (problem) {
        return broken(problem, to);
    }
    sign(ranks, "listener", &own, &other, &verdict, mac);
    if (verdict.kind == WRONG_KEY || sodium_memcmp(mac, verdict.mac, sizeof mac) != 0) {
        return us_fail(US_REFUSED, "rank %d has another job key than rank %d", to, ranks->rank);
    }
    if (verdict.kind != FINE) {
        verdict.text[sizeof verdict.text - 1] = '\0';
        return us_fail(US_FAILED, "rank %d refuses rank %d: %s", to, ranks->rank, verdict.text);
    }
    if (other.rank != to) {
        return us_fail(US_FAILED, "rank %d listens where rank %d should", other.rank, to);
    }
    return NULL;
}

/* What is wrong with a caller that knows the key; "" when nothing is. */
static void judge(const struct us_ranks *ranks, const struct hello *caller, char *text,
                  size_t size) {
    text[0] = '\0';
    if (strcmp(caller->version, UNDERSTUDY_VERSION) != 0) {
        snprintf(text, size, "rank %d has version %s, rank %d %s", caller->rank, caller->version,
                 ranks->rank, UNDERSTUDY_VERSION);
    } else if (caller->world != ranks->world) {
        snprintf(text, size, "rank %d was started as one of %d ranks, rank %d as one of %d",
                 caller->rank, caller->world, ranks->rank, ranks->world);
    } else if (caller->rank <= ranks->rank || caller->rank >= ranks->world) {
        snprintf(text, size, "a second process says it is rank %d", caller->rank);
    }
}

static struct us_error *read_caller(int socket, double deadline, struct hello *caller,
                                    const struct hello *own, uint8_t mac[MAC]) {
    int problem = us_read_until(socket, caller, sizeof *caller, deadline);
    if (!problem && memcmp(caller->magic, magic, sizeof magic) != 0) {
        return us_fail(US_FAILED, "a stranger called");
    }
    problem = problem ? problem : us_write_until(socket, own, sizeof *own, deadline);
    problem = problem ? problem : us_read_until(socket, mac, MAC, deadline);
    caller->version[sizeof caller->version - 1] = '\0';
    return problem ? us_fail(US_RETRY, "a caller did not go on: %s", strerror(problem)) : NULL;
}

struct us_error *us_handshake_answer(int socket, const struct us_ranks *ranks, double deadline,
                                     struct us_caller *caller) {
    const struct hello own = make_hello(ranks, US_CONNECTION_HEAR);
    struct hello other;
    struct verdict verdict = {.kind = FINE};
    uint8_t said[MAC], mac[MAC];
    US_TRY(read_caller(socket, deadline, &other, &own, said));
    sign(ranks, "caller", &other, &own, NULL, mac);
    if (sodium_memcmp(said, mac, sizeof mac) != 0) {
        verdict.kind = WRONG_KEY;
        us_write_until(socket, &verdict, sizeof verdict, deadline);
        return us_fail(US_REFUSED, "a caller that says it is rank %d has another job key",
                       other.rank);
    }
    judge(ranks, &other, verdict.text, sizeof verdict.text);
    verdict.kind = verdict.text[0] ? REFUSED : FINE;
    sign(ranks, "listener", &other, &own, &verdict, verdict.mac);
    const int problem = us_write_until(socket, &verdict, sizeof verdict, deadline);
    if (verdict.kind == REFUSED) {
        return us_fail(US_FAILED, "%s", verdict.text);
    }
    if (problem || other.use > US_CONNECTION_DATA) {
        return us_fail(US_RETRY, "rank %d did not go on: %s", other.rank, strerror(problem));
    }
    *caller = (struct us_caller){.rank = other.rank, .use = (enum us_connection_use)other.use};
    return NULL;
}
