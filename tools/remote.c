#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/remote.h"
#include "runtime/base/str.h"
#include "tools/json_line.h"
#include "tools/session.h"

static const char *argument(const char *option, const char *variable) {
    const char *value = option ? option : getenv(variable);
    return value && value[0] ? value : NULL;
}

void us_remote_warning(void *context, const char *message) {
    (void)context;
    fprintf(stderr, "warning: %s\n", message);
}

struct us_error *us_remote_wrap(const struct us_arguments *arguments, enum us_remote_use use,
                                struct us_store **store, bool *wrapped) {
    const char *url = argument(arguments->remote, "UNDERSTUDY_REMOTE");
    const char *mode = argument(arguments->remote_mode, "UNDERSTUDY_REMOTE_MODE");
    *wrapped = false;
    mode = mode ? mode : "both";
    bool read = strcmp(mode, "read") == 0, write = strcmp(mode, "write") == 0;
    if (!read && !write && strcmp(mode, "both") != 0) {
        return us_fail(US_USAGE, "the remote cache's mode is '%s', allowed read, write and both",
                       mode);
    }
    if (!url) {
        return NULL;
    }
    const struct us_remote_options options = {
        .url = url,
        .no_reads = use == US_REMOTE_PUSH || (write && use != US_REMOTE_PULL),
        .no_writes =
            use == US_REMOTE_ASK || use == US_REMOTE_PULL || (read && use != US_REMOTE_PUSH),
        .ask_only = use == US_REMOTE_ASK,
    };
    struct us_store *remote;
    US_TRY(us_remote_open(*store, &options, &remote));
    remote->warn = us_remote_warning;
    *store = remote;
    *wrapped = true;
    return NULL;
}

struct us_error *us_session_use_remote(struct us_session *session,
                                       const struct us_arguments *arguments,
                                       enum us_remote_use use) {
    return us_remote_wrap(arguments, use, &session->store, &session->remote);
}

static void print_counts(const struct us_remote_counts *counts) {
    struct us_str text = {0};
    const char *comma = "";
    if (counts->records_fetched || counts->objects_fetched) {
        us_str_printf(&text, "%llu records and %llu objects fetched (",
                      (unsigned long long)counts->records_fetched,
                      (unsigned long long)counts->objects_fetched);
        us_str_size(&text, (size_t)counts->bytes_fetched);
        us_str_append(&text, ")");
        comma = ", ";
    }
    if (counts->records_sent || counts->objects_sent) {
        us_str_printf(&text, "%s%llu records and %llu objects sent (", comma,
                      (unsigned long long)counts->records_sent,
                      (unsigned long long)counts->objects_sent);
        us_str_size(&text, (size_t)counts->bytes_sent);
        us_str_append(&text, ")");
        comma = ", ";
    }
    if (counts->there && !counts->records_fetched && !counts->objects_fetched) {
        us_str_printf(&text, "%s%llu there already", comma, (unsigned long long)counts->there);
        comma = ", ";
    }
    if (counts->given_up) {
        us_str_printf(&text, "%s%llu not sent", comma, (unsigned long long)counts->given_up);
        comma = ", ";
    }
    if (counts->lost >= 0.5) {
        us_str_printf(&text, "%s%.1f s lost", comma, counts->lost);
    }
    if (text.length) {
        printf("remote: %s\n", us_str_text(&text));
    }
    us_str_finish(&text);
}

void us_remote_show(struct us_store *store, bool json) {
    struct us_remote_counts counts;
    us_remote_counts(store, &counts);
    if (!json) {
        print_counts(&counts);
        return;
    }
    json_t *line = us_json_begin("remote");
    us_json_int(line, "records_fetched", (int64_t)counts.records_fetched);
    us_json_int(line, "objects_fetched", (int64_t)counts.objects_fetched);
    us_json_int(line, "bytes_fetched", (int64_t)counts.bytes_fetched);
    us_json_int(line, "records_sent", (int64_t)counts.records_sent);
    us_json_int(line, "objects_sent", (int64_t)counts.objects_sent);
    us_json_int(line, "bytes_sent", (int64_t)counts.bytes_sent);
    us_json_int(line, "there", (int64_t)counts.there);
    us_json_int(line, "not_sent", (int64_t)counts.given_up);
    us_json_real(line, "seconds_lost", counts.lost);
    json_object_set_new(line, "off", json_boolean(counts.off));
    us_json_end(line);
}

void us_session_flush(struct us_session *session, bool hurry, bool json) {
    if (session->remote) {
        struct us_remote_counts counts;
        us_remote_counts(session->store, &counts);
        if (counts.waiting && !json) {
            printf("remote: sending the last %llu results\n", (unsigned long long)counts.waiting);
            fflush(stdout);
        }
        us_remote_flush(session->store, hurry ? 2.0 : -1.0);
        us_remote_show(session->store, json);
    }
}
