/* The table of node types, which nodes/registry.c fills from nodes/nodes.def and the tools hand to
 * the runtime. */
#ifndef US_RUNTIME_API_REGISTRY_H
#define US_RUNTIME_API_REGISTRY_H

#include "runtime/api/node.h"

struct us_registry {
    const struct us_node_type *const *types; /* sorted by name */
    size_t count;
    const struct us_codec *codec;
};

/* NULL when there is none of that name. */
const struct us_node_type *us_registry_find(const struct us_registry *registry, const char *name);

/* Index of the port of that name in a table that ends with a NULL name, or -1. */
int us_port_find(const struct us_port *ports, const char *name);
int us_port_count(const struct us_port *ports);

#endif
