/* What a graph of the random edits comes to, computed from scratch in memory without the runtime;
 * and the judge of a run: nothing stale, nothing run for nothing, and the plan right. */
#ifndef US_TESTS_SUPPORT_EDIT_ORACLE_H
#define US_TESTS_SUPPORT_EDIT_ORACLE_H

#include "runtime/api/run.h"
#include "tests/support/edit_world.h"

/* What stands in the source files: a variant, or -1: no file. */
struct edit_sources {
    int variant[EDIT_SETS][EDIT_TAKES][EDIT_FRAMES + 1];
};
/* The bytes of a variant; static storage. */
const char *edit_source_text(int variant);

struct edit_id {
    uint64_t a, b;
};

struct edit_task {
    int node;
    struct us_frame frame;
    bool asked;         /* of an output */
    bool needed, known; /* not known: below a training that never was */
    uint64_t numbers[EDIT_OUTPUTS];
    struct edit_id id; /* of type, version, parameters and contents of all inputs */
    struct us_digest digests[EDIT_OUTPUTS];
    /* Where things stand on disk; filled in by edit_disk_look. */
    bool at_hand; /* the results can be read: objects are there and whole, or the file is right */
    bool there;   /* the cache says so: it may not have noticed damage yet */
};

struct edit_state {
    int count, first[EDIT_NODES], each[EDIT_NODES]; /* tasks; of each node */
    struct edit_task tasks[EDIT_TASKS];
    int missing; /* a needed task whose source is not there, or -1 */
};

/* `only` (or NULL): just these frames of the outputs. */
void edit_evaluate(const struct edit_world *world, const struct edit_sources *sources,
                   const struct edit_trainings *trainings, const struct us_frames *only,
                   struct edit_state *state);
/* Calls visit(input task, context) for every value the task reads. */
void edit_each_input(const struct edit_world *world, const struct edit_state *state, int task,
                     void (*visit)(int input, void *context), void *context);
/* The task of a label, "n3@1" or "n3.low@0:1" or "n3"; -1: none. */
int edit_find(const struct edit_world *world, const struct edit_state *state, const char *label);

/* The actions ever computed. */
struct edit_made {
    struct edit_id *slots;
    size_t count, capacity;
};
bool edit_was_made(const struct edit_made *made, struct edit_id id);
void edit_make(struct edit_made *made, struct edit_id id);

/* What a run did, task by task. */
struct edit_did {
    int started, done;        /* events */
    bool planned, run, maybe; /* the plan */
    uint8_t state;            /* enum us_task_state, in the end */
    char why[160];
};
struct edit_outcome {
    struct us_str error; /* what stopped the run as such; empty: nothing */
    struct us_summary summary;
    struct edit_did did[EDIT_TASKS];
    size_t plan_count;
    struct us_str strange;  /* events about tasks that are not there */
    struct us_str failures; /* of tasks */
};

/* `before` and `after` are the same graph evaluated with the trainings before and after the run.
 * Adds a line for every fault found. `whole`: the run came to its end. */
void edit_judge(const struct edit_world *world, const struct edit_state *before,
                const struct edit_state *after, const struct edit_made *made,
                const struct edit_outcome *outcome, bool whole, struct us_str *faults);

#endif
