#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nodes/learn/ranks.h"
#include "nodes/learn/team.h"
#include "nodes/registry.h"
#include "runtime/api/standing.h"
#include "runtime/base/mem.h"
#include "tools/devices.h"
#include "tools/output.h"
#include "tools/session.h"
#include "tools/show_error.h"
#include "tools/show_memory.h"
#include "tools/show_progress.h"
#include "tools/written.h"

static volatile sig_atomic_t caught;
static struct us_run *_Atomic current;

/* The first signal asks; a second one, or one before anything runs, ends at once. */
static void on_signal(int number) {
    struct us_run *run = atomic_load(&current);
    if (caught || !run) {
        _exit(128 + number);
    }
    caught = number;
    us_run_cancel(run);
}

/* Nobody reads any more: as after a signal. */
static void on_event(void *progress, const struct us_event *event) {
    us_progress_event(progress, event);
    if (!caught && us_output_gone()) {
        on_signal(SIGPIPE);
    }
}

static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool name_of(struct us_session *session, const struct us_arguments *arguments,
                    struct us_digest *name) {
    struct us_run_options options;
    struct us_error *error = us_session_options(session, arguments, &options);
    us_error_free(error);
    return !error && us_standing_name(&us_nodes, arguments->words[0], arguments->settings,
                                      arguments->setting_count, &options, name);
}

static void remember(struct us_session *session, const struct us_arguments *arguments,
                     struct us_run *run, const struct us_summary *summary,
                     const struct us_str *written) {
    struct us_digest name;
    struct us_str note = {0};
    const size_t tasks = summary->ran + summary->cached;
    us_str_append_bytes(&note, &tasks, sizeof tasks);
    us_str_append_bytes(&note, us_str_text(written), written->length);
    if (summary->status == 0 && name_of(session, arguments, &name)) {
        us_standing_remember(run, &name, note.data, note.length);
    }
    us_str_finish(&note);
}

static struct us_error *execute(struct us_session *session, const struct us_arguments *arguments,
                                struct us_progress *progress, struct us_summary *summary) {
    struct us_run_options options;
    struct us_devices devices;
    US_TRY(us_session_options(session, arguments, &options));
    US_TRY(us_devices_choose(arguments->devices, session->graph, arguments->json, &devices));
    options.devices = devices.ordinals;
    options.device_count = devices.count;
    options.device_memory = devices.memory;
    options.event = on_event;
    options.context = progress;
    struct us_run *run;
    US_TRY(us_run_create(session->graph, session->store, &options, &run));
    us_progress_plan(progress, run);
    if (us_run_takes_memory(run)) {
        us_devices_measure(&devices);
    }
    struct us_error *error = us_memory_show(run, US_MEMORY_OF_RANGES, arguments->json);
    if (!error) {
        atomic_store(&current, run);
        error = us_run_execute(run, summary);
        atomic_store(&current, NULL);
        us_progress_close(progress);
    }
    if (!error) {
        struct us_str written = {0};
        us_written_list(session->graph, run, &written);
        us_written_show(us_str_text(&written), arguments->json);
        remember(session, arguments, run, summary, &written);
        us_str_finish(&written);
    }
    us_run_destroy(run);
    return error;
}

/* The same run as one that found everything in place, and nothing changed since: true, and it is
 * told as if all had been looked at. */
static bool stands(struct us_session *session, const struct us_arguments *arguments) {
    struct us_digest name;
    struct us_str note = {0};
    size_t tasks;
    bool fine = name_of(session, arguments, &name) &&
                us_standing_recall(session->store, &name, &note) && note.length >= sizeof tasks;
    if (fine) {
        memcpy(&tasks, note.data, sizeof tasks);
        us_written_show(note.data + sizeof tasks, arguments->json);
        us_progress_nothing(tasks, arguments->json);
    }
    us_str_finish(&note);
    return fine;
}

/* A rank that a launcher started, but not the first: rank 0 runs the graph and says when to end. */
static int serve(const struct us_arguments *arguments) {
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    struct us_error *error = us_team_serve(arguments->threads);
    return error ? us_show_error(error) : 0;
}

int us_command_rank(const struct us_arguments *arguments) {
    bool serves;
    struct us_error *error = us_team_join(&serves);
    if (!error && !serves) {
        error = us_error_hint(us_fail(US_USAGE, "nobody says which rank this is"),
                              "understudy run starts ranks by itself; see docs/ddp.md");
    }
    return error ? us_show_error(error) : serve(arguments);
}

/* OpenMP threads that wait for each other spin, and on a busy host they spin while the one they
 * wait for is not running: a training beside another job takes many times as long. GNU OpenMP reads
 * its spin count when it is loaded, so the program starts itself again with a short one. */
static void calm_openmp(void) {
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) {
        return;
    }
    if (setenv("GOMP_SPINCOUNT", "2000", 1) == 0) {
        execv("/proc/self/exe", us_program_words); /* where this fails, all is well but slower */
    }
}

/* True: nothing was to do, and that was said. Ranks that a launcher started go the long way: the
 * others wait to hear from the first one. */
static bool nothing_to_do(const struct us_arguments *arguments) {
    struct us_ranks ranks;
    struct us_session session = {0};
    struct us_error *error = us_ranks_find(&ranks);
    bool done = false;
    if (!error && ranks.world < 2) {
        error = us_session_begin(arguments, &session);
        done = !error && stands(&session, arguments);
        us_session_finish(&session);
    }
    us_error_free(error); /* told again on the long way */
    return done;
}

int us_command_run(const struct us_arguments *arguments) {
    if (nothing_to_do(arguments)) {
        return 0;
    }
    calm_openmp();
    bool serves;
    struct us_error *error = us_team_join(&serves);
    if (!error && serves) {
        return serve(arguments);
    }
    catch_signals();
    struct us_session session = {0};
    struct us_summary summary = {0};
    error = error ? error : us_session_open(arguments, &session);
    struct us_progress *progress = NULL;
    if (!error) {
        progress = us_progress_create(session.graph, arguments->json);
        error = execute(&session, arguments, progress, &summary);
    }
    int status = error ? us_show_error(error) : summary.status;
    if (!error) {
        us_progress_summary(progress, &summary);
    }
    us_progress_destroy(progress);
    us_session_finish(&session);
    us_team_leave();
    return caught && (status == 130 || status == 0) ? 128 + caught : status;
}
