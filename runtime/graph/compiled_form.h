/* What writing and reading the compiled form (compiled.h) share. */
#ifndef US_RUNTIME_GRAPH_COMPILED_FORM_H
#define US_RUNTIME_GRAPH_COMPILED_FORM_H

#include "runtime/api/registry.h"
#include "runtime/base/hash.h"

/* The header: 8 bytes of magic, the fingerprint, the digest of the body. */
enum { US_COMPILED_FINGERPRINT = 8, US_COMPILED_CHECKSUM = 24, US_COMPILED_HEADER = 40 };

#define US_COMPILED_MAGIC "usgraph1"

/* Bits of a node's first byte: how to store, whether it has animations. */
enum { US_COMPILED_STORE = 3, US_COMPILED_ANIMATED = 4 };

/* Names the program's build and everything of the node types that a compiled graph leans on: names,
 * versions, ports, parameter tables. False when the program carries no build ID. */
bool us_compiled_fingerprint(const struct us_registry *registry, struct us_digest *fingerprint);

#endif
