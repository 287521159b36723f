/* Before a run: what nodes know of results that are not there yet, and of the memory they will
 * take.
 *
 * Geometries flow along the edges, from `describe` of one node type to that of the next
 * (runtime/api/node.h); `memory` adds up what a task takes from what has come down. Nothing here
 * reads pixels, enters a key or changes a result. */
#ifndef US_RUNTIME_API_OUTLOOK_H
#define US_RUNTIME_API_OUTLOOK_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/arena.h"

/* What is known of an output: zeros, when nothing is. */
struct us_geometry {
    int size;          /* side of square images, or of a data set's faces, pixels */
    size_t count;      /* images of all frames, or a data set's faces */
    bool at_most;      /* count is the most there can be: a frame may turn out to have no face */
    const void *about; /* what only the node types that make and take such data know of it
                          (US_MODEL: nodes/learn/swap_outlook.h); lives as long as the run */
};

/* At an input: one an entry of its list, none when it is not connected. */
struct us_geometries {
    const struct us_geometry *items;
    size_t count;
};

struct us_device_memory {
    size_t total, free; /* bytes; total 0: not known */
};

/* What a node is asked about. */
struct us_outlook {
    const void *params;
    const struct us_geometries *inputs; /* one a port */
    struct us_arena *arena;             /* for what outlasts the call */
    /* What a task will be given; `describe` sees none of it. */
    int threads;
    const int *devices; /* ordinals; of several it may be given one of, the one with least memory */
    const struct us_device_memory *device_memory;
    size_t device_count; /* 0: it computes on the CPU */
};

enum { US_HOST_MEMORY = -1 }; /* as a place; others are ordinals of devices */

struct us_memory_part {
    const char *name; /* for people: "weights", "activations" */
    int place;
    size_t bytes;
};

/* What one task takes at its peak, besides inputs and outputs that the run keeps at hand. */
struct us_memory {
    struct us_arena *arena;
    struct us_memory_part *parts; /* in the order they were added in */
    size_t count, capacity;
    const char *note; /* what is estimated or not known, one clause; or NULL */
    const char *hint; /* what to change when it does not fit; or NULL */
};

/* Adds to the part of that name in that place; 0 bytes add nothing. The name must last. */
void us_memory_add(struct us_memory *memory, int place, const char *name, size_t bytes);
/* All parts of a place. */
size_t us_memory_sum(const struct us_memory *memory, int place);
/* Sets the note. */
void us_memory_note(struct us_memory *memory, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
