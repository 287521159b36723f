/* A graph that edits change at random, its source files, and the text of it. */
#ifndef US_TESTS_SUPPORT_EDIT_WORLD_H
#define US_TESTS_SUPPORT_EDIT_WORLD_H

#include "runtime/base/str.h"
#include "tests/support/edit_nodes.h"

enum {
    EDIT_NODES = 14,
    EDIT_LINKS = 3,
    EDIT_RANGES = 2,
    EDIT_SETS = 3,    /* sets of source files */
    EDIT_TAKES = 2,   /* of each */
    EDIT_FRAMES = 12, /* 1 to 12 */
    EDIT_TASKS = 96,  /* of a graph, at most */
};

struct edit_random {
    uint64_t state;
};
uint32_t edit_below(struct edit_random *random, uint32_t limit);
bool edit_chance(struct edit_random *random, uint32_t percent);

struct edit_link {
    int node, port;
};

struct edit_node {
    int id; /* its name is "n<id>" */
    enum edit_kind kind;
    struct edit_link links[EDIT_PORTS][EDIT_LINKS];
    int link_count[EDIT_PORTS];
    int range, set; /* of nodes that have frames of their own; of sources */
    int path;       /* of writers */
    int64_t i, late, radius, steps;
    double d;
    int key_count, key_frames[3]; /* of d, animated when there are any */
    double keys[3];
    bool linear, on;
    int choice, text, notes, label, store; /* store: 0 default, 1 keep, 2 drop */
    bool output;
};

struct edit_range {
    int low, count, step, takes;
};

struct edit_world {
    struct edit_node nodes[EDIT_NODES]; /* links lead to smaller indices */
    int count, next_id;
    struct edit_range ranges[EDIT_RANGES];
    uint32_t versions[EDIT_KINDS];
    uint64_t look; /* how the text is written: order, comments, white space */
};

/* The parameters of a node at a frame; `notes` has room for the texts. */
void edit_params_at(const struct edit_world *world, const struct edit_node *node, int frame,
                    const char *notes[4], struct edit_params *params);

/* The range of a node's frames; -1: one task over all. False when its inputs do not agree. */
bool edit_range_of(const struct edit_world *world, int node, int *range);
/* Frames of a range: `at` from 0 to takes * count - 1. */
struct us_frame edit_frame_at(const struct edit_range *range, int at);
bool edit_world_valid(const struct edit_world *world);

void edit_world_make(struct edit_random *random, struct edit_world *world);
/* Changes the graph in one way, always to another valid one; returns what it did. */
const char *edit_world_change(struct edit_random *random, struct edit_world *world);

/* The YAML; written files go to the folder `out`. */
void edit_world_text(const struct edit_world *world, const char *out, struct us_str *text);

#endif
