/* A graph as a picture. */
#ifndef US_RUNTIME_GRAPH_DUMP_H
#define US_RUNTIME_GRAPH_DUMP_H

#include "runtime/graph/graph.h"

/* Graphviz DOT: a box a node (a double frame: runs once; a heavy frame: an output), an edge a link;
 * us_malloc'ed. */
char *us_graph_dot(const struct us_graph *graph);

#endif
