/* Every node type of nodes.def, and the image codec. */
#ifndef US_NODES_REGISTRY_H
#define US_NODES_REGISTRY_H

#include "runtime/api/registry.h"

extern const struct us_registry us_nodes;

#endif
