/* The picture of a graph with what run would do with each node. */
#ifndef US_TOOLS_GRAPH_STATES_H
#define US_TOOLS_GRAPH_STATES_H

#include "tools/session.h"

/* Plans the session's graph and gives it as DOT, us_malloc'ed. */
struct us_error *us_graph_states(struct us_session *session, const struct us_arguments *arguments,
                                 char **dot) US_NODISCARD;

#endif
