/* What the tables of node types say, for people. All texts are us_malloc'ed. */
#ifndef US_RUNTIME_GRAPH_NODE_DOCS_H
#define US_RUNTIME_GRAPH_NODE_DOCS_H

#include "runtime/api/registry.h"

/* `understudy nodes`: every type with its summary, by group. */
char *us_nodes_text(const struct us_registry *registry);
/* `understudy nodes TYPE`: ports, parameters with type, default, range and unit, an example. */
char *us_node_text(const struct us_node_type *type);
/* docs/nodes/TYPE.md: the same as Markdown. */
char *us_node_markdown(const struct us_node_type *type);
/* docs/nodes/README.md: the list, with links. */
char *us_nodes_markdown(const struct us_registry *registry);

/* The nearest type name, for a message, or NULL. */
const char *us_nodes_nearest(const struct us_registry *registry, const char *name);

#endif
