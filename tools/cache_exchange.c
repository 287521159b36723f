#include <stdio.h>

#include "cache/cache.h"
#include "cache/remote.h"
#include "runtime/base/mem.h"
#include "tools/cache_verbs.h"
#include "tools/session.h"
#include "tools/show_error.h"

static struct us_error *need_remote(bool remote) {
    return remote ? NULL
                  : us_error_hint(us_fail(US_USAGE, "no remote cache is named"),
                                  "--remote URL or $UNDERSTUDY_REMOTE");
}

struct us_error *us_cache_push(const struct us_arguments *arguments) {
    char *folder;
    struct us_store *store;
    bool remote;
    US_TRY(us_cache_folder(arguments, &folder));
    struct us_error *error = us_cache_open(folder, &store);
    us_free(folder);
    US_TRY(error);
    error = us_remote_wrap(arguments, US_REMOTE_PUSH, &store, &remote);
    error = error ? error : need_remote(remote);
    if (!error) {
        error = us_remote_push(store);
        us_remote_show(store, arguments->json);
    }
    if (remote) {
        us_remote_close(store);
    } else {
        us_cache_close(store);
    }
    return error;
}

static void on_event(void *context, const struct us_event *event) {
    if (event->kind == US_EVENT_WARNING && event->status) {
        us_remote_warning(context, event->status);
    }
}

static void say_nothing(struct us_store *store, bool json) {
    struct us_remote_counts counts;
    us_remote_counts(store, &counts);
    if (!json && !counts.records_fetched && !counts.objects_fetched) {
        printf("nothing fetched: what a run would use is here, or the remote cache lacks it\n");
    }
}

/* Planning a graph looks at all that a run of it would use. */
struct us_error *us_cache_pull(const struct us_arguments *arguments) {
    struct us_session session;
    struct us_arguments of_graph = *arguments;
    of_graph.words[0] = arguments->words[1];
    struct us_run_options options;
    struct us_error *error = us_session_open(&of_graph, &session);
    error = error ? error : us_session_use_remote(&session, arguments, US_REMOTE_PULL);
    error = error ? error : need_remote(session.remote);
    error = error ? error : us_session_options(&session, arguments, &options);
    struct us_run *run = NULL;
    if (!error) {
        options.event = on_event;
        options.devices_later = true;
        error = us_run_create(session.graph, session.store, &options, &run);
    }
    if (!error) {
        us_warn(us_run_left_out(run), arguments->json);
    }
    us_run_destroy(run);
    if (!error) {
        us_remote_show(session.store, arguments->json);
        say_nothing(session.store, arguments->json);
    }
    us_session_finish(&session);
    return error;
}
