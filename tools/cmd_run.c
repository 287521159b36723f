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
#include "runtime/api/trace.h"
#include "runtime/base/mem.h"
#include "tools/devices.h"
#include "tools/eta.h"
#include "tools/output.h"
#include "tools/session.h"
#include "tools/show_error.h"
#include "tools/show_memory.h"
#include "tools/show_progress.h"
#include "tools/story.h"
#include "tools/written.h"

static _Atomic int caught;       /* lock-free, so that a handler may set it */
static _Atomic double caught_at; /* set before it */
static struct us_run *_Atomic current;
static double begun; /* when the command did */

static double seconds_so_far(void) {
    return us_progress_now() - begun;
}

/* timeout(1) and schedulers send one signal to the process and the same to its group. */
static bool is_echo(double now) {
    static const double apart = 0.3;
    return now - caught_at < apart;
}

/* The first signal asks; a second one, or one before anything runs, ends at once. */
static void on_signal(int number) {
    struct us_run *run = atomic_load(&current);
    const double now = us_progress_now();
    if ((caught && !is_echo(now)) || !run) {
        _exit(128 + number);
    }
    if (!caught) {
        caught_at = now;
        caught = number;
        us_run_cancel(run);
    }
}

/* Who is told of what happens. */
struct watch {
    struct us_progress *progress;
    struct us_trace *trace; /* NULL: not asked for */
    struct us_eta *eta;     /* NULL until there is a plan */
    struct us_story *story;
};

/* Nobody reads any more: as after a signal. */
static void on_event(void *context, const struct us_event *event) {
    struct watch *watch = context;
    const double now = us_progress_now();
    if (watch->eta) {
        us_eta_event(watch->eta, event, now);
    }
    us_story_event(watch->story, event);
    struct us_error *error = watch->trace ? us_trace_event(watch->trace, event, now) : NULL;
    if (error) {
        us_progress_error(watch->progress, error);
    }
    us_progress_event(watch->progress, event);
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

/* What `stands` tells again: the number of tasks, the warning of frames left out, what was written.
 */
static void remember(struct us_session *session, const struct us_arguments *arguments,
                     struct us_run *run, const struct us_summary *summary,
                     const struct us_str *written) {
    struct us_digest name;
    struct us_str note = {0};
    const size_t tasks = summary->ran + summary->cached;
    const char *left_out = us_run_left_out(run);
    us_str_append_bytes(&note, &tasks, sizeof tasks);
    us_str_append_bytes(&note, left_out ? left_out : "", left_out ? strlen(left_out) + 1 : 1);
    us_str_append_bytes(&note, us_str_text(written), written->length);
    if (summary->status == 0 && name_of(session, arguments, &name)) {
        us_standing_remember(run, &name, note.data, note.length);
    }
    us_str_finish(&note);
}

static struct us_error *tell_plan(struct us_session *session, const struct us_arguments *arguments,
                                  const struct us_run_options *options, struct us_run *run,
                                  struct us_devices *devices, struct watch *watch) {
    watch->eta = us_eta_create(session->graph, session->store, run, options);
    us_story_plan(watch->story, us_eta_plan(watch->eta), seconds_so_far());
    us_progress_plan(watch->progress, watch->eta);
    if (us_run_takes_memory(run)) {
        us_devices_measure(devices);
    }
    return us_memory_show(run, US_MEMORY_OF_RANGES, arguments->json);
}

static void warn_of_frames(const struct us_run *run, struct watch *watch) {
    const struct us_event event = {
        .kind = US_EVENT_WARNING, .worker = -1, .status = us_run_left_out(run)};
    if (event.status) {
        on_event(watch, &event);
    }
}

static struct us_error *execute(struct us_session *session, const struct us_arguments *arguments,
                                struct watch *watch, struct us_summary *summary) {
    struct us_run_options options;
    struct us_devices devices;
    US_TRY(us_session_options(session, arguments, &options));
    US_TRY(us_devices_choose(arguments->devices, session->graph, arguments->json, &devices));
    options.devices = devices.list;
    options.device_count = devices.count;
    options.event = on_event;
    options.context = watch;
    options.cached_in_sum = !arguments->json && !arguments->trace;
    struct us_run *run;
    struct us_digest name;
    options.standing = name_of(session, arguments, &name) ? &name : NULL;
    US_TRY(us_run_create(session->graph, session->store, &options, &run));
    atomic_store(&current, run); /* whoever reads the plan may ask it to stop */
    warn_of_frames(run, watch);
    struct us_error *error = tell_plan(session, arguments, &options, run, &devices, watch);
    if (!error) {
        error = us_run_execute(run, summary);
        us_progress_close(watch->progress);
        us_eta_learn(watch->eta, summary);
        us_session_flush(session, caught != 0, arguments->json);
    }
    atomic_store(&current, NULL);
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

/* The run with its trace and its place in the history; the exit status. */
static int run_graph(struct us_session *session, const struct us_arguments *arguments) {
    struct watch watch = {.progress = us_progress_create(session->graph, arguments->json),
                          .story = us_story_create(session->graph, arguments)};
    struct us_summary summary = {0};
    struct us_error *error = NULL;
    if (arguments->trace) {
        error = us_trace_open(arguments->trace, session->graph, us_progress_now(), &watch.trace);
    }
    error = error ? error : execute(session, arguments, &watch, &summary);
    struct us_error *trace_error = us_trace_close(watch.trace, us_progress_now());
    if (trace_error) {
        us_progress_error(watch.progress, trace_error);
    }
    const int status = error ? us_code_status(error->code) : summary.status;
    summary.seconds = seconds_so_far();
    us_story_keep(watch.story, session->store, &summary, caught ? 128 + caught : status, error);
    if (error) {
        us_show_error(error);
    } else {
        us_progress_summary(watch.progress, &summary);
    }
    us_story_destroy(watch.story);
    us_eta_destroy(watch.eta);
    us_progress_destroy(watch.progress);
    return status;
}

/* The same run as one that found everything in place, and nothing changed since: true, and it is
 * told as if all had been looked at. */
static bool stands(struct us_session *session, const struct us_arguments *arguments) {
    struct us_digest name;
    struct us_str note = {0};
    size_t tasks;
    bool fine = name_of(session, arguments, &name) &&
                us_standing_recall(session->store, &name, &note) && note.length > sizeof tasks &&
                memchr(note.data + sizeof tasks, '\0', note.length - sizeof tasks);
    if (fine) {
        const char *left_out = note.data + sizeof tasks;
        memcpy(&tasks, note.data, sizeof tasks);
        us_warn(left_out, arguments->json);
        us_progress_plan_nothing(tasks, arguments->json);
        us_written_show(left_out + strlen(left_out) + 1, arguments->json);
        const struct us_summary summary = {.cached = tasks, .seconds = seconds_so_far()};
        us_progress_nothing(&summary, arguments->json);
        us_story_keep_nothing(session->store, arguments, &summary);
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
static bool is_calm(void) {
    return getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY");
}

static void calm_openmp(void) {
    if (!is_calm() && setenv("GOMP_SPINCOUNT", "2000", 1) == 0) {
        execv("/proc/self/exe", us_program_words); /* where this fails, all is well but slower */
    }
}

static bool has_several_ranks(void) {
    struct us_ranks ranks;
    struct us_error *error = us_ranks_find(&ranks);
    const bool several = !error && ranks.world > 1;
    us_error_free(error); /* told when they are to meet */
    return several;
}

/* A node of the graph computes on several threads. */
static bool uses_threads(const struct us_graph *graph) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct us_node *node = &graph->nodes[i];
        struct us_needs needs = {0};
        if (node->type->needs) {
            node->type->needs(node->params, &needs);
        }
        if (needs.threads < 0 || needs.threads > 1) {
            return true;
        }
    }
    return false;
}

/* True: nothing was to do, and that was said. Ranks that a launcher started go the long way: the
 * others wait to hear from the first one. Begins the session, unless that fails. */
static bool nothing_to_do(const struct us_arguments *arguments, struct us_session *session) {
    const char *devices = arguments->devices; /* named ones must be there, whether needed or not */
    const bool any = !devices || strcmp(devices, "auto") == 0 || strcmp(devices, "cpu") == 0;
    bool done = false;
    if (any && !arguments->trace) {
        struct us_error *error = us_session_begin(arguments, session);
        done = !error && stands(session, arguments);
        us_error_free(error); /* told again on the long way */
    }
    return done;
}

static struct us_error *open_or_load(const struct us_arguments *arguments,
                                     struct us_session *session) {
    return session->store ? us_session_load(arguments, session)
                          : us_session_open(arguments, session);
}

int us_command_run(const struct us_arguments *arguments) {
    struct us_session session = {0};
    begun = us_progress_now();
    if (has_several_ranks()) {
        calm_openmp();
    } else if (nothing_to_do(arguments, &session)) {
        us_session_finish(&session);
        return 0;
    }
    bool serves;
    struct us_error *error = us_team_join(&serves);
    if (!error && serves) {
        us_session_finish(&session);
        return serve(arguments);
    }
    catch_signals();
    error = error ? error : open_or_load(arguments, &session);
    if (!error && !is_calm() && uses_threads(session.graph)) {
        us_session_finish(&session);
        calm_openmp();
        error = us_session_open(arguments, &session);
    }
    error = error ? error : us_session_use_remote(&session, arguments, US_REMOTE_USE);
    const int status = error ? us_show_error(error) : run_graph(&session, arguments);
    us_session_finish(&session);
    us_team_leave();
    return caught && (status == 130 || status == 0) ? 128 + caught : status;
}
