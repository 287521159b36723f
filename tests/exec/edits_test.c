/* Random edits of graphs and their files. After each the graph runs on a cache that saw all the
 * edits before; what it wrote, what it ran and what the plan said is held against an evaluation
 * from scratch (tests/support/edit_oracle.h). Every fiftieth time it also runs on an empty cache.
 *
 *     EDITS=100000   how many (2,000)
 *     SEED=7         of the first world; a failure names the one that shows it again
 *     EDITS_FOLDER   where the files go (/dev/shm, else /tmp) */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache.h"
#include "runtime/api/run.h"
#include "runtime/api/standing.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/graph/compiled.h"
#include "tests/support/check.h"
#include "tests/support/edit_disk.h"

enum { WORLD_EDITS = 400, SNAPSHOTS = 16, EMPTY_EVERY = 50 };

/* One world and its history; edit `step` of it. */
struct lab {
    uint64_t seed;
    int step;
    struct edit_random random;
    struct edit_world world, snapshots[SNAPSHOTS];
    int snapshot_count;
    struct edit_sources sources;
    struct edit_trainings trainings;
    struct edit_made made;
    struct edit_disk disk;
    struct us_store *store;
    struct edit_state before, after;
    struct edit_outcome outcome;
    struct us_str text;    /* of the graph file */
    struct us_frames only; /* just these frames, when there are any */
    int fail_after, threads;
    bool stood; /* what the last run relied on stood: nothing was to do, it said */
    bool again; /* the run failed for good reason: it is to be run again */
    char edit[160];
};

/* The cache trusts a time stamp once it is older than a tick of the file system's clock, and waits
 * for that. Where stamps are known to differ (edit_disk.h) there is nothing to wait for: the wall
 * clock runs a second ahead. */
static _Atomic bool hurry = true; /* the cache has a thread of its own */

int nanosleep(const struct timespec *wanted, struct timespec *left) {
    return hurry ? 0 : clock_nanosleep(CLOCK_REALTIME, 0, wanted, left);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    const int failed = (int)syscall(SYS_clock_gettime, clock, now);
    now->tv_sec += hurry && clock == CLOCK_REALTIME;
    return failed;
}

static void note(void *context, const struct us_event *event) {
    struct lab *lab = context;
    struct edit_outcome *outcome = &lab->outcome;
    for (const struct us_error *e = event->error; e && event->kind == US_EVENT_FAILED;
         e = e->cause) {
        us_str_printf(&outcome->failures, "  %s: %s\n", event->label, e->text);
    }
    if (event->kind != US_EVENT_START && event->kind != US_EVENT_DONE) {
        return;
    }
    const int task = edit_find(&lab->world, &lab->before, event->label);
    if (task < 0) {
        us_str_printf(&outcome->strange, "  an event of %s\n", event->label);
        return;
    }
    struct edit_did *did = &outcome->did[task];
    did->started += event->kind == US_EVENT_START;
    did->done += event->kind == US_EVENT_DONE;
}

static void note_plan(struct lab *lab, struct us_run *run, bool after) {
    lab->outcome.plan_count = us_run_plan_count(run);
    for (size_t i = 0; i < lab->outcome.plan_count; i++) {
        const struct us_plan_entry entry = us_run_plan_entry(run, i);
        const int task = edit_find(&lab->world, &lab->before, entry.label);
        if (task < 0) {
            us_str_printf(&lab->outcome.strange, "  a plan of %s\n", entry.label);
            continue;
        }
        struct edit_did *did = &lab->outcome.did[task];
        if (after) {
            did->state = (uint8_t)entry.state;
            continue;
        }
        did->planned = true;
        did->run = entry.run;
        did->maybe = entry.maybe;
        snprintf(did->why, sizeof did->why, "%s", entry.why);
    }
}

static struct us_error *plan_and_run(struct lab *lab, struct us_store *store,
                                     const char *graph_path, bool noted) {
    struct us_graph *graph;
    struct us_run *run = NULL;
    const struct us_registry *registry = edit_registry(lab->world.versions);
    struct us_run_options options = {.threads = lab->threads, .memory_bytes = (size_t)1 << 30};
    options.frames = lab->only.count ? &lab->only : NULL;
    struct us_digest name;
    struct us_str told = {0};
    bool named = us_standing_name(registry, graph_path, NULL, 0, &options, &name);
    lab->stood = named && noted && us_standing_recall(store, &name, &told);
    us_str_finish(&told);
    US_TRY(us_graph_load_kept(registry, graph_path, NULL, 0, store, &graph));
    if (noted) {
        options.event = note;
        options.context = lab;
    }
    options.standing = named ? &name : NULL;
    struct us_error *error = us_run_create(graph, store, &options, &run);
    struct us_summary summary = {0};
    if (!error && noted) {
        note_plan(lab, run, false);
    }
    if (!error) {
        error = us_run_execute(run, &summary);
    }
    if (!error && noted) {
        note_plan(lab, run, true);
        lab->outcome.summary = summary;
        if (named && summary.status == 0) {
            us_standing_remember(run, &name, NULL, 0);
        }
    }
    us_run_destroy(run);
    us_graph_destroy(graph);
    return error;
}

static void write_graph(struct lab *lab, const char *name, const char *out, char path[300]) {
    struct us_str text = {0};
    edit_world_text(&lab->world, out, &text);
    snprintf(path, 300, "%s/%s", lab->disk.folder, name);
    if (strcmp(us_str_text(&text), us_str_text(&lab->text)) != 0 ||
        strcmp(name, "shot.yaml") != 0) {
        edit_disk_put(&lab->disk, path, us_str_text(&text));
    }
    if (strcmp(name, "shot.yaml") == 0) {
        us_str_clear(&lab->text);
        us_str_append(&lab->text, us_str_text(&text));
    }
    us_str_finish(&text);
}

/* Every needed task: what the plan said, what was known of it, what became of it. */
static void tell_tasks(const struct lab *lab, struct us_str *text) {
    for (int t = 0; t < lab->before.count; t++) {
        const struct edit_task *task = &lab->before.tasks[t];
        const struct edit_did *did = &lab->outcome.did[t];
        us_str_printf(text, "# n%d@%d:%d%s%s%s%s | %s%s%s | %s\n", lab->world.nodes[task->node].id,
                      task->frame.take, task->frame.number, task->needed ? "" : " not needed",
                      task->known ? "" : " unknown", task->at_hand ? " at hand" : "",
                      edit_was_made(&lab->made, task->id) ? " made" : "",
                      did->run ? "run" : "cached", did->maybe ? " maybe" : "",
                      did->done ? ", RAN" : "", did->why);
    }
}

static void fail_with(struct lab *lab, const char *faults) {
    struct us_str text = {0};
    edit_world_text(&lab->world, "out", &text);
    tell_tasks(lab, &text);
    fprintf(stderr, "SEED=%" PRIu64 " EDITS=%d, edit %d: %s%s\n%s%s", lab->seed, lab->step + 1,
            lab->step, lab->edit, lab->only.count ? " (some frames only)" : "", faults,
            us_str_text(&text));
    us_str_finish(&text);
    fail();
}

/* -- one run and what to make of it */

/* What is asked for. A file that is only read by something cached may be gone. */
static void check_written(struct lab *lab, const char *out, struct us_str *faults) {
    for (int t = 0; t < lab->after.count; t++) {
        const struct edit_task *task = &lab->after.tasks[t];
        const struct edit_node *node = &lab->world.nodes[task->node];
        if (task->asked && edit_writes(node->kind) &&
            !edit_disk_written_right(&lab->disk, &lab->world, out, task)) {
            us_str_printf(faults, "  n%d@%d:%d: STALE in %s\n", node->id, task->frame.take,
                          task->frame.number, out);
        }
    }
}

/* What running tasks read. */
static void check_sights(struct lab *lab, struct us_str *faults) {
    for (size_t i = 0; i < edit_log.sight_count; i++) {
        const struct edit_sight *sight = &edit_log.sights[i];
        const int task = edit_find(&lab->world, &lab->after, sight->label);
        const struct edit_task *above = &lab->after.tasks[task < 0 ? 0 : task];
        if (task < 0 ||
            (sight->number != above->numbers[0] && sight->number != above->numbers[1])) {
            us_str_printf(faults, "  %s: STALE as an input\n", sight->label);
        }
    }
}

/* A trained model turned out to be damaged when it was read: the run says so, and the next one
 * trains. */
static bool training_lost(const struct lab *lab) {
    return lab->outcome.summary.status == 75 &&
           strstr(us_str_text(&lab->outcome.failures), "lost or damaged while this ran");
}

static long standing; /* times that it was said so */

static void judge(struct lab *lab, struct us_error *error) {
    struct us_str faults = {0};
    const bool faulty = lab->fail_after >= 0 && edit_log.fail_after == 0;
    standing += lab->stood;
    if (lab->before.missing >= 0) {
        if (!error || !us_error_is(error, US_MISSING) || lab->stood) {
            us_str_append(&faults, "  a source is missing, but nobody said so\n");
        }
    } else if (error) {
        for (const struct us_error *e = error; e; e = e->cause) {
            us_str_printf(&faults, "  ERROR %s\n", e->text);
        }
    } else {
        lab->again = training_lost(lab);
        const bool whole = !((faulty || lab->again) && lab->outcome.summary.status != 0);
        edit_evaluate(&lab->world, &lab->sources, &lab->trainings,
                      lab->only.count ? &lab->only : NULL, &lab->after);
        edit_disk_look(&lab->disk, &lab->world, lab->store, &lab->after);
        if (whole) {
            us_str_append(&faults, us_str_text(&lab->outcome.failures));
        }
        edit_judge(&lab->world, &lab->before, &lab->after, &lab->made, &lab->outcome, whole,
                   &faults);
        check_sights(lab, &faults);
        if (lab->stood && lab->outcome.summary.ran + lab->outcome.summary.failed) {
            us_str_append(&faults, "  STANDING: what changed was not seen\n");
        }
        if (whole) {
            check_written(lab, "out", &faults);
        }
        for (int t = 0; t < lab->after.count; t++) {
            if (lab->outcome.did[t].done) {
                edit_make(&lab->made, lab->after.tasks[t].id);
            }
        }
    }
    us_error_free(error);
    if (faults.length) {
        fail_with(lab, us_str_text(&faults));
    }
    us_str_finish(&faults);
}

static void run_incremental(struct lab *lab) {
    char path[300];
    write_graph(lab, "shot.yaml", "out", path);
    us_str_finish(&lab->outcome.strange);
    us_str_finish(&lab->outcome.failures);
    memset(&lab->outcome, 0, sizeof lab->outcome);
    edit_evaluate(&lab->world, &lab->sources, &lab->trainings, lab->only.count ? &lab->only : NULL,
                  &lab->before);
    edit_disk_look(&lab->disk, &lab->world, lab->store, &lab->before);
    edit_log.trainings = &lab->trainings;
    edit_log.sight_count = 0;
    edit_log.fail_after = lab->fail_after;
    lab->again = false;
    judge(lab, plan_and_run(lab, lab->store, path, true));
}

static void remove_tree(const char *path) {
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

/* From scratch by the runtime itself: the same files, but for what is below a training. */
static void run_on_empty(struct lab *lab) {
    if (lab->before.missing >= 0) {
        return;
    }
    char path[300], cache[300], out[300];
    write_graph(lab, "empty.yaml", "other", path);
    snprintf(cache, sizeof cache, "%s/empty", lab->disk.folder);
    snprintf(out, sizeof out, "%s/other", lab->disk.folder);
    struct us_store *store;
    struct edit_trainings trainings = {.total = 1000000};
    ASSERT_OK(us_cache_open(cache, &store));
    edit_log.trainings = &trainings;
    edit_log.sight_count = 0;
    edit_log.fail_after = -1;
    ASSERT_OK(plan_and_run(lab, store, path, false));
    us_cache_close(store);
    edit_evaluate(&lab->world, &lab->sources, &trainings, lab->only.count ? &lab->only : NULL,
                  &lab->after);
    struct us_str faults = {0};
    check_sights(lab, &faults);
    check_written(lab, "other", &faults);
    if (faults.length) {
        fail_with(lab, us_str_text(&faults));
    }
    us_free(trainings.items);
    remove_tree(cache);
    remove_tree(out);
}

/* -- edits */

static void reopen(struct lab *lab, bool lose_index) {
    us_cache_close(lab->store);
    if (lose_index) {
        char path[300];
        snprintf(path, sizeof path, "%s/index", lab->disk.cache);
        remove_tree(path);
    }
    ASSERT_OK(us_cache_open(lab->disk.cache, &lab->store));
}

static const char *change_environment(struct edit_random *random) {
    static const char *const names[] = {"TZ",   "LANG",    "LC_ALL",
                                        "HOME", "COLUMNS", "EDIT_OF_A_TEST"};
    static const char *const values[] = {"Asia/Tokyo", "C", "de_DE.UTF-8", "/nowhere", "7", "x"};
    setenv(names[edit_below(random, 6)], values[edit_below(random, 6)], 1);
    return "the environment";
}

static const char *revert(struct lab *lab) {
    if (lab->snapshot_count) {
        const int most = lab->snapshot_count < SNAPSHOTS ? lab->snapshot_count : SNAPSHOTS;
        const int next_id = lab->world.next_id;
        lab->world = lab->snapshots[edit_below(&lab->random, (uint32_t)most)];
        lab->world.next_id = next_id;
    }
    return "an earlier graph again";
}

static const char *rare(struct lab *lab) {
    switch (edit_below(&lab->random, 6)) {
    case 0:
        reopen(lab, false);
        return "the cache opened anew";
    case 1:
        reopen(lab, true);
        return "the index lost";
    case 2:
        lab->fail_after = (int)edit_below(&lab->random, 6);
        return edit_world_change(&lab->random, &lab->world);
    case 3: {
        const int low = 1 + (int)edit_below(&lab->random, 4);
        for (int f = low; f < low + 3; f++) {
            us_frames_add(&lab->only, (struct us_frame){0, f});
        }
        return edit_world_change(&lab->random, &lab->world);
    }
    case 4:
        return change_environment(&lab->random);
    default:
        return "nothing";
    }
}

/* Some frames only, where an output has none of them, is an error: not asked for. */
static void keep_frames_that_are_there(struct lab *lab) {
    for (int n = 0; n < lab->world.count && lab->only.count; n++) {
        int range = -1;
        edit_range_of(&lab->world, n, &range);
        bool any = range < 0 || !lab->world.nodes[n].output;
        for (int i = 0; !any && i < lab->world.ranges[range].count; i++) {
            const struct us_frame at = edit_frame_at(&lab->world.ranges[range], i);
            any = us_frames_find(&lab->only, at) >= 0;
        }
        if (!any) {
            us_frames_finish(&lab->only);
            lab->only = (struct us_frames){0};
        }
    }
}

static const char *edit(struct lab *lab) {
    const uint32_t what = edit_below(&lab->random, 100);
    lab->snapshots[lab->snapshot_count++ % SNAPSHOTS] = lab->world;
    if (lab->before.missing >= 0 && edit_chance(&lab->random, 70)) {
        edit_disk_restore(&lab->random, &lab->disk, &lab->sources);
        return "deleted sources put back";
    }
    if (what < 50) {
        return edit_world_change(&lab->random, &lab->world);
    }
    if (what < 70) {
        return edit_disk_source(&lab->random, &lab->disk, &lab->sources);
    }
    if (what < 78) {
        return edit_disk_object(&lab->random, &lab->disk, &lab->world, &lab->after);
    }
    if (what < 84) {
        return edit_disk_written(&lab->random, &lab->disk, &lab->world, &lab->after);
    }
    return what < 92 ? revert(lab) : rare(lab);
}

static void step(struct lab *lab) {
    us_frames_finish(&lab->only);
    lab->only = (struct us_frames){0};
    lab->fail_after = -1;
    lab->threads = 1 + (int)edit_below(&lab->random, 2);
    /* Now and then the cache's own rule about young time stamps has to do. */
    hurry = lab->step % 100 > 2;
    lab->disk.stamped = lab->step % 100 == 0 || hurry;
    const char *first = edit(lab), *second = edit_chance(&lab->random, 30) ? edit(lab) : NULL;
    snprintf(lab->edit, sizeof lab->edit, "%s%s%s", first, second ? ", " : "",
             second ? second : "");
    keep_frames_that_are_there(lab);
    run_incremental(lab);
    if (lab->again) {
        lab->fail_after = -1;
        run_incremental(lab);
    }
    if (lab->step % EMPTY_EVERY == EMPTY_EVERY - 1) {
        run_on_empty(lab);
    }
}

static const char *base_folder(void) {
    const char *wanted = getenv("EDITS_FOLDER");
    return wanted ? wanted : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

static int live_through(uint64_t seed, int edits) {
    static struct lab lab;
    char folder[160];
    memset(&lab, 0, sizeof lab);
    lab.seed = seed;
    lab.random.state = edit_mix(seed, 99);
    lab.before.missing = lab.after.missing = -1;
    snprintf(folder, sizeof folder, "%s/understudy-edits-%d", base_folder(), (int)getpid());
    edit_disk_make(&lab.disk, folder);
    for (int i = 0; i < EDIT_SETS * EDIT_TAKES * (EDIT_FRAMES + 1); i++) {
        (&lab.sources.variant[0][0][0])[i] = (int)edit_below(&lab.random, 8);
    }
    edit_disk_sources(&lab.disk, &lab.sources);
    edit_world_make(&lab.random, &lab.world);
    ASSERT_OK(us_cache_open(lab.disk.cache, &lab.store));
    snprintf(lab.edit, sizeof lab.edit, "the first run");
    lab.fail_after = -1;
    lab.threads = 2;
    run_incremental(&lab);
    for (lab.step = 0; lab.step < edits; lab.step++) {
        step(&lab);
    }
    us_cache_close(lab.store);
    us_free(lab.made.slots);
    us_free(lab.trainings.items);
    us_str_finish(&lab.outcome.strange);
    us_str_finish(&lab.outcome.failures);
    us_str_finish(&lab.text);
    us_frames_finish(&lab.only);
    remove_tree(folder);
    return edits;
}

static void test_edits(void **state) {
    (void)state;
    const char *edits = getenv("EDITS"), *seed = getenv("SEED");
    const long wanted = edits ? atol(edits) : 2000;
    const uint64_t first = seed ? strtoull(seed, NULL, 10) : 1;
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    long done = 0;
    for (uint64_t world = first; done < wanted; world++) {
        done +=
            live_through(world, (int)(wanted - done < WORLD_EDITS ? wanted - done : WORLD_EDITS));
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    print_message("%ld edits, seeds from %" PRIu64
                  ": 0 stale, 0 needless, every plan right, %ld no-ops told unseen, %.1f s\n",
                  done, first, standing,
                  (double)(ended.tv_sec - begun.tv_sec) +
                      1e-9 * (double)(ended.tv_nsec - begun.tv_nsec));
    us_free(edit_log.sights);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_edits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
