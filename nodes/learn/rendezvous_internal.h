/* Sockets of the rendezvous. */
#ifndef US_NODES_LEARN_RENDEZVOUS_INTERNAL_H
#define US_NODES_LEARN_RENDEZVOUS_INTERNAL_H

#include <sys/socket.h>

#include "nodes/learn/handshake.h"
#include "nodes/learn/rendezvous.h"

/* Connects and shakes hands with rank `to`, again and again until the deadline while nobody, or a
 * stranger, is there. */
struct us_error *us_connect_rank(const struct us_ranks *ranks, int to, const char *address,
                                 int port, enum us_connection_use use, double deadline,
                                 int *socket) US_NODISCARD;

/* Listens on that address with any port. */
struct us_error *us_listen_at(const struct sockaddr_storage *address, socklen_t length,
                              int *listener) US_NODISCARD;
/* A connection, or -1 when none came by then. */
int us_accept_until(int listener, double deadline);
int us_socket_port(int socket);
/* The address as text, without the port. */
void us_address_text(const struct sockaddr_storage *address, socklen_t length, char *text,
                     size_t size);
bool us_is_loopback(const char *address);

#endif
