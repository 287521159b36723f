/* The first bytes on a connection between two ranks (rendezvous.h): who is there, and that both
 * know the job key. */
#ifndef US_NODES_LEARN_HANDSHAKE_H
#define US_NODES_LEARN_HANDSHAKE_H

#include <stddef.h>

#include "nodes/learn/ranks.h"

enum us_connection_use { US_CONNECTION_HEAR, US_CONNECTION_DATA };

struct us_caller {
    int rank;
    enum us_connection_use use;
};

/* The clock of deadlines: seconds, monotonic. */
double us_deadline_clock(void);

/* Whole reads and writes until a deadline; 0, or an errno, ETIMEDOUT, or ECONNRESET for an end. */
int us_read_until(int socket, void *bytes, size_t size, double deadline);
int us_write_until(int socket, const void *bytes, size_t size, double deadline);

/* The end that connected. `to` is the rank that must answer. US_REFUSED: the key differs. */
struct us_error *us_handshake_call(int socket, const struct us_ranks *ranks, int to,
                                   enum us_connection_use use, double deadline) US_NODISCARD;

/* The end that listens: says who called. An error tells why it was refused, for a message later;
 * the socket is of no more use then. */
struct us_error *us_handshake_answer(int socket, const struct us_ranks *ranks, double deadline,
                                     struct us_caller *caller) US_NODISCARD;

#endif
