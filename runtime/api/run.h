/* The embedding API: plan and run a graph. tools/ is its main user. */
#ifndef US_RUNTIME_API_RUN_H
#define US_RUNTIME_API_RUN_H

#include "runtime/api/outlook.h"
#include "runtime/api/store.h"
#include "runtime/graph/graph.h"

struct us_run;

enum us_task_state {
    US_TASK_WAITING,
    US_TASK_READY,
    US_TASK_RUNNING,
    US_TASK_CACHED,
    US_TASK_DONE,
    US_TASK_FAILED,
    US_TASK_SKIPPED, /* something above it failed */
    US_TASK_CANCELLED,
};

/* One line of the run's story. Pointers are valid during the call only. */
enum us_event_kind {
    US_EVENT_START, /* a task begins; `why` says for what reason it runs */
    US_EVENT_DONE,
    US_EVENT_CACHED,
    US_EVENT_FAILED, /* `error` */
    US_EVENT_SKIPPED,
    US_EVENT_PROGRESS, /* `fraction`, `status` */
    US_EVENT_REMADE,   /* a value that was not stored was made again for a task that runs, `seconds`
                        */
    US_EVENT_WARNING,  /* `status` */
};

struct us_event {
    enum us_event_kind kind;
    const struct us_node *node; /* NULL: a warning of the cache, or a sum */
    struct us_frame frame;
    bool per_frame;     /* else `frame` means nothing */
    const char *label;  /* "crop@1001", "model"; "crop" with a count */
    size_t count;       /* US_EVENT_CACHED: not 0: so many tasks of the node, all it has; without
                           a node, all that the nodes have of which nothing runs */
    int worker;         /* the thread it happens on, from 0; -1: none of the workers */
    const char *device; /* "cuda:0", "cpu:1", "cuda:0,cuda:1"; NULL: none granted */
    const char *why, *status;
    double fraction, seconds;
    const struct us_error *error;
    size_t running, waiting; /* tasks now */
};

enum us_device_kind { US_DEVICE_CUDA, US_DEVICE_CPU };

/* Of a run: a GPU, or a part of the CPU with an equal share of the run's threads. */
struct us_run_device {
    enum us_device_kind kind;
    int ordinal;                 /* cuda:0, cpu:1 */
    size_t budget;               /* bytes that tasks may take of it; 0: what a GPU has free, a CPU
                                    device's equal share of the run's memory */
    struct us_device_memory has; /* a GPU's; zeros: not known */
};

struct us_run_options {
    int threads;         /* CPU slots; 0: what the machine has */
    size_t memory_bytes; /* host memory for tasks and values; 0: three quarters of the machine's */
    const struct us_run_device *devices; /* for tasks that use one, at most 64; borrowed */
    size_t device_count;
    bool devices_later; /* us_run_use_devices will tell: what only they decide is not planned */
    double read_rate; /* bytes a second at which results come back from the cache, for what is worth
                         storing; 0: 500 million */
    bool keep_going;
    const char *const *targets; /* names of nodes, or of templates' uses (all of their nodes),
                                   instead of the graph's outputs; NULL: outputs */
    size_t target_count;
    const struct us_frames *frames; /* only these frames of the targets; NULL: all */
    void (*event)(void *context, const struct us_event *event); /* one at a time; from any thread */
    void *context;
    const struct us_digest *standing; /* us_standing_name of it all: what the last run of the same
                                         left makes planning quick; NULL: plan from scratch */
    bool cached_in_sum; /* nodes of which nothing runs are told of in one event, not one each */
    double progress_interval; /* seconds between progress events of a task; 0: 0.1 */
};

struct us_summary {
    size_t ran, cached, failed, skipped, cancelled;
    size_t remade;  /* times that values which were not stored were made again; not in `ran` */
    double seconds; /* of us_run_execute */
    int status;     /* exit status: 0, 1, 3, 75, 78, 130 */
};

struct us_plan_entry {
    const struct us_node *node;
    struct us_frame frame;
    bool per_frame;
    const char *label;
    bool run;                 /* else cached */
    bool maybe;               /* runs only if something above it really changes */
    const char *why;          /* one clause; valid until the run is destroyed */
    double seconds;           /* from history; 0: unknown */
    enum us_task_state state; /* after us_run_execute: what became of it */
};

/* Builds the tasks that `options` asks for and finds their plan keys: digests of source files,
 * existing records. Fails before anything runs when a source file is missing, frames do not fit, a
 * target has none of the frames asked for, or two nodes write one path. `graph` and `store` must
 * outlive the run. */
struct us_error *us_run_create(struct us_graph *graph, struct us_store *store,
                               const struct us_run_options *options,
                               struct us_run **run) US_NODISCARD;
void us_run_destroy(struct us_run *run);

/* A sentence on those of the frames asked for that no target has; NULL: there are none such. */
const char *us_run_left_out(const struct us_run *run);

/* What us_run_execute would do, in order; tasks nobody needs are left out. */
size_t us_run_plan_count(const struct us_run *run);
struct us_plan_entry us_run_plan_entry(struct us_run *run, size_t index);
/* The same without a label (NULL), which takes time and memory over a million tasks. */
struct us_plan_entry us_run_plan_brief(const struct us_run *run, size_t index);

/* What names an entry's result in the cache. */
struct us_plan_result {
    struct us_digest key;            /* of its record */
    const struct us_digest *objects; /* one an output; NULL while they are not known */
    size_t count;
    bool stored; /* the outputs are objects; else a file is, or nothing */
};
struct us_plan_result us_run_plan_result(const struct us_run *run, size_t index);

/* The memory that a node which runs takes in one place. */
struct us_memory_use {
    const struct us_node *node;
    int place;                          /* US_HOST_MEMORY, or the ordinal of a device */
    const struct us_memory_part *parts; /* all of this place */
    size_t part_count;
    size_t bytes;            /* their sum; 0: not known, `note` says why */
    size_t at_once;          /* so many of the node's tasks at a time: bytes are theirs */
    size_t available;        /* of the place for this run; 0: not known */
    size_t total;            /* that the place has */
    bool maybe;              /* the node runs only if something above it really changes */
    const char *note, *hint; /* as the node gives them: one clause each, or NULL */
};

/* True when a task that will run takes enough memory to be asked about it. */
bool us_run_takes_memory(const struct us_run *run);
/* Devices after all, before us_run_memory; borrowed. */
void us_run_use_devices(struct us_run *run, const struct us_run_device *devices, size_t count);
/* What the nodes that will run take, in order; valid until the run is destroyed. */
size_t us_run_memory(struct us_run *run, const struct us_memory_use **uses);
/* Why nothing may run: what a node takes for certain does not fit, or the node could not work. */
struct us_error *us_run_refusal(struct us_run *run) US_NODISCARD;

/* Runs, unless it is refused (us_run_refusal). Node failures are events and counted; the returned
 * error is for what stopped the run as such. */
struct us_error *us_run_execute(struct us_run *run, struct us_summary *summary) US_NODISCARD;

/* Asks a running us_run_execute to stop; safe in a signal handler. */
void us_run_cancel(struct us_run *run);

/* Explains one task: several lines of text, us_malloc'ed. `frame` is ignored for once-nodes. */
struct us_error *us_run_explain(struct us_run *run, const char *node, struct us_frame frame,
                                char **text) US_NODISCARD;

#endif
