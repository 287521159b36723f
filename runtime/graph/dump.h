/* A graph as a picture. */
#ifndef US_RUNTIME_GRAPH_DUMP_H
#define US_RUNTIME_GRAPH_DUMP_H

#include "runtime/graph/graph.h"

/* How a node is drawn when its state is. */
struct us_dot_mark {
    const char *fill, *line; /* colours */
    bool dashed;
    const char *note; /* a third line, small; or NULL */
    char *tooltip;    /* what to say when the mouse is over it; or NULL */
};

/* What stands below the graph. */
struct us_dot_legend {
    const char *title;
    const struct us_dot_mark *marks; /* `note` is what the colours mean */
    size_t count;
};

/* Graphviz DOT: a box a node (a double frame: runs once; a heavy frame: an output), an edge a link;
 * us_malloc'ed. */
char *us_graph_dot(const struct us_graph *graph);
/* The same with boxes coloured by their marks, one a node, and not by kind of work. */
char *us_graph_dot_marked(const struct us_graph *graph, const struct us_dot_mark *marks,
                          const struct us_dot_legend *legend);

#endif
