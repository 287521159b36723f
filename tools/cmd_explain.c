#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tools/session.h"
#include "tools/show_error.h"

/* "comp@1012", "crop@take2:1001", "model": the name is us_malloc'ed. */
static struct us_error *parse_task(const char *text, char **name, struct us_frame *frame,
                                   bool *has_frame) {
    const char *at = strrchr(text, '@');
    *frame = (struct us_frame){0, 0};
    *has_frame = at != NULL;
    *name = us_strndup(text, at ? (size_t)(at - text) : strlen(text));
    if (!at) {
        return NULL;
    }
    char *end;
    const char *number = at + 1;
    if (us_str_starts(number, "take")) {
        frame->take = (int32_t)strtol(number + 4, &end, 10);
        number = *end == ':' ? end + 1 : "";
    }
    long value = strtol(number, &end, 10);
    if (end == number || *end || value > INT32_MAX || value < INT32_MIN) {
        return us_fail(US_USAGE, "'%s' is not NODE@FRAME, such as comp@1012", text);
    }
    frame->number = (int32_t)value;
    return NULL;
}

/* Without a frame: the first that runs, else the first. */
static struct us_frame pick_frame(struct us_run *run, const char *name) {
    struct us_frame frame = {0, 0};
    bool found = false;
    for (size_t i = 0; i < us_run_plan_count(run); i++) {
        struct us_plan_entry entry = us_run_plan_entry(run, i);
        if (strcmp(entry.node->name, name) != 0) {
            continue;
        }
        if (entry.run) {
            return entry.frame;
        }
        frame = found ? frame : entry.frame;
        found = true;
    }
    return frame;
}

static struct us_error *explain_name(struct us_session *session,
                                     const struct us_arguments *arguments, const char *name,
                                     struct us_frame frame, bool has_frame) {
    struct us_run_options options;
    US_TRY(us_session_options(session, arguments, &options));
    options.targets = &name;
    options.target_count = 1;
    struct us_run *run;
    US_TRY(us_run_create(session->graph, session->store, &options, &run));
    char *text;
    frame = has_frame ? frame : pick_frame(run, name);
    struct us_error *error = us_run_explain(run, name, frame, &text);
    if (!error) {
        for (const char *line = text; *line;) {
            size_t length = strcspn(line, "\n");
            struct us_str plain = {0};
            us_plain_text(line, length, &plain);
            puts(us_str_text(&plain));
            us_str_finish(&plain);
            line += length + (line[length] == '\n');
        }
        us_free(text);
    }
    us_run_destroy(run);
    return error;
}

static struct us_error *explain(struct us_session *session, const struct us_arguments *arguments) {
    char *name;
    struct us_frame frame;
    bool has_frame;
    struct us_error *error = parse_task(arguments->words[1], &name, &frame, &has_frame);
    if (!error) {
        error = explain_name(session, arguments, name, frame, has_frame);
    }
    us_free(name);
    return error;
}

int us_command_explain(const struct us_arguments *arguments) {
    struct us_session session;
    struct us_error *error = us_session_open(arguments, &session);
    if (!error) {
        error = explain(&session, arguments);
    }
    us_session_finish(&session);
    return error ? us_show_error(error) : 0;
}
