#include "tools/explain_group.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tools/show_error.h"

const char *us_explain_state(const struct us_plan_entry *entry) {
    return !entry->run ? "cached" : entry->maybe ? "may_run" : "run";
}

void us_explain_verdict(const struct us_plan_entry *entry, const char *why, struct us_str *out) {
    us_str_append(out, !entry->run    ? " is cached"
                       : entry->maybe ? " runs if what is above it really changes"
                                      : " would run");
    if (entry->run && why[0]) {
        us_str_printf(out, ": %s", why);
    }
}

/* The reason without what differs from frame to frame. */
static char *general_why(const struct us_plan_entry *entry) {
    struct us_str out = {0};
    for (const char *at = entry->why; *at;) {
        if (us_str_starts(at, " (digest ") && strchr(at, ')')) {
            at = strchr(at, ')') + 1;
            continue;
        }
        size_t digits = 0;
        while (isdigit((unsigned char)at[digits])) {
            digits++;
        }
        const bool in_name = at > entry->why && strchr("@:./_-", at[-1]);
        if (digits && digits < 10 && in_name && strtol(at, NULL, 10) == labs(entry->frame.number)) {
            us_str_append(&out, "####");
        } else {
            us_str_append_bytes(&out, at, digits ? digits : 1);
        }
        at += digits ? digits : 1;
    }
    return us_str_take(&out);
}

struct group {
    struct us_plan_entry first;
    size_t prefix; /* bytes of the first label before the frame */
    char *why;
    struct us_frames frames;
};

static size_t prefix_of(const char *label) {
    const char *at = strrchr(label, '@'), *colon = at ? strrchr(at, ':') : NULL;
    return colon ? (size_t)(colon - label) + 1 : at ? (size_t)(at - label) + 1 : strlen(label);
}

static bool belongs(const struct group *group, const struct us_plan_entry *entry, size_t prefix,
                    const char *why) {
    return strcmp(us_explain_state(&group->first), us_explain_state(entry)) == 0 &&
           group->prefix == prefix && strncmp(group->first.label, entry->label, prefix) == 0 &&
           strcmp(group->why, why) == 0;
}

static void print_group(const struct group *group) {
    struct us_str line = {0}, plain = {0};
    us_str_append_bytes(&line, group->first.label, group->prefix);
    us_frames_print(&group->frames, &line);
    us_explain_verdict(&group->first, group->frames.count > 1 ? group->why : group->first.why,
                       &line);
    us_plain_text(us_str_text(&line), line.length, &plain);
    puts(us_str_text(&plain));
    us_str_finish(&line);
    us_str_finish(&plain);
}

void us_explain_groups(const struct us_plan_entry *entries, size_t count) {
    struct group *groups = NULL;
    size_t group_count = 0, capacity = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t prefix = prefix_of(entries[i].label);
        char *why = general_why(&entries[i]);
        size_t at = 0;
        while (at < group_count && !belongs(&groups[at], &entries[i], prefix, why)) {
            at++;
        }
        if (at == group_count) {
            us_grow(&groups, &capacity, group_count, sizeof *groups);
            groups[group_count++] =
                (struct group){.first = entries[i], .prefix = prefix, .why = why};
        } else {
            us_free(why);
        }
        us_frames_add(&groups[at].frames, (struct us_frame){0, entries[i].frame.number});
    }
    for (size_t i = 0; i < group_count; i++) {
        print_group(&groups[i]);
        us_free(groups[i].why);
        us_frames_finish(&groups[i].frames);
    }
    us_free(groups);
}
