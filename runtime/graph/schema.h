/* JSON Schema of graph files, made from the same tables that the loader checks with.
 *
 * Source: JSON Schema draft 2020-12. A misspelt key fails: every object is closed. What only the
 * loader can see (types of links, unknown templates, values of $(name)) passes. */
#ifndef US_RUNTIME_GRAPH_SCHEMA_H
#define US_RUNTIME_GRAPH_SCHEMA_H

#include "runtime/api/registry.h"

/* The schema as JSON text, indented, ends with a newline; us_malloc'ed. Same tables, same bytes. */
char *us_schema_json(const struct us_registry *registry);

#endif
