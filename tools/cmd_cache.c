#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "runtime/base/mem.h"
#include "tools/json_line.h"
#include "tools/session.h"
#include "tools/show_error.h"

static void print_bytes(const char *name, struct us_cache_count count) {
    double mib = (double)count.bytes / 0x1p20;
    printf("%-13s %9llu  %12.1f MiB\n", name, (unsigned long long)count.files, mib);
}

static void set_count(json_t *line, const char *name, struct us_cache_count count) {
    json_t *member = json_object();
    us_json_int(member, "files", (int64_t)count.files);
    us_json_int(member, "bytes", (int64_t)count.bytes);
    json_object_set_new(line, name, member);
}

static struct us_cache_count all_objects(const struct us_cache_stats *stats) {
    struct us_cache_count all = {0};
    for (int i = 0; i < US_CACHE_KINDS; i++) {
        all.files += stats->objects[i].files;
        all.bytes += stats->objects[i].bytes;
    }
    return all;
}

static struct us_error *show_stats(struct us_store *store, const char *folder, bool json) {
    struct us_cache_stats stats;
    US_TRY(us_cache_stats(store, &stats));
    if (json) {
        json_t *line = us_json_begin("stats");
        us_json_text(line, "folder", folder);
        set_count(line, "objects", all_objects(&stats));
        for (int i = 0; i < US_CACHE_KINDS; i++) {
            set_count(line, us_cache_kind_name((enum us_cache_kind)i), stats.objects[i]);
        }
        set_count(line, "records", stats.records);
        set_count(line, "attempts", stats.attempts);
        set_count(line, "quarantined", stats.quarantined);
        us_json_end(line);
        return NULL;
    }
    printf("cache %s\n", folder);
    print_bytes("objects", all_objects(&stats));
    for (int i = 0; i < US_CACHE_KINDS; i++) {
        char name[32];
        snprintf(name, sizeof name, "  %s", us_cache_kind_name((enum us_cache_kind)i));
        if (stats.objects[i].files) {
            print_bytes(name, stats.objects[i]);
        }
    }
    print_bytes("records", stats.records);
    print_bytes("attempts", stats.attempts);
    print_bytes("quarantined", stats.quarantined);
    return NULL;
}

static void print_warning(void *context, const char *message) {
    (void)context;
    fprintf(stderr, "warning: %s\n", message);
}

static void json_warning(void *context, const char *message) {
    (void)context;
    json_t *line = us_json_begin("warning");
    us_json_text(line, "text", message);
    us_json_end(line);
}

static struct us_error *verify(struct us_store *store, bool json, bool *damaged) {
    struct us_cache_check check;
    store->warn = json ? json_warning : print_warning;
    US_TRY(us_cache_verify(store, &check));
    *damaged = check.damaged > 0;
    if (json) {
        json_t *line = us_json_begin("summary");
        us_json_int(line, "objects", (int64_t)check.objects);
        us_json_int(line, "records", (int64_t)check.records);
        us_json_int(line, "bytes", (int64_t)check.bytes);
        us_json_int(line, "damaged", (int64_t)check.damaged);
        us_json_end(line);
    } else {
        printf("%llu objects and %llu records read (%.1f MiB), %llu damaged\n",
               (unsigned long long)check.objects, (unsigned long long)check.records,
               (double)check.bytes / 0x1p20, (unsigned long long)check.damaged);
    }
    return NULL;
}

int us_command_cache(const struct us_arguments *arguments) {
    const char *verb = arguments->words[0];
    bool stats = strcmp(verb, "stats") == 0, damaged = false;
    if (!stats && strcmp(verb, "verify") != 0) {
        struct us_error *error = us_fail(US_USAGE, "cache: '%s' is not stats or verify", verb);
        return us_show_error(us_error_hint(error, "understudy cache --help"));
    }
    char *folder;
    struct us_store *store = NULL;
    struct us_error *error = us_cache_folder(arguments, &folder);
    if (error) {
        return us_show_error(error);
    }
    error = us_cache_open(folder, &store);
    if (!error) {
        error = stats ? show_stats(store, folder, arguments->json)
                      : verify(store, arguments->json, &damaged);
    }
    us_cache_close(store);
    us_free(folder);
    return error ? us_show_error(error) : damaged;
}
