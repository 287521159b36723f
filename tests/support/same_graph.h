/* Two graphs, field by field: for tests of what must give the same graph again. */
#ifndef US_TESTS_SUPPORT_SAME_GRAPH_H
#define US_TESTS_SUPPORT_SAME_GRAPH_H

#include "runtime/graph/graph.h"

/* NULL when they are equal, else the name of the first field that is not. */
const char *us_test_graph_difference(const struct us_graph *a, const struct us_graph *b);

#endif
