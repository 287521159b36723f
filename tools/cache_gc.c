#include <stdio.h>
#include <string.h>

#include "runtime/base/str.h"
#include "tools/cache_verbs.h"
#include "tools/json_line.h"
#include "tools/show_error.h"

static void print_types(const struct us_gc_report *report) {
    for (size_t i = 0; i < report->type_count; i++) {
        const struct us_gc_type *type = &report->types[i];
        struct us_str name = {0}, size = {0}, work = {0};
        const char *text = type->type[0] ? type->type : US_CACHE_UNNAMED;
        us_plain_text(text, strlen(text), &name);
        if (type->show[0]) {
            us_str_append(&name, " of ");
            us_plain_text(type->show, strlen(type->show), &name);
        }
        us_str_size(&size, type->freed.bytes);
        us_cache_time_text(&work, type->seconds);
        printf("  %-30s %9llu  %14s  %s to make again\n", us_str_text(&name),
               (unsigned long long)type->freed.files, us_str_text(&size), us_str_text(&work));
        us_str_finish(&name);
        us_str_finish(&size);
        us_str_finish(&work);
    }
}

static void print_report(const struct us_gc_report *report, const struct us_arguments *arguments) {
    struct us_str text = {0};
    us_str_append(&text, arguments->dry_run ? "would remove " : "removed ");
    us_cache_count_text(&text, report->objects, "object");
    us_str_append(&text, ", ");
    us_cache_count_text(&text, report->records, "record");
    if (report->attempts.files) {
        us_str_append(&text, ", ");
        us_cache_count_text(&text, report->attempts, "attempt");
    }
    if (report->leftovers.files) {
        us_str_append(&text, ", ");
        us_cache_count_text(&text, report->leftovers, "leftover");
    }
    printf("%s\n", us_str_text(&text));
    us_str_clear(&text);
    print_types(report);
    us_str_append(&text, arguments->dry_run ? "the cache would take " : "the cache takes ");
    us_str_size(&text, report->after);
    us_str_append(&text, ", before ");
    us_str_size(&text, report->before);
    printf("%s\n", us_str_text(&text));
    us_str_clear(&text);
    const struct {
        const struct us_cache_count *count;
        const char *why;
    } spared[] = {{&report->pinned, "pinned"},
                  {&report->in_use, "used by runs that live"},
                  {&report->young, "used within --keep"}};
    for (size_t i = 0; i < sizeof spared / sizeof *spared; i++) {
        if (spared[i].count->files) {
            us_cache_count_text(&text, *spared[i].count, "object");
            printf("spared: %s %s\n", us_str_text(&text), spared[i].why);
            us_str_clear(&text);
        }
    }
    us_str_finish(&text);
}

static void print_json(const struct us_gc_report *report, const struct us_arguments *arguments) {
    json_t *line = us_json_begin("summary");
    json_object_set_new(line, "dry_run", json_boolean(arguments->dry_run));
    us_json_int(line, "before", (int64_t)report->before);
    us_json_int(line, "after", (int64_t)report->after);
    us_json_int(line, "max_size", (int64_t)arguments->max_size);
    json_object_set_new(line, "met", json_boolean(report->met));
    us_cache_count_json(line, "objects", report->objects);
    us_cache_count_json(line, "records", report->records);
    us_cache_count_json(line, "attempts", report->attempts);
    us_cache_count_json(line, "leftovers", report->leftovers);
    us_cache_count_json(line, "pinned", report->pinned);
    us_cache_count_json(line, "in_use", report->in_use);
    us_cache_count_json(line, "young", report->young);
    us_json_int(line, "rescued", (int64_t)report->rescued);
    us_json_int(line, "runs", (int64_t)report->runs);
    json_t *types = json_array();
    for (size_t i = 0; i < report->type_count; i++) {
        const struct us_gc_type *type = &report->types[i];
        json_t *member = json_object();
        us_json_text(member, "type", type->type);
        us_json_text(member, "show", type->show);
        us_json_int(member, "files", (int64_t)type->freed.files);
        us_json_int(member, "bytes", (int64_t)type->freed.bytes);
        us_json_real(member, "seconds", type->seconds);
        json_array_append_new(types, member);
    }
    json_object_set_new(line, "types", types);
    us_json_end(line);
}

/* Not an error: what is spared is spared for a reason, and the next gc may find it free. */
static void say_too_much(const struct us_gc_report *report, const struct us_arguments *arguments) {
    struct us_str text = {0};
    us_str_size(&text, report->after);
    us_str_append(&text, " stay, more than --max-size ");
    us_str_size(&text, arguments->max_size);
    fprintf(stderr, "warning: %s: the rest is pinned, in use, younger than --keep, or records\n",
            us_str_text(&text));
    us_str_finish(&text);
}

struct us_error *us_cache_collect(struct us_store *store, const char *folder,
                                  const struct us_arguments *arguments, int *status) {
    const struct us_gc_options options = {
        .max_bytes = arguments->max_size,
        .keep_seconds = arguments->keep,
        .records_seconds = arguments->records_keep,
        .dry_run = arguments->dry_run,
        .progress = us_cache_show_progress,
    };
    struct us_gc_report report;
    struct us_error *error = us_cache_gc(store, &options, &report);
    us_cache_end_progress();
    if (error) {
        us_gc_report_finish(&report);
        return error;
    }
    if (report.busy) {
        *status = us_code_status(US_RETRY);
        return us_error_hint(us_fail(US_RETRY, "another gc works on '%s'", folder),
                             "wait for it to end");
    }
    if (arguments->json) {
        print_json(&report, arguments);
    } else {
        print_report(&report, arguments);
    }
    if (!report.met) {
        say_too_much(&report, arguments);
    }
    us_gc_report_finish(&report);
    return NULL;
}
