#include "tools/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/remote.h"
#include "nodes/registry.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/graph/compiled.h"

struct us_error *us_cache_folder(const struct us_arguments *arguments, char **folder) {
    const char *named = arguments->cache ? arguments->cache : getenv("UNDERSTUDY_CACHE");
    if (named && named[0]) {
        *folder = us_strdup(named);
        return NULL;
    }
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg && xdg[0] == '/') {
        *folder = us_path_join(xdg, "understudy");
        return NULL;
    }
    if (!home || home[0] != '/') {
        return us_error_hint(us_fail(US_USAGE, "no cache folder: $HOME is not set"),
                             "name one with --cache or $UNDERSTUDY_CACHE");
    }
    *folder = us_path_join(home, ".cache/understudy");
    return NULL;
}

struct us_error *us_cache_folder_there(const struct us_arguments *arguments, char **folder) {
    struct stat info;
    US_TRY(us_cache_folder(arguments, folder));
    if (stat(*folder, &info) == 0 || errno != ENOENT) {
        return NULL;
    }
    struct us_error *error = us_fail(US_MISSING, "there is no cache '%s'", *folder);
    us_free(*folder);
    *folder = NULL;
    return us_error_hint(error, "the first run makes it; name another with --cache or "
                                "$UNDERSTUDY_CACHE");
}

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

void us_find_models(const struct us_arguments *arguments) {
    static const char models[] = "/models";
    static char path[4096 + sizeof models]; /* the runtime keeps the pointer */
    const char *named = arguments->models ? arguments->models : getenv("UNDERSTUDY_MODELS");
    if (named && named[0]) {
        us_set_models_folder(named);
        return;
    }
    ssize_t length = readlink("/proc/self/exe", path, 4096);
    for (char *slash; length > 0 && (slash = memrchr(path, '/', (size_t)length));) {
        length = slash - path;
        memcpy(slash, models, sizeof models);
        if (is_folder(path)) {
            us_set_models_folder(path);
            return;
        }
    }
}

struct us_error *us_session_begin(const struct us_arguments *arguments,
                                  struct us_session *session) {
    *session = (struct us_session){0};
    us_find_models(arguments);
    char *folder = NULL;
    US_TRY(us_cache_folder(arguments, &folder));
    struct us_error *error = us_cache_open(folder, &session->store);
    us_free(folder);
    return error;
}

struct us_error *us_session_load(const struct us_arguments *arguments, struct us_session *session) {
    return us_graph_load_kept(&us_nodes, arguments->words[0], arguments->settings,
                              arguments->setting_count, session->store, &session->graph);
}

struct us_error *us_session_open(const struct us_arguments *arguments, struct us_session *session) {
    US_TRY(us_session_begin(arguments, session));
    return us_session_load(arguments, session);
}

void us_session_finish(struct us_session *session) {
    if (session->remote) {
        session->store->warn = us_remote_warning;
        us_remote_close(session->store);
    } else {
        us_cache_close(session->store);
    }
    us_graph_destroy(session->graph);
    us_frames_finish(&session->frames);
}

struct us_error *us_session_options(struct us_session *session,
                                    const struct us_arguments *arguments,
                                    struct us_run_options *options) {
    *options = (struct us_run_options){
        .threads = arguments->threads,
        .memory_bytes = arguments->memory,
        .keep_going = arguments->keep_going,
        .targets = arguments->only_count ? arguments->only : NULL,
        .target_count = arguments->only_count,
    };
    if (arguments->frames && !session->frames.count && !session->frames.all) {
        US_TRY(us_error_wrap(us_frames_parse(arguments->frames, &session->frames),
                             "--frames is '%s'", arguments->frames));
    }
    options->frames = arguments->frames ? &session->frames : NULL;
    return NULL;
}
