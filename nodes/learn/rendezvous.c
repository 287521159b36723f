#include "nodes/learn/rendezvous.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/nn/comm_processes.h"
#include "nodes/learn/model_file.h"
#include "nodes/learn/rendezvous_internal.h"
#include "runtime/base/str.h"

/* What rank 0 tells everybody once all are there, or that they will not be. */
struct table {
    uint32_t failed;
    char why[188];
    struct {
        char address[60];
        int32_t port;
    } ranks[US_NN_COMM_RANKS];
};

struct meeting {
    const struct us_ranks *ranks;
    int listener;
    double deadline;
    int sockets[2][US_NN_COMM_RANKS]; /* by us_connection_use */
    struct table table;
    char refused[256]; /* why the last caller was refused, or "" */
};

static void close_all(struct meeting *m) {
    for (int use = 0; use < 2; use++) {
        for (int r = 0; r < US_NN_COMM_RANKS; r++) {
            if (m->sockets[use][r] >= 0) {
                close(m->sockets[use][r]);
            }
        }
    }
}

/* Takes one caller in. A caller that is refused leaves a note only: strangers end nothing. */
static void answer(struct meeting *m, int connection) {
    const int on = 1;
    const double soon = us_deadline_clock() + 1;
    struct us_caller caller;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct us_error *error =
        us_handshake_answer(connection, m->ranks, soon < m->deadline ? soon : m->deadline, &caller);
    if (!error && m->sockets[caller.use][caller.rank] >= 0) {
        error = us_fail(US_FAILED, "a second process says it is rank %d", caller.rank);
    }
    if (error) {
        snprintf(m->refused, sizeof m->refused, "%s", error->text);
        us_error_free(error);
        close(connection);
        return;
    }
    m->sockets[caller.use][caller.rank] = connection;
}

static int first_missing(const struct meeting *m, enum us_connection_use use) {
    for (int r = m->ranks->rank + 1; r < m->ranks->world; r++) {
        if (m->sockets[use][r] < 0) {
            return r;
        }
    }
    return -1;
}

static struct us_error *missing(const struct meeting *m, enum us_connection_use use) {
    struct us_str names = {0};
    int count = 0;
    for (int r = m->ranks->rank + 1; r < m->ranks->world; r++) {
        if (m->sockets[use][r] < 0) {
            us_str_printf(&names, "%s%d", count++ ? ", " : "", r);
        }
    }
    struct us_error *error =
        us_fail(US_RETRY, "rank%s %s %s not come in %.0f s", count > 1 ? "s" : "",
                us_str_text(&names), count > 1 ? "have" : "has", m->ranks->join_seconds);
    error->cause = m->refused[0] ? us_fail(US_RETRY, "%s", m->refused) : NULL;
    us_str_finish(&names);
    return error;
}

/* Until every higher rank has called for that use. */
static struct us_error *take_calls(struct meeting *m, int listener, enum us_connection_use use) {
    while (first_missing(m, use) >= 0) {
        const int connection = us_accept_until(listener, m->deadline);
        if (connection < 0) {
            return missing(m, use);
        }
        answer(m, connection);
    }
    return NULL;
}

/* Fills in where a rank listens: it says the port, its connection shows the address. */
static struct us_error *learn_place(struct meeting *m, int rank) {
    struct sockaddr_storage at = {0};
    socklen_t length = sizeof at;
    const int s = m->sockets[US_CONNECTION_HEAR][rank];
    int32_t port;
    const int problem = us_read_until(s, &port, sizeof port, m->deadline);
    if (problem || getpeername(s, (struct sockaddr *)&at, &length) != 0) {
        return us_fail(US_RETRY, "rank %d is gone: %s", rank, strerror(problem ? problem : errno));
    }
    m->table.ranks[rank].port = port;
    us_address_text(&at, length, m->table.ranks[rank].address, sizeof m->table.ranks[rank].address);
    return NULL;
}

static struct us_error *gather_places(struct meeting *m) {
    US_TRY(take_calls(m, m->listener, US_CONNECTION_HEAR));
    for (int r = 1; r < m->ranks->world; r++) {
        US_TRY(learn_place(m, r));
    }
    return NULL;
}

/* Rank 0. A failure is told to all who came. */
static struct us_error *be_first(struct meeting *m) {
    struct us_error *error = gather_places(m);
    if (error) {
        m->table.failed = 1;
        snprintf(m->table.why, sizeof m->table.why, "%s", error->text);
    }
    const double soon = us_deadline_clock() + 2;
    for (int r = 1; r < m->ranks->world; r++) {
        const int s = m->sockets[US_CONNECTION_HEAR][r];
        const int problem = s < 0 ? 0 : us_write_until(s, &m->table, sizeof m->table, soon);
        if (problem && !error) {
            error = us_fail(US_RETRY, "rank %d is gone: %s", r, strerror(problem));
        }
    }
    m->deadline = us_deadline_clock() + m->ranks->join_seconds / 2;
    return error ? error : take_calls(m, m->listener, US_CONNECTION_DATA);
}

/* Connects to one lower rank twice; where rank 0 sees a rank on its own host, it is at rank 0's. */
static struct us_error *call_lower(struct meeting *m, int to) {
    const struct us_ranks *ranks = m->ranks;
    char *address = m->table.ranks[to].address;
    const int port = to == 0 ? ranks->port : m->table.ranks[to].port;
    address[sizeof m->table.ranks[to].address - 1] = '\0';
    const char *at = to == 0 || us_is_loopback(address) ? ranks->address : address;
    if (to > 0) {
        US_TRY(us_connect_rank(ranks, to, at, port, US_CONNECTION_HEAR, m->deadline,
                               &m->sockets[US_CONNECTION_HEAR][to]));
    }
    return us_connect_rank(ranks, to, at, port, US_CONNECTION_DATA, m->deadline,
                           &m->sockets[US_CONNECTION_DATA][to]);
}

static struct us_error *read_table(struct meeting *m) {
    /* Rank 0 may have begun to wait when this rank came. */
    const double until = us_deadline_clock() + m->ranks->join_seconds + 3;
    const int problem =
        us_read_until(m->sockets[US_CONNECTION_HEAR][0], &m->table, sizeof m->table, until);
    m->table.why[sizeof m->table.why - 1] = '\0';
    if (problem) {
        return us_fail(US_RETRY, "rank 0 is gone: %s", strerror(problem));
    }
    return m->table.failed ? us_fail(US_RETRY, "%s", m->table.why) : NULL;
}

static struct us_error *listen_here(struct meeting *m, int *listener) {
    struct sockaddr_storage at = {0};
    socklen_t length = sizeof at;
    if (getsockname(m->sockets[US_CONNECTION_HEAR][0], (struct sockaddr *)&at, &length) != 0) {
        return us_error_from_errno(errno, "cannot listen for other ranks");
    }
    return us_listen_at(&at, length, listener);
}

static struct us_error *be_later(struct meeting *m) {
    const struct us_ranks *ranks = m->ranks;
    int *hear = m->sockets[US_CONNECTION_HEAR];
    US_TRY(us_connect_rank(ranks, 0, ranks->address, ranks->port, US_CONNECTION_HEAR, m->deadline,
                           &hear[0]));
    US_TRY(listen_here(m, &m->listener));
    const int32_t port = us_socket_port(m->listener);
    const int problem = us_write_until(hear[0], &port, sizeof port, m->deadline);
    if (problem) {
        return us_fail(US_RETRY, "rank 0 is gone: %s", strerror(problem));
    }
    US_TRY(read_table(m));
    m->deadline = us_deadline_clock() + ranks->join_seconds / 2;
    for (int r = 0; r < ranks->rank; r++) {
        US_TRY(call_lower(m, r));
    }
    US_TRY(take_calls(m, m->listener, US_CONNECTION_HEAR));
    return take_calls(m, m->listener, US_CONNECTION_DATA);
}

static struct us_error *make_comm(struct meeting *m, struct us_nn_comm **comm) {
    struct us_nn_comm_processes_config config = {.rank = m->ranks->rank,
                                                 .world = m->ranks->world,
                                                 .silent_seconds = m->ranks->silent_seconds,
                                                 .late_seconds = 600};
    memcpy(config.hear, m->sockets[US_CONNECTION_HEAR], sizeof config.hear);
    memcpy(config.data, m->sockets[US_CONNECTION_DATA], sizeof config.data);
    return us_nn_error(us_nn_comm_processes_create(&config, comm), "join the ranks");
}

struct us_error *us_rendezvous_join(const struct us_ranks *ranks, int listener,
                                    struct us_nn_comm **comm) {
    struct meeting m = {.ranks = ranks,
                        .listener = ranks->rank == 0 ? listener : -1,
                        .deadline = us_deadline_clock() + ranks->join_seconds};
    *comm = NULL;
    memset(m.sockets, 0xff, sizeof m.sockets);
    struct us_error *error = ranks->rank == 0 ? be_first(&m) : be_later(&m);
    if (ranks->rank > 0 && m.listener >= 0) {
        close(m.listener);
    }
    if (error) {
        close_all(&m);
        return us_error_wrap(error, "the %d ranks do not come together", ranks->world);
    }
    return make_comm(&m, comm);
}
