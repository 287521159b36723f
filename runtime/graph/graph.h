/* The parsed, checked graph: templates expanded, parameters filled, ports connected.
 * Everything in it lives in its arena; us_graph_destroy frees it in one call. */
#ifndef US_RUNTIME_GRAPH_GRAPH_H
#define US_RUNTIME_GRAPH_GRAPH_H

#include "runtime/api/registry.h"
#include "runtime/base/arena.h"
#include "runtime/base/hash.h"

/* One end of an edge: output `port` of nodes[node]. */
struct us_link {
    uint32_t node;
    uint32_t port;
    struct us_pos pos; /* where the YAML names it */
};

struct us_node_input {
    struct us_link *links; /* in list order */
    size_t count;          /* 0: optional and not connected; more than 1: a list */
};

/* One keyframe of an animated double. */
struct us_keyframe {
    int32_t frame;
    double value;
};

struct us_animation {
    uint32_t param;           /* index in type->params */
    struct us_keyframe *keys; /* sorted by frame */
    size_t count;
    bool linear; /* else held from key to key */
};

/* What the graph says about storing a node's results. */
enum us_store_policy { US_STORE_DEFAULT, US_STORE_KEEP, US_STORE_DROP };

struct us_node {
    const char *name; /* dotted for what a template made: "plate.crop" */
    const struct us_node_type *type;
    struct us_pos pos;        /* of the node's key in the YAML */
    struct us_pos *param_pos; /* one a parameter; line 0 where the default stands */
    void *params; /* type->params_size bytes; animated fields hold their first key's value */
    struct us_animation *animations;
    size_t animation_count;
    struct us_node_input *inputs; /* one a port of type->inputs */
    enum us_store_policy store;
};

/* A file that the graph was read from. */
struct us_graph_file {
    const char *path;        /* as messages name it */
    const char *real;        /* its real path */
    struct us_digest digest; /* of the bytes that were parsed */
};

struct us_graph {
    struct us_arena arena;
    const struct us_registry *registry;
    const char *path;      /* the graph file */
    const char *folder;    /* what relative paths in it start from */
    const char *show;      /* "" when it names none */
    struct us_node *nodes; /* every link points to a smaller index: an order to run in */
    size_t node_count;
    struct us_link *outputs; /* what `outputs:` asks for */
    size_t output_count;
    struct us_graph_file *files; /* the graph file and its includes, under each path they have */
    size_t file_count;
    bool has_roots; /* some file declares `roots:` */
};

/* A "-p name=value" of the command line. */
struct us_setting {
    const char *name, *value;
};

/* Parses, expands, checks. Every error names file, line and column. On failure *graph is NULL. */
struct us_error *us_graph_load(const struct us_registry *registry, const char *path,
                               const struct us_setting *settings, size_t setting_count,
                               struct us_graph **graph) US_NODISCARD;
void us_graph_destroy(struct us_graph *graph);

/* The node of that name, or NULL; and the nearest name for a message, or NULL. */
struct us_node *us_graph_find(const struct us_graph *graph, const char *name);
const char *us_graph_nearest(const struct us_graph *graph, const char *name);
/* True for the node of that name, and for those of a template's use of that name. */
bool us_node_is_of(const struct us_node *node, const char *name);

/* Fills `params` (type->params_size bytes, the caller's) with the node's values at a frame: a copy
 * of node->params with the animations evaluated. Shares the node's strings. */
void us_node_params_at(const struct us_node *node, struct us_frame frame, void *params);

/* Where a message about parameter `name` should point: its value, else the node. */
struct us_pos us_node_param_pos(const struct us_node *node, const char *name);

#endif
