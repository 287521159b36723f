#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nodes/learn/rendezvous_internal.h"

enum { BACKLOG = 256 };

bool us_is_loopback(const char *address) {
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strcmp(address, "localhost") == 0 || strncmp(address, "::ffff:127.", 11) == 0;
}

void us_address_text(const struct sockaddr_storage *address, socklen_t length, char *text,
                     size_t size) {
    static const char mapped[] = "::ffff:"; /* IPv4 at a socket of IPv6 */
    char name[NI_MAXHOST] = "unknown";
    (void)getnameinfo((const struct sockaddr *)address, length, name, sizeof name, NULL, 0,
                      NI_NUMERICHOST);
    const bool is_mapped = strncmp(name, mapped, sizeof mapped - 1) == 0;
    snprintf(text, size, "%s", is_mapped ? name + sizeof mapped - 1 : name);
}

int us_socket_port(int socket) {
    struct sockaddr_storage at;
    socklen_t length = sizeof at;
    if (getsockname(socket, (struct sockaddr *)&at, &length) != 0) {
        return 0;
    }
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&at)->sin6_port
                                          : ((struct sockaddr_in *)(void *)&at)->sin_port);
}

static int try_listen(const struct sockaddr *address, socklen_t length) {
    const int on = 1, off = 0;
    const int s = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) {
        return -1;
    }
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->sa_family == AF_INET6) {
        setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (bind(s, address, length) != 0 || listen(s, BACKLOG) != 0) {
        const int number = errno;
        close(s);
        errno = number;
        return -1;
    }
    return s;
}

struct us_error *us_listen_at(const struct sockaddr_storage *address, socklen_t length,
                              int *listener) {
    struct sockaddr_storage any = *address;
    if (any.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)&any)->sin6_port = 0;
    } else {
        ((struct sockaddr_in *)(void *)&any)->sin_port = 0;
    }
    *listener = try_listen((struct sockaddr *)&any, length);
    return *listener < 0 ? us_error_from_errno(errno, "cannot listen for other ranks") : NULL;
}

/* All addresses of the host for a job in a network, the loopback's alone for a local one. */
struct us_error *us_rendezvous_listen(struct us_ranks *ranks, int *listener) {
    struct sockaddr_in6 all6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)ranks->port)};
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)ranks->port)};
    const bool local = us_is_loopback(ranks->address);
    here.sin_addr.s_addr = htonl(local ? INADDR_LOOPBACK : INADDR_ANY);
    *listener = local ? -1 : try_listen((struct sockaddr *)&all6, sizeof all6);
    if (*listener < 0 && (local || errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        *listener = try_listen((struct sockaddr *)&here, sizeof here);
    }
    if (*listener < 0) {
        return us_error_hint(
            us_fail(US_RETRY, "rank 0 cannot listen on port %d: %s", ranks->port, strerror(errno)),
            "give all ranks another UNDERSTUDY_PORT");
    }
    ranks->port = us_socket_port(*listener);
    return NULL;
}

int us_accept_until(int listener, double deadline) {
    for (;;) {
        const double left = deadline - us_deadline_clock();
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        if (left <= 0 || (poll(&ready, 1, (int)(1000 * left) + 1) < 0 && errno != EINTR)) {
            return -1;
        }
        if (ready.revents) {
            const int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (connection >= 0) {
                return connection;
            }
        }
    }
}

static int connect_until(const struct addrinfo *to, double deadline, int *connected) {
    const int on = 1;
    const int s =
        socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, to->ai_protocol);
    if (s < 0) {
        return errno;
    }
    int problem = connect(s, to->ai_addr, to->ai_addrlen) == 0 ? 0 : errno;
    if (problem == EINPROGRESS) {
        struct pollfd ready = {.fd = s, .events = POLLOUT};
        socklen_t size = sizeof problem;
        const double left = deadline - us_deadline_clock();
        if (left <= 0 || poll(&ready, 1, (int)(1000 * left) + 1) <= 0) {
            problem = ETIMEDOUT;
        } else {
            getsockopt(s, SOL_SOCKET, SO_ERROR, &problem, &size);
        }
    }
    if (problem) {
        close(s);
        return problem;
    }
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *connected = s;
    return 0;
}

/* One attempt. *again: it may help to try once more. */
static struct us_error *connect_once(const struct us_ranks *ranks, int to, const char *address,
                                     int port, enum us_connection_use use, double deadline,
                                     int *socket, bool *again) {
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char service[16];
    int problem = ECONNREFUSED;
    *again = true;
    snprintf(service, sizeof service, "%d", port);
    const int failed = getaddrinfo(address, service, &wanted, &found);
    if (failed) {
        return us_fail(US_RETRY, "there is no host '%s': %s", address, gai_strerror(failed));
    }
    for (const struct addrinfo *a = found; a && problem; a = a->ai_next) {
        problem = connect_until(a, deadline, socket);
    }
    freeaddrinfo(found);
    if (problem) {
        return us_fail(US_RETRY, "%s", strerror(problem));
    }
    const double soon = us_deadline_clock() + 5;
    struct us_error *error =
        us_handshake_call(*socket, ranks, to, use, soon < deadline ? soon : deadline);
    if (error) {
        *again = us_error_is(error, US_RETRY);
        close(*socket);
        *socket = -1;
    }
    return error;
}

struct us_error *us_connect_rank(const struct us_ranks *ranks, int to, const char *address,
                                 int port, enum us_connection_use use, double deadline,
                                 int *socket) {
    struct us_error *error = NULL;
    bool again = true;
    const double start = us_deadline_clock();
    for (int attempt = 0; again; attempt++) {
        us_error_free(error);
        error = connect_once(ranks, to, address, port, use, deadline, socket, &again);
        if (!error) {
            return NULL;
        }
        const long pause = attempt < 20 ? 20 : 200;
        again = again && us_deadline_clock() + (double)pause * 1e-3 < deadline;
        if (again) {
            nanosleep(&(struct timespec){.tv_nsec = pause * 1000000}, NULL);
        }
    }
    return us_error_wrap(error, "rank %d is missing: no connection to it at %s port %d in %.0f s",
                         to, address, port, us_deadline_clock() - start);
}
