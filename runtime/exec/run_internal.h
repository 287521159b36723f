/* Inside of a run, shared by the files of runtime/exec.
 *
 * Tasks stand in one array, node by node, frame by frame; edges are not stored but computed from
 * the graph (each_input, each_consumer). While planning one thread works; while executing `lock`
 * guards everything marked (lock). */
#ifndef US_RUNTIME_EXEC_RUN_INTERNAL_H
#define US_RUNTIME_EXEC_RUN_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/api/run.h"
#include "runtime/api/task.h"
#include "runtime/base/arena.h"
#include "runtime/base/str.h"
#include "runtime/base/watch.h"
#include "runtime/exec/resources.h"

enum { NO_TASK = 0x7fffffff, MAX_OUTPUTS = 16, MAX_WITNESSES = 16 };

struct task {
    uint32_t node;
    struct us_frame frame;
    struct us_digest plan_key;
    struct us_digest *digests; /* one an output; NULL until known */
    const char *why;           /* in the arena; NULL when cached for no reason to tell */
    float seconds;             /* from history; 0: unknown */
    uint8_t state;             /* enum us_task_state (lock) */
    bool needed : 1;           /* in the closure of the targets */
    bool asked : 1;            /* the plan wants to know what it comes to */
    bool looked : 1;           /* its plan key was looked up */
    bool resolved : 1;         /* the plan has decided about it */
    bool fed : 1;              /* it runs, and what it reads was seen to */
    bool stood : 1;  /* as in the last run that ended well, which found it cached or made it */
    bool moved : 1;  /* its plan key is another than then */
    bool reread : 1; /* and a file that it reads was, too */
    bool run : 1;    /* decided: runs, or may run */
    bool maybe : 1;  /* only if something above really changes */
    bool forced;     /* volatile and gone: made anew, with everything below it */
    bool alias;      /* found by action key: its plan key wants a record too */
    bool unstored;   /* its results were not worth an object: made again when wanted */
};

struct history_chunk;

/* The fields that all tasks of a node begin with. */
struct node_prefix {
    struct us_str fields;
    struct us_digest digest;
    _Atomic bool stored;
    bool asked, known; /* was_made_somewhere */
};

struct node_tasks {
    uint32_t first, count, needed;
    struct us_frames frames; /* of a per-frame node; those with the same frames share the items */
    bool owns_frames;
    struct node_prefix *prefix; /* NULL: not the same for all its tasks, or not made */
    uint32_t *consumers;        /* nodes that read it, ascending, each once */
    uint32_t consumer_count;
    struct history_chunk *history; /* read so far (history_lock) */
    bool volatile_above;           /* it, or a node above, is volatile */
    _Atomic bool waited;           /* it was told that another process makes a task */
    size_t host_bytes;             /* that a task takes, once memory is planned; 0: little */
    size_t device_bytes;           /* the same of a device */
};

/* One input value of a task. */
struct input_ref {
    uint32_t task, port; /* the producer and its output */
    uint32_t entry;      /* which list entry */
};

struct source_file {
    const char *role, *path, *hint;
};

struct source_ref {
    uint32_t task, item; /* of the watch */
};

struct us_sources {
    struct us_arena *arena;
    struct source_file *items;
    size_t count, capacity;
};

/* What a task is given while it runs. */
struct grant {
    int worker;       /* from 0; -1: none of the workers */
    char device[256]; /* "cuda:0,cuda:1"; "": none */
    int threads;
    int cuda[DEVICES_MOST]; /* ordinals of GPUs */
    size_t cuda_count;
    size_t device_bytes_free; /* of the first device, as far as tasks have said; 0: not known */
    struct us_arena *scratch; /* the worker's own; NULL: none */
};

/* Of a task while the run executes. */
struct task_side {
    bool started;                 /* its start was told; it may be tried again (again.c) */
    uint32_t waiting;             /* inputs that still have to run (lock) */
    atomic_uint readers;          /* tasks that still have to run and read it */
    _Atomic float remake_seconds; /* with what is above and not stored; 0: not known */
    float path; /* seconds to the end of the longest path below, its own with it */
};

struct us_run {
    struct us_graph *graph;
    struct us_store *store;
    struct us_run_options options;
    struct us_arena arena; /* planning only: one thread */
    struct node_tasks *nodes;
    struct task *tasks;
    uint32_t task_count;
    uint32_t *plan; /* needed tasks, in order */
    size_t plan_count;
    struct us_digest *lost; /* results of trainings whose bytes are gone: made anew */
    size_t lost_count, lost_capacity;
    struct base *base;       /* what the last run that ended well left, while it is of use */
    struct source_ref *refs; /* which task reads which of the watched files */
    size_t ref_count, ref_capacity;
    bool noting;                       /* keys are made for the first time: refs are noted */
    struct us_watch watch;             /* what planning looked at */
    struct us_digest generation;       /* of the records, before planning */
    const char *identity;              /* the graph file's full path, which names its history */
    struct us_memory_use *memory_uses; /* once `memory_known` */
    size_t memory_use_count, memory_use_capacity;
    struct us_error *refusal; /* NULL: may run */
    const char *left_out;     /* which of the frames asked for nothing has; NULL: none */
    bool frames_mattered;     /* a target has frames, of which some were asked for */
    bool refused;             /* it was handed out */
    bool memory_known;

    pthread_mutex_t lock;
    struct scheduling *scheduling;     /* while it executes (lock) */
    struct value_tier *tier;           /* while it executes */
    struct task_side *sides;           /* one a task, while it executes */
    atomic_size_t unfinished, running; /* tasks */
    int slots;
    size_t work_memory;        /* for tasks at work */
    size_t memory_limit;       /* of values */
    struct us_summary summary; /* (lock) */
    atomic_bool cancelled;     /* by us_run_cancel */
    atomic_bool stopping;      /* a node failed and keep_going is off, or cancelled */

    pthread_mutex_t event_lock;
    pthread_mutex_t history_lock;
    double history_written; /* when (history_lock) */
};

/* A task while it runs; made by execute_task, handed to the node. */
struct us_task {
    struct us_run *run;
    struct task *task;
    const struct us_node *node;
    void *params;
    struct us_arena arena;
    struct us_arena_mark mark; /* of the empty arena */
    struct input_ref **inputs; /* one array a port */
    size_t *input_counts;
    struct us_value ***loaded; /* borrowed values, beside inputs */
    struct us_value **outputs;
    struct us_sources sources;
    char *destination, *workspace;
    const struct grant *grant;
    struct us_error *failed; /* by us_task_fail */
    double last_progress;
    char status[256];
};

/* -- tasks.c: from nodes to tasks */
struct us_error *build_tasks(struct us_run *run) US_NODISCARD;
const struct us_node *task_node(const struct us_run *run, const struct task *task);
/* True when the task's results are objects of the cache: not for readers (read again), writers
 * (their file is the result) and `cache: drop` (made again when wanted). */
bool task_is_stored(const struct us_run *run, const struct task *task);
/* The tasks of node `above` that `task` reads through `port`: [*first, *first + the result). */
uint32_t task_span(const struct us_run *run, uint32_t above, const struct task *task, int port,
                   uint32_t *first);
/* False: what it makes is in this process's memory only, so that waiting for another saves nothing.
 */
bool task_is_leased(const struct us_run *run, const struct task *task);
/* Inputs at one port, in order; the array is in `arena`. */
struct input_ref *task_inputs(const struct us_run *run, const struct task *task, int port,
                              struct us_arena *arena, size_t *count);
typedef void task_visitor(struct us_run *run, struct task *task, void *context);
/* Visits every task that reads an output of `task`; a consumer may come twice. */
void each_consumer(struct us_run *run, const struct task *task, task_visitor *visit, void *context);
/* Visits every input task; an input may come twice. */
void each_input(struct us_run *run, const struct task *task, task_visitor *visit, void *context);
void each_port_input(struct us_run *run, const struct task *task, int port, task_visitor *visit,
                     void *context);
/* "plate.crop@1001", "actor.crop@take2:1001", "model"; in `arena`. */
const char *task_label(const struct us_run *run, const struct task *task, struct us_arena *arena);
/* Wraps an error with node, type and place. */
struct us_error *node_error(const struct us_node *node, struct us_error *error) US_NODISCARD;
/* Wraps an error with node, type, frame and place. */
struct us_error *task_error(const struct us_run *run, const struct task *task,
                            struct us_error *error) US_NODISCARD;

/* -- key.c: identity */
/* Before any fields are made: what is the same for all tasks of a node. */
void make_prefixes(struct us_run *run);
void make_prefix(struct us_run *run, uint32_t node);
/* -- standing.c */
/* The states that this thread's last us_standing_recall found, when it was of that name and they
 * are so many: the caller's, once; else NULL. */
struct us_digest *us_standing_states(const struct us_digest *name, size_t count);
/* Points at each of `count` texts with NULs; NULL when there are not so many. us_malloc'ed. */
const char **us_text_list(const char *text, size_t size, size_t count);

/* -- base.c: planning from what the last run that ended well left */
/* Reads it, before anything else is planned, and sees what changed since. */
void base_open(struct us_run *run);
/* Makes the plan keys from it: true, and tasks are marked `stood` or `moved`. False: there is none,
 * or it does not fit. */
struct us_error *base_keys(struct us_run *run, bool *done) US_NODISCARD;
/* True: what was noted of a watched file is what it was in this state, which it had when planning
 * began. (Should it have changed since, the next run sees that.) */
bool base_knows(const struct us_run *run, size_t item, struct us_digest *state);
/* The plan key that a task had then; false: there is no base. */
bool base_key(const struct us_run *run, const struct task *task, struct us_digest *key);
void base_write(struct us_run *run, const struct us_digest *name, const struct us_digest *states);
void base_finish(struct us_run *run);

/* -- prefetch.c: gathers the digests of all source files, in parallel where they are many. */
void read_sources_ahead(struct us_run *run);

/* The parts of a key: name and value texts, each with a 4-byte length, in order. */
struct us_error *plan_fields(struct us_run *run, const struct task *task,
                             struct us_str *fields) US_NODISCARD;
/* Needs the digests of every input; `for_workspace` leaves US_EXTENDING parameters out. */
struct us_error *action_fields(struct us_run *run, const struct task *task, bool for_workspace,
                               struct us_str *fields) US_NODISCARD;
struct us_digest key_of(const char *domain, const struct us_str *fields);
struct field {
    const char *name, *value;
    size_t name_size, value_size;
};
/* The field at *at, which moves on; false at the end or when a length does not fit. */
bool next_field(const char *fields, size_t size, size_t *at, struct field *field);

/* -- record.c: what is kept of a result */
/* A training above: its action and what that came to. It counts while the record of the action says
 * so. */
struct witness {
    struct us_digest action_key, digest;
};

struct record {
    size_t output_count;
    struct us_digest outputs[MAX_OUTPUTS];
    uint64_t sizes[MAX_OUTPUTS]; /* of the objects; 0: not known */
    size_t witness_count;
    struct witness witnesses[MAX_WITNESSES];
    double seconds;
    double remake_seconds; /* with what is above and not stored */
    bool unstored;         /* its outputs are no objects */
};

/* False when the bytes are no record of a task with so many outputs. */
bool parse_record(const uint8_t *bytes, size_t size, size_t outputs, struct record *record);
struct us_error *load_record(struct us_run *run, const struct us_digest *key, size_t outputs,
                             struct record *record, bool *found) US_NODISCARD;
/* `fields`: the key's, for explain, or NULL. */
struct us_error *store_record(struct us_run *run, const struct task *task,
                              const struct us_digest *key, const struct record *record,
                              const struct us_str *fields, bool *won) US_NODISCARD;
/* False: no task of that type with those parameters was ever made for this cache, so that none is
 * found whatever its inputs come to. Planning only. */
bool was_made_somewhere(struct us_run *run, const struct task *task);
/* The fields and the reason that a record under a plan key keeps; false when there is none. */
bool record_fields(struct us_run *run, const struct us_digest *key, struct us_str *fields,
                   struct us_str *why);
/* Fills in the volatile results above the task, and itself if it is one. False: there are more than
 * a record takes. */
bool collect_witnesses(struct us_run *run, const struct task *task,
                       const struct us_digest *action_key, struct record *record);
struct us_error *witnesses_stand(struct us_run *run, const struct record *record,
                                 bool *stand) US_NODISCARD;

/* -- history.c: what is remembered about the last result of node@frame (in the index) */
struct history {
    struct us_digest plan_key; /* its record has the fields */
    int64_t when;              /* seconds since 1970; 0: nothing is remembered */
    double seconds;            /* that making it took; 0: not known */
};
struct history history_recall(struct us_run *run, const struct task *task);
/* `seconds` 0 keeps what was known. Written in batches: history_write ends one. */
void history_remember(struct us_run *run, const struct task *task, double seconds);
void history_write(struct us_run *run);
void history_finish(struct us_run *run);
/* A sentence on why the record of a task cannot serve; in the arena. */
const char *why_miss(struct us_run *run, const struct task *task);

/* -- difference.c */
/* What differs between old plan fields and those now, clauses joined by ", ": at most six, then
 * "and N more". In the arena; NULL when nothing does. */
const char *differences(struct us_run *run, const struct task *task, const struct us_str *old,
                        const struct us_str *fields);
/* The same of a task of which nothing but inputs can differ, by what moved above it. */
const char *moved_inputs(struct us_run *run, const struct task *task);

/* -- targets.c: what the run is for */
/* Asks for the targets. */
struct us_error *ask_targets(struct us_run *run) US_NODISCARD;
/* The same, and marks what they need. */
struct us_error *mark_targets(struct us_run *run) US_NODISCARD;

/* -- plan.c */
bool is_lost(const struct us_run *run, const struct us_digest *digest);
struct us_error *make_plan(struct us_run *run) US_NODISCARD;
/* True when the file of a `writes` task is there with the content its digest says. */
bool destination_stands(struct us_run *run, const struct task *task, const char **why);
/* Tells of the tasks that the plan found cached (options.cached_in_sum), and counts them. */
struct us_error *announce_cached(struct us_run *run) US_NODISCARD;
/* The file a `writes` task makes; us_malloc'ed. */
char *task_destination(const struct us_run *run, const struct task *task);
/* Fails when two tasks write one path, or one writes what another reads. */
struct us_error *check_destinations(struct us_run *run) US_NODISCARD;
void set_digests(struct us_run *run, struct task *task, const struct us_digest *digests);

/* -- memory.c: what the plan takes */
/* Warns of nodes that may run and would not fit. */
void warn_of_memory(struct us_run *run);

/* -- execute.c: tasks on this thread; called without the lock */
struct outcome;
/* Runs tasks of one node, or finds their results after all; sets digests. Several are a batch. */
void execute_tasks(struct us_run *run, struct task **tasks, size_t count, const struct grant *grant,
                   struct outcome *outcomes);
/* Puts values into the cache, for a task whose results are objects of it; `sizes`: theirs there, or
 * NULL. */
struct us_error *store_values(struct us_run *run, const struct task *task,
                              struct us_value *const *values, uint64_t *sizes) US_NODISCARD;
/* Takes the records of a task away, whose result cannot be had again. */
void drop_records(struct us_run *run, struct task *task);
/* Gives the plan key of a task that was found by its action key a record of its own. */
struct us_error *alias_task(struct us_run *run, struct task *task) US_NODISCARD;

/* -- open.c: a task as its node sees it */
struct us_error *task_open(struct us_run *run, struct task *task, const struct grant *grant,
                           struct us_task *open) US_NODISCARD;
/* Lets go of what the node loaded and made, to run it again. */
void task_clear(struct us_task *open);
void task_close(struct us_task *open);
/* Aborts when the node made less than it should. */
void check_outputs(struct us_task *open);
struct us_error *run_node(struct us_task *open) US_NODISCARD;
/* Runs the node of a task to get its values back, one reference an output, for the caller; they are
 * those of its digests when these are known. Looks up what is above it as far as the plan did not.
 */
struct us_error *remake_values(struct us_run *run, struct task *task, const struct grant *grant,
                               struct us_value **values) US_NODISCARD;

/* -- worth.c: what is stored */
/* Seconds to make a task's values again: `seconds` for itself, with the inputs that are not stored.
 */
double remake_cost(struct us_run *run, const struct task *task, double seconds);
/* Of a task whose results may be objects: whether these are worth one. */
bool is_worth_storing(const struct us_run *run, const struct task *task,
                      struct us_value *const *values, double cost);

/* -- value_tier.c: values in memory. Any thread, with or without the run's lock. */
void open_tier(struct us_run *run);
/* A value of a finished or cached task: from memory, the cache, its file, or by running it again
 * with the caller's grant. The caller gets a reference. */
struct us_error *load_value(struct us_run *run, struct task *task, uint32_t port,
                            const struct grant *grant, struct us_value **value) US_NODISCARD;
/* Keeps values in memory (one an output; takes references of its own) when a task still has to read
 * them, and drops others over the budget. `seconds`: to make them again. */
void keep_values(struct us_run *run, struct task *task, struct us_value *const *values,
                 double seconds);
/* Nobody reads them any more. */
void forget_values(struct us_run *run, const struct task *task);
void drop_values(struct us_run *run);

/* -- schedule.c */
struct us_error *schedule_run(struct us_run *run) US_NODISCARD;
void schedule_finish(struct us_run *run);
/* Host memory of a node that runs outside of the schedule, in a task that runs: taken from what is
 * free, without waiting. Gives how much it was, for give_back_memory. */
size_t borrow_memory(struct us_run *run, const struct task *task);
void give_back_memory(struct us_run *run, size_t bytes);

/* What a task of a node needs of the machine, cut to what there is. */
struct us_needs needs_of_node(const struct us_run *run, const struct us_node *node);

void send_event(struct us_run *run, const struct task *task, struct us_event *event);
/* The same, from where a task runs: fills in worker and device. */
void send_event_at(struct us_run *run, const struct task *task, const struct grant *grant,
                   struct us_event *event);
double now_seconds(void); /* monotonic */

#endif
