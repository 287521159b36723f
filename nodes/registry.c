#include "nodes/registry.h"

#define US_NODE(group, name) extern const struct us_node_type us_node_##name;
#include "nodes/nodes.def"
#undef US_NODE

static const struct us_node_type *const types[] = {
#define US_NODE(group, name) &us_node_##name,
#include "nodes/nodes.def"
#undef US_NODE
    NULL};

extern const struct us_codec us_exr_codec;

const struct us_registry us_nodes = {
    .types = types,
    .count = sizeof types / sizeof *types - 1,
    .codec = &us_exr_codec,
};
