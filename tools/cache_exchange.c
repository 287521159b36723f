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
    US_TRY(us_cache_folder_there(arguments, &folder));
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

/* A run goes on without a server; who pulls has come for what is there. */
static struct us_error *say_fetched(struct us_store *store, bool json) {
    struct us_remote_counts counts;
    us_remote_counts(store, &counts);
    const bool nothing = !counts.records_fetched && !counts.objects_fetched;
    if (counts.off || (nothing && counts.lost > 0)) {
        return us_error_hint(
            us_fail(US_RETRY, "the remote cache did not give all it was asked for"),
            "pull again when it answers: what was fetched is kept");
    }
    if (!json && nothing) {
        printf("nothing fetched: what a run would use is here, or the remote cache lacks it\n");
    }
    return NULL;
}

static void mark_above(const struct us_node *node, bool *wanted) {
    for (int p = 0; p < us_port_count(node->type->inputs); p++) {
        for (size_t k = 0; k < node->inputs[p].count; k++) {
            wanted[node->inputs[p].links[k].node] = true;
        }
    }
}

/* Planning has fetched what tasks read that run for certain. What is left are results that are
 * asked for themselves, and what tasks may read that run only if something above them changes. */
static void fetch_rest(const struct us_session *session, struct us_run *run) {
    const struct us_graph *graph = session->graph;
    bool *wanted = us_calloc(graph->node_count + 1, sizeof *wanted);
    const size_t count = us_run_plan_count(run);
    for (size_t i = 0; i < graph->output_count; i++) {
        wanted[graph->outputs[i].node] = true;
    }
    for (size_t i = 0; i < count; i++) {
        const struct us_plan_entry entry = us_run_plan_brief(run, i);
        if (entry.maybe) {
            mark_above(entry.node, wanted);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct us_plan_entry entry = us_run_plan_brief(run, i);
        const struct us_plan_result result = us_run_plan_result(run, i);
        const bool here = wanted[entry.node - graph->nodes] && !entry.run && result.stored;
        for (size_t k = 0; here && result.objects && k < result.count; k++) {
            session->store->ops->has_object(session->store, &result.objects[k]);
        }
    }
    us_free(wanted);
}

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
        fetch_rest(&session, run);
    }
    us_run_destroy(run);
    if (!error) {
        us_remote_show(session.store, arguments->json);
        error = say_fetched(session.store, arguments->json);
    }
    us_session_finish(&session);
    return error;
}
