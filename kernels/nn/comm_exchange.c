#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kernels/nn/comm_internal.h"

#define NOTE_MAGIC 0x55534e31u
#define DATA_MAGIC 0x55534431u

/* In front of every message of data: all ranks must be at the same one. */
struct head {
    uint32_t magic, rank;
    uint64_t sequence, bytes;
};

/* How far one lane is. */
struct progress {
    const struct comm_lane *lane;
    struct head out, in;
    size_t sent, received; /* of the head and what follows it */
    double moved;          /* clock */
};

double comm_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool comm_failed(struct comm_processes *c) {
    pthread_mutex_lock(&c->lock);
    const bool failed = c->failed;
    pthread_mutex_unlock(&c->lock);
    return failed;
}

void comm_fail(struct comm_processes *c, const char *format, ...) {
    char text[sizeof c->problem];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&c->lock);
    const bool first = !c->failed;
    if (first) {
        c->failed = true;
        memcpy(c->problem, text, sizeof text);
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    if (first) {
        comm_say(c, COMM_ABORT, text);
    }
}

/* Notes are small and rare: the socket has room, unless the other end reads no more. */
static void send_note(const struct comm_peer *peer, const struct comm_note *note) {
    const char *bytes = (const char *)note;
    const double until = comm_clock() + 0.2;
    for (size_t sent = 0; sent < sizeof *note && comm_clock() < until;) {
        const ssize_t n =
            send(peer->hear, bytes + sent, sizeof *note - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            sent += (size_t)n;
        } else if (sent == 0 || errno != EAGAIN) {
            return;
        } else {
            struct pollfd ready = {.fd = peer->hear, .events = POLLOUT};
            poll(&ready, 1, 20);
        }
    }
}

void comm_say(struct comm_processes *c, uint32_t kind, const char *text) {
    struct comm_note note = {.magic = NOTE_MAGIC, .kind = kind};
    snprintf(note.text, sizeof note.text, "%s", text);
    for (int r = 0; r < c->comm.world; r++) {
        if (r != c->comm.rank && !c->peers[r].bye) {
            send_note(&c->peers[r], &note);
        }
    }
}

/* Takes over what another rank says; its bytes are foreign. */
static void take_note(struct comm_processes *c, int rank) {
    struct comm_peer *peer = &c->peers[rank];
    struct comm_note *note = &peer->note;
    note->text[sizeof note->text - 1] = '\0';
    for (char *t = note->text; *t; t++) {
        *t = *t < ' ' || *t > '~' ? '?' : *t;
    }
    if (note->magic != NOTE_MAGIC) {
        comm_fail(c, "rank %d sends what is no message", rank);
    } else if (note->kind == COMM_BYE) {
        peer->bye = true;
    } else if (note->kind == COMM_ABORT) {
        comm_fail(c, "%.200s", note->text);
    }
    peer->note_bytes = 0;
}

static void hear(struct comm_processes *c, int rank) {
    struct comm_peer *peer = &c->peers[rank];
    for (;;) {
        char *into = (char *)&peer->note + peer->note_bytes;
        const ssize_t n =
            recv(peer->hear, into, sizeof peer->note - peer->note_bytes, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            comm_fail(c, "rank %d is gone (%s)", rank,
                      n == 0 ? "its connection was closed" : strerror(errno));
            return;
        }
        peer->heard = comm_clock();
        peer->note_bytes += (size_t)n;
        if (peer->note_bytes == sizeof peer->note) {
            take_note(c, rank);
            if (peer->bye) {
                return;
            }
        }
    }
}

static void obey_abort(struct comm_processes *c) {
    char why[sizeof c->wanted_abort];
    pthread_mutex_lock(&c->lock);
    memcpy(why, c->wanted_abort, sizeof why);
    pthread_mutex_unlock(&c->lock);
    if (why[0]) {
        comm_fail(c, "%s", why);
    }
}

/* Says that this rank lives, and looks who was not heard of for too long. */
static void keep_time(struct comm_processes *c) {
    const double now = comm_clock();
    obey_abort(c);
    if (now >= c->beat_at) {
        c->beat_at = now + c->silent_seconds / 6;
        comm_say(c, COMM_ALIVE, "");
    }
    for (int r = 0; r < c->comm.world; r++) {
        const struct comm_peer *peer = &c->peers[r];
        if (r != c->comm.rank && !peer->bye && now - peer->heard > c->silent_seconds) {
            comm_fail(c, "rank %d was not heard of for %.0f s", r, now - peer->heard);
        }
    }
}

/* Polls everything once; `data` has an entry a rank, fd -1 where nothing is wanted. Returns false
 * once the group has failed. *woken: somebody wrote to the pipe. */
static bool look(struct comm_processes *c, struct pollfd *data, bool *woken) {
    struct pollfd all[2 * US_NN_COMM_RANKS + 1];
    const int world = c->comm.world;
    int wait = (int)(1000 * (c->beat_at - comm_clock()));
    wait = wait < 1 ? 1 : wait > 200 ? 200 : wait;
    for (int r = 0; r < world; r++) {
        const bool silent = r == c->comm.rank || c->peers[r].bye;
        all[r] = (struct pollfd){.fd = silent ? -1 : c->peers[r].hear, .events = POLLIN};
        all[world + r] = data[r];
    }
    all[2 * world] = (struct pollfd){.fd = woken ? c->wake[0] : -1, .events = POLLIN};
    const int ready = poll(all, (nfds_t)(2 * world + 1), wait);
    for (int r = 0; r < world; r++) {
        data[r].revents = ready > 0 ? all[world + r].revents : 0;
        if (ready > 0 && all[r].revents) {
            hear(c, r);
        }
    }
    if (woken) {
        *woken = ready > 0 && all[2 * world].revents != 0;
    }
    keep_time(c);
    return !comm_failed(c);
}

void comm_idle(struct comm_processes *c) {
    struct pollfd none[US_NN_COMM_RANKS];
    bool woken = false;
    for (int r = 0; r < US_NN_COMM_RANKS; r++) {
        none[r] = (struct pollfd){.fd = -1};
    }
    while (!woken && look(c, none, &woken)) {
    }
}

/* What is left of a head and the bytes after it. */
static size_t spread(struct head *head, const void *bytes, size_t size, size_t done,
                     struct iovec pieces[2]) {
    const size_t in_head = done < sizeof *head ? done : sizeof *head;
    const size_t in_bytes = done - in_head;
    pieces[0] = (struct iovec){(char *)head + in_head, sizeof *head - in_head};
    pieces[1] = (struct iovec){(char *)(uintptr_t)bytes + in_bytes, size - in_bytes};
    return sizeof *head + size - done;
}

static void lost(struct comm_processes *c, int rank, ssize_t n) {
    /* Its own reason, if it left one, comes on the other socket. */
    struct pollfd ready = {.fd = c->peers[rank].hear, .events = POLLIN};
    if (!c->peers[rank].bye && poll(&ready, 1, 200) > 0) {
        hear(c, rank);
    }
    comm_fail(c, "rank %d is gone (%s)", rank,
              n == 0 ? "its connection was closed" : strerror(errno));
}

static void send_some(struct comm_processes *c, int rank, struct progress *p) {
    struct iovec pieces[2];
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    while (spread(&p->out, p->lane->send, p->lane->send_bytes, p->sent, pieces) > 0) {
        const ssize_t n = sendmsg(c->peers[rank].data, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            lost(c, rank, n);
            return;
        }
        p->sent += (size_t)n;
        p->moved = comm_clock();
    }
}

static bool same_place(struct comm_processes *c, int rank, const struct progress *p) {
    if (p->in.magic == DATA_MAGIC && p->in.rank == (uint32_t)rank &&
        p->in.sequence == c->sequence && p->in.bytes == p->lane->receive_bytes) {
        return true;
    }
    comm_fail(c,
              "rank %d is at another operation (number %llu of %llu bytes) than rank %d "
              "(number %llu of %zu bytes)",
              rank, (unsigned long long)p->in.sequence, (unsigned long long)p->in.bytes,
              c->comm.rank, (unsigned long long)c->sequence, p->lane->receive_bytes);
    return false;
}

static void receive_some(struct comm_processes *c, int rank, struct progress *p) {
    struct iovec pieces[2];
    struct msghdr message = {.msg_iov = pieces};
    while (spread(&p->in, p->lane->receive, p->lane->receive_bytes, p->received, pieces) > 0) {
        const bool in_head = p->received < sizeof p->in;
        message.msg_iov = in_head ? pieces : pieces + 1;
        message.msg_iovlen = 1;
        const ssize_t n = recvmsg(c->peers[rank].data, &message, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            lost(c, rank, n);
            return;
        }
        p->received += (size_t)n;
        p->moved = comm_clock();
        if (in_head && p->received == sizeof p->in && !same_place(c, rank, p)) {
            return;
        }
    }
}

static bool wants_send(const struct progress *p) {
    return p->lane->send_bytes > 0 && p->sent < sizeof p->out + p->lane->send_bytes;
}

static bool wants_receive(const struct progress *p) {
    return p->lane->receive_bytes > 0 && p->received < sizeof p->in + p->lane->receive_bytes;
}

/* Who is late is who has not sent: a rank that only waits for others is not to blame. */
static void look_for_late(struct comm_processes *c, const struct progress *progress) {
    const double now = comm_clock(), limit = atomic_load(&c->late_seconds);
    for (int r = 0; r < c->comm.world; r++) {
        const struct progress *p = &progress[r];
        if (r != c->comm.rank && wants_receive(p) && p->received == 0 && now - p->moved > limit) {
            comm_fail(c, "rank %d lives but is %.0f s late", r, now - p->moved);
        }
    }
}

static bool prepare(const struct comm_processes *c, const struct progress *progress,
                    struct pollfd *data) {
    bool more = false;
    for (int r = 0; r < c->comm.world; r++) {
        const short events = (short)((wants_send(&progress[r]) ? POLLOUT : 0) |
                                     (wants_receive(&progress[r]) ? POLLIN : 0));
        const bool any = r != c->comm.rank && events != 0;
        data[r] = (struct pollfd){.fd = any ? c->peers[r].data : -1, .events = events};
        more |= any;
    }
    return more;
}

bool comm_exchange(struct comm_processes *c, const struct comm_lane *lanes, bool patient) {
    struct progress progress[US_NN_COMM_RANKS];
    struct pollfd data[US_NN_COMM_RANKS];
    const double start = comm_clock();
    for (int r = 0; r < c->comm.world; r++) {
        progress[r] = (struct progress){.lane = &lanes[r], .moved = start};
        progress[r].out = (struct head){.magic = DATA_MAGIC,
                                        .rank = (uint32_t)c->comm.rank,
                                        .sequence = c->sequence,
                                        .bytes = lanes[r].send_bytes};
        c->sent += r == c->comm.rank ? 0 : lanes[r].send_bytes;
    }
    while (prepare(c, progress, data)) {
        if (!look(c, data, NULL)) {
            return false;
        }
        for (int r = 0; r < c->comm.world; r++) {
            if (data[r].revents && wants_receive(&progress[r])) {
                receive_some(c, r, &progress[r]);
            }
            if (data[r].revents && wants_send(&progress[r])) {
                send_some(c, r, &progress[r]);
            }
        }
        if (!patient) {
            look_for_late(c, progress);
        }
    }
    c->sequence++;
    return !comm_failed(c);
}

void comm_linger(struct comm_processes *c) {
    const double until = comm_clock() + 1;
    char rest[4096];
    for (int r = 0; r < c->comm.world; r++) {
        if (r != c->comm.rank) {
            shutdown(c->peers[r].hear, SHUT_WR);
        }
    }
    for (int r = 0; r < c->comm.world; r++) {
        ssize_t n = r == c->comm.rank ? 0 : 1;
        while (n > 0 && comm_clock() < until) {
            struct pollfd ready = {.fd = c->peers[r].hear, .events = POLLIN};
            n = poll(&ready, 1, 50) > 0 ? recv(ready.fd, rest, sizeof rest, MSG_DONTWAIT) : 1;
        }
    }
}
