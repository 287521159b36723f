/* The node contract: what a node type says about itself. One constant of this type a node file,
 * one row in nodes/nodes.def, one test. docs/add-a-node.md walks through it. */
#ifndef US_RUNTIME_API_NODE_H
#define US_RUNTIME_API_NODE_H

#include "runtime/api/outlook.h"
#include "runtime/api/params.h"
#include "runtime/api/value.h"

struct us_task;

/* Which frames of an input a task reads. */
enum us_reach {
    US_THIS_FRAME, /* the task's own frame; a once-node's output is offered to every frame */
    US_WINDOW,     /* neighbours too: the type's `window` says how many; never across takes */
    US_ALL_FRAMES, /* every frame */
};

struct us_port {
    const char *name, *doc;
    unsigned data;       /* us_data bits; an output has one */
    enum us_reach reach; /* inputs only */
    bool optional;
    bool list; /* takes [a, b, ...] */
};

/* Devices that a task uses when the run has any: GPUs, or parts of the CPU (--devices cpu:0,cpu:1),
 * on which it computes as without one. Without a GPU it must work on the CPU. */
enum us_device_use {
    US_DEVICE_NONE,
    US_DEVICE_PREFERRED, /* one, or device_count, for itself while it runs */
    US_DEVICE_ALL,       /* all that the run has, at once */
};

struct us_needs {
    size_t host_bytes; /* at the peak, besides inputs and outputs; 0: small */
    int threads; /* CPU slots; 0 means 1; -1 means all there are, or a GPU's share of them; on a
                    CPU device it gets that device's */
    enum us_device_use device;
    int device_count;    /* of PREFERRED: so many at once, as far as there are; 0 means 1 */
    size_t device_bytes; /* on each, at the peak */
    bool shared;         /* others that say so too may use its device meanwhile, while bytes fit */
    int batch;           /* most frames that run_batch takes, up to 64; 0: it takes none */
};

/* Collects the files a task reads besides its inputs; their content digests enter its key. */
struct us_sources;
/* `role` tells the files apart in keys and to the task; `hint` (or NULL) says what to do when it is
 * missing. */
void us_source_add(struct us_sources *sources, const char *role, const char *path,
                   const char *hint);

struct us_node_type {
    const char *name;    /* the YAML `type:`; never renamed */
    const char *group;   /* io, face, learn, comp, util */
    uint32_t version;    /* bump when a result may change: part of every key */
    const char *summary; /* one line */
    const char *doc;     /* a paragraph or more: what it does, method and its source */
    const char *example; /* YAML of one working node, as it stands under `nodes:` */
    const struct us_port *inputs, *outputs; /* end with a NULL name; inputs may be NULL */
    const struct us_param *params;          /* ends with US_PARAMS_END; may be NULL */
    size_t params_size;
    bool per_frame;       /* one task a frame, else one task over the whole range */
    bool volatile_result; /* not reproducible across device classes (training): results below carry
                             a witness of its digest */
    bool reloads; /* running it costs no more than reading a cached copy (exr_read): its results
                     are not stored, and running it again to get pixels is no rerun */
    bool keyed_by_frame; /* the result depends on the frame number itself (generators) */
    bool keyed_by_names; /* the result shows the names of the nodes above (contact sheets) */
    bool writes; /* its single output, US_FILE, is written to `destination`, which must stay as
                     written */

    /* All optional but run. `params` is the filled params struct; none of these may print. */

    /* Beyond the table: parameters that contradict each other. */
    struct us_error *(*check)(const void *params);
    /* Frames of a node without frame inputs (readers, generators). */
    struct us_error *(*frames)(const void *params, struct us_frames *frames);
    /* Name of a take, for messages; us_malloc'ed or NULL. */
    char *(*take_name)(const void *params, int32_t take);
    /* Files read at this frame. */
    struct us_error *(*sources)(const void *params, struct us_frame frame,
                                struct us_sources *sources);
    /* Frames read before and after on US_WINDOW ports. */
    void (*window)(const void *params, int *before, int *after);
    /* The file a `writes` node makes at this frame, us_malloc'ed. */
    char *(*destination)(const void *params, struct us_frame frame);
    void (*needs)(const void *params, struct us_needs *needs);
    /* Before the run, what is known of the outputs, one geometry each: zeroed, but for the count of
     * frames of a per-frame node. */
    void (*describe)(const struct us_outlook *outlook, struct us_geometry *outputs);
    /* For tasks that take much memory: how much, asked of a node that will run. Adds nothing but a
     * note when it cannot be known. An error is one that the task would end with. */
    struct us_error *(*memory)(const struct us_outlook *outlook, struct us_memory *memory);
    struct us_error *(*run)(struct us_task *task);
    /* Several frames of a per-frame node at once, as many as are ready, up to `needs`'s batch. Each
     * result must be what `run` would make of it. A frame that fails: us_task_fail, and the others
     * go on; an error returned says nothing about frames: each is run again by itself, or, when it
     * is US_DEVICE_FULL, half as many at a time. */
    struct us_error *(*run_batch)(struct us_task **tasks, size_t count);
};

#endif
