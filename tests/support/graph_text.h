/* Graphs from text, for tests of the graph language. */
#ifndef US_TESTS_SUPPORT_GRAPH_TEXT_H
#define US_TESTS_SUPPORT_GRAPH_TEXT_H

#include "runtime/base/str.h"
#include "runtime/graph/graph.h"

/* Writes "understudy: 1" and `text` to <scratch folder>/NAME and loads it with the toy nodes.
 * `settings` is NULL or "a=1 b=2". */
struct us_error *us_test_load(const char *text, const char *settings,
                              struct us_graph **graph) US_NODISCARD;
/* The same, must succeed. */
struct us_graph *us_test_graph(const char *text);

/* Writes a file in the scratch folder. */
void us_test_write(const char *name, const char *text);

/* The chain as "file:line:col: text" lines, each followed by "  try: hint" where there is one; the
 * scratch folder is left out of names. */
void us_test_print_error(const struct us_error *error, struct us_str *out);

#endif
