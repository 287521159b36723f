/* The parsed graph as bytes, so that a graph that did not change is not parsed again.
 *
 * The form is a header (magic, fingerprint of the program's build and of its node types, checksum)
 * and a body: a table of texts, the files with the digests they were read with, the type of each
 * node, then each node's place, given parameters, animations and links, and the outputs. Numbers
 * are LEB128, doubles little-endian. It is for the build that made it, and no exchange format. */
#ifndef US_RUNTIME_GRAPH_COMPILED_H
#define US_RUNTIME_GRAPH_COMPILED_H

#include "runtime/api/store.h"
#include "runtime/base/str.h"
#include "runtime/graph/graph.h"

/* Appends the graph to `out`. False, and nothing is appended, for a program that cannot tell its
 * build (linked without a build ID). */
bool us_graph_freeze(const struct us_graph *graph, struct us_str *out);

/* The graph again, or NULL when the bytes are damaged or another build's. The checks that node
 * types do of their parameters were made again; that the files are still the same was not looked
 * at. */
struct us_graph *us_graph_thaw(const struct us_registry *registry, const void *bytes, size_t size);

/* As us_graph_load, but takes the graph from what `store` remembers of an earlier load with the
 * same path, working folder and settings, when the bytes of all its files are still the same, and
 * remembers what it had to parse. Graphs that declare `roots:` are parsed each time: where symbolic
 * links lead is part of what they allow. `store` may be NULL. */
struct us_error *us_graph_load_kept(const struct us_registry *registry, const char *path,
                                    const struct us_setting *settings, size_t setting_count,
                                    struct us_store *store, struct us_graph **graph) US_NODISCARD;

#endif
