#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/base/str.h"
#include "tools/cache_verbs.h"
#include "tools/json_line.h"
#include "tools/show_error.h"

struct all {
    struct us_cache_stats stats;
    struct us_cache_type *types;
    size_t type_count, runs, pins;
};

static struct us_cache_count all_objects(const struct us_cache_stats *stats) {
    struct us_cache_count all = stats->inlined;
    for (int i = 0; i < US_CACHE_KINDS; i++) {
        all.files += stats->objects[i].files;
        all.bytes += stats->objects[i].bytes;
    }
    return all;
}

static void print_row(const char *name, struct us_cache_count count) {
    struct us_str size = {0};
    us_str_size(&size, count.bytes);
    printf("%-13s %9llu  %14s\n", name, (unsigned long long)count.files, us_str_text(&size));
    us_str_finish(&size);
}

static void print_type(const struct us_cache_type *type, const char **show) {
    struct us_str name = {0}, size = {0}, work = {0}, used = {0};
    if (!*show || strcmp(*show, type->show) != 0) {
        *show = type->show;
        us_plain_text(type->show, strlen(type->show), &name);
        printf("%s%s\n", type->show[0] ? "show " : "no show", us_str_text(&name));
        us_str_clear(&name);
    }
    const char *text = type->type[0] ? type->type : US_CACHE_UNNAMED;
    us_plain_text(text, strlen(text), &name);
    us_str_size(&size, type->objects.bytes);
    us_cache_time_text(&work, type->seconds);
    if (type->used) {
        us_str_append(&used, "  ");
        us_cache_time_text(&used, difftime(time(NULL), type->used));
        us_str_append(&used, " ago");
    }
    printf("  %-20s %9llu  %14s  %9s of work%s\n", us_str_text(&name),
           (unsigned long long)type->objects.files, us_str_text(&size), us_str_text(&work),
           us_str_text(&used));
    us_str_finish(&name);
    us_str_finish(&size);
    us_str_finish(&work);
    us_str_finish(&used);
}

static void print_all(const struct all *all, const char *folder) {
    const struct us_cache_stats *stats = &all->stats;
    printf("cache %s\n", folder);
    print_row("objects", all_objects(stats));
    for (int i = 0; i < US_CACHE_KINDS; i++) {
        char name[32];
        snprintf(name, sizeof name, "  %s", us_cache_kind_name((enum us_cache_kind)i));
        if (stats->objects[i].files) {
            print_row(name, stats->objects[i]);
        }
    }
    if (stats->inlined.files) {
        print_row("  small", stats->inlined);
    }
    print_row("records", stats->records);
    print_row("attempts", stats->attempts);
    print_row("quarantined", stats->quarantined);
    if (stats->trash.files) {
        print_row("in the trash", stats->trash);
    }
    printf("%zu pin%s, used by %zu run%s now\n", all->pins, all->pins == 1 ? "" : "s", all->runs,
           all->runs == 1 ? "" : "s");
    const char *show = NULL;
    for (size_t i = 0; i < all->type_count; i++) {
        print_type(&all->types[i], &show);
    }
}

static void print_json(const struct all *all, const char *folder) {
    const struct us_cache_stats *stats = &all->stats;
    json_t *line = us_json_begin("stats");
    us_json_text(line, "folder", folder);
    us_cache_count_json(line, "objects", all_objects(stats));
    for (int i = 0; i < US_CACHE_KINDS; i++) {
        us_cache_count_json(line, us_cache_kind_name((enum us_cache_kind)i), stats->objects[i]);
    }
    us_cache_count_json(line, "small", stats->inlined);
    us_cache_count_json(line, "records", stats->records);
    us_cache_count_json(line, "attempts", stats->attempts);
    us_cache_count_json(line, "quarantined", stats->quarantined);
    us_cache_count_json(line, "trash", stats->trash);
    us_json_int(line, "pins", (int64_t)all->pins);
    us_json_int(line, "runs", (int64_t)all->runs);
    json_t *types = json_array();
    for (size_t i = 0; i < all->type_count; i++) {
        const struct us_cache_type *type = &all->types[i];
        json_t *member = json_object();
        us_json_text(member, "type", type->type);
        us_json_text(member, "show", type->show);
        us_json_int(member, "objects", (int64_t)type->objects.files);
        us_json_int(member, "bytes", (int64_t)type->objects.bytes);
        us_json_int(member, "records", (int64_t)type->records);
        us_json_real(member, "seconds", type->seconds);
        us_json_int(member, "used", type->used);
        json_array_append_new(types, member);
    }
    json_object_set_new(line, "types", types);
    us_json_end(line);
}

static struct us_error *read_all(struct us_store *store, struct all *all) {
    struct us_pin *pins;
    US_TRY(us_cache_stats(store, &all->stats));
    US_TRY(us_cache_types(store, &all->types, &all->type_count));
    US_TRY(us_cache_runs(store, &all->runs));
    US_TRY(us_cache_pins(store, &pins, &all->pins));
    us_pins_finish(pins, all->pins);
    return NULL;
}

struct us_error *us_cache_show_stats(struct us_store *store, const char *folder,
                                     const struct us_arguments *arguments, int *status) {
    *status = 0;
    struct all all = {0};
    struct us_error *error = read_all(store, &all);
    if (!error && arguments->json) {
        print_json(&all, folder);
    } else if (!error) {
        print_all(&all, folder);
    }
    us_cache_types_finish(all.types, all.type_count);
    return error;
}
