#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "tools/cache_verbs.h"
#include "tools/json_line.h"
#include "tools/session.h"
#include "tools/show_error.h"

void us_cache_count_text(struct us_str *out, struct us_cache_count count, const char *what) {
    us_str_printf(out, "%llu %s%s (", (unsigned long long)count.files, what,
                  count.files == 1 ? "" : "s");
    us_str_size(out, count.bytes);
    us_str_append(out, ")");
}

void us_cache_count_json(void *line, const char *name, struct us_cache_count count) {
    json_t *member = json_object();
    us_json_int(member, "files", (int64_t)count.files);
    us_json_int(member, "bytes", (int64_t)count.bytes);
    json_object_set_new(line, name, member);
}

void us_cache_time_text(struct us_str *out, double seconds) {
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
    size_t i = 0;
    while (i < 3 && seconds < 1.5 * units[i].seconds) {
        i++;
    }
    double number = seconds / units[i].seconds;
    us_str_printf(out, "%.*f %s", number < 10, number, units[i].unit);
}

static bool progress_shown;

void us_cache_show_progress(void *context, const char *doing, uint64_t done, uint64_t of) {
    static double begun, last;
    (void)context;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    double now = (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
    begun = begun > 0 ? begun : now;
    if (!isatty(STDERR_FILENO) || now - begun < 1 || now - last < 0.1) {
        return;
    }
    last = now;
    progress_shown = true;
    if (of) {
        fprintf(stderr, "\r%s %3.0f %%  ", doing, 100 * (double)done / (double)of);
    } else {
        fprintf(stderr, "\r%s ...  ", doing);
    }
}

void us_cache_end_progress(void) {
    if (progress_shown) {
        fprintf(stderr, "\r%30s\r", "");
        progress_shown = false;
    }
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

static void print_healed(const struct us_cache_check *check) {
    const struct {
        uint64_t count;
        const char *one, *many;
    } rows[] = {
        {check->modes, "object could be written to: made read-only",
         "objects could be written to: made read-only"},
        {check->orphans, "marker without an object removed", "markers without an object removed"},
        {check->leftovers, "leftover of a killed process removed",
         "leftovers of killed processes removed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].count) {
            printf("%llu %s\n", (unsigned long long)rows[i].count,
                   rows[i].count == 1 ? rows[i].one : rows[i].many);
        }
    }
}

static struct us_error *verify(struct us_store *store, const char *folder,
                               const struct us_arguments *arguments, int *status) {
    (void)folder;
    struct us_cache_check check;
    const struct us_check_options options = {.sample = arguments->sample,
                                             .progress = us_cache_show_progress};
    struct us_error *error = us_cache_check(store, &options, &check);
    us_cache_end_progress();
    US_TRY(error);
    *status = check.damaged > 0;
    if (arguments->json) {
        json_t *line = us_json_begin("summary");
        us_json_int(line, "objects", (int64_t)check.objects);
        us_json_int(line, "records", (int64_t)check.records);
        us_json_int(line, "bytes", (int64_t)check.bytes);
        us_json_int(line, "damaged", (int64_t)check.damaged);
        us_json_int(line, "modes", (int64_t)check.modes);
        us_json_int(line, "orphans", (int64_t)check.orphans);
        us_json_int(line, "leftovers", (int64_t)check.leftovers);
        us_json_end(line);
        return NULL;
    }
    struct us_str text = {0};
    us_str_size(&text, check.bytes);
    printf("%llu objects and %llu records read (%s), %llu damaged\n",
           (unsigned long long)check.objects, (unsigned long long)check.records, us_str_text(&text),
           (unsigned long long)check.damaged);
    us_str_finish(&text);
    print_healed(&check);
    return NULL;
}

static struct us_error *reindex(struct us_store *store, const char *folder,
                                const struct us_arguments *arguments, int *status) {
    (void)folder;
    *status = 0;
    struct us_cache_rebuilt rebuilt;
    US_TRY(us_cache_reindex(store, &rebuilt));
    if (arguments->json) {
        json_t *line = us_json_begin("summary");
        us_json_int(line, "records", (int64_t)rebuilt.records);
        us_json_int(line, "small_objects", (int64_t)rebuilt.objects);
        us_json_end(line);
    } else {
        printf("%llu record%s and %llu small object%s found\n", (unsigned long long)rebuilt.records,
               rebuilt.records == 1 ? "" : "s", (unsigned long long)rebuilt.objects,
               rebuilt.objects == 1 ? "" : "s");
    }
    return NULL;
}

enum care {
    MAX_SIZE = 1,
    KEEP = 2,
    RECORDS_KEEP = 4,
    DRY_RUN = 8,
    NAME = 16,
    SAMPLE = 32,
    GRAPH = 64,
    REMOTE = 128
};

static const struct verb {
    const char *name, *words;
    us_cache_verb *run;                                              /* NULL: */
    struct us_error *(*alone)(const struct us_arguments *arguments); /* opens the cache by itself */
    size_t least, most;                                              /* words behind the verb */
    unsigned takes;                                                  /* enum care */
} verbs[] = {
    {"stats", "nothing more", us_cache_show_stats, NULL, 0, 0, 0},
    {"gc", "nothing more", us_cache_collect, NULL, 0, 0, MAX_SIZE | KEEP | RECORDS_KEEP | DRY_RUN},
    {"verify", "nothing more", verify, NULL, 0, 0, SAMPLE},
    {"reindex", "nothing more", reindex, NULL, 0, 0, 0},
    {"pins", "nothing more", us_cache_show_pins, NULL, 0, 0, 0},
    {"pin", "GRAPH [NODE...]", NULL, us_cache_add_pin, 1, 14, NAME | GRAPH},
    {"unpin", "NAME", us_cache_remove_pin, NULL, 1, 1, 0},
    {"push", "nothing more", NULL, us_cache_push, 0, 0, REMOTE},
    {"pull", "GRAPH", NULL, us_cache_pull, 1, 1, REMOTE | GRAPH},
};

static struct us_error *check_options(const struct verb *verb,
                                      const struct us_arguments *arguments) {
    const struct {
        bool given;
        unsigned bit;
        const char *name;
    } options[] = {
        {arguments->max_size > 0, MAX_SIZE, "max-size"},
        {arguments->keep > 0, KEEP, "keep"},
        {arguments->records_keep > 0, RECORDS_KEEP, "records-keep"},
        {arguments->dry_run, DRY_RUN, "dry-run"},
        {arguments->name != NULL, NAME, "name"},
        {arguments->sample > 0, SAMPLE, "sample"},
        {arguments->setting_count > 0, GRAPH, "set"},
        {arguments->frames != NULL, GRAPH, "frames"},
        {arguments->remote != NULL, REMOTE, "remote"},
        {arguments->remote_mode != NULL, REMOTE, "remote-mode"},
    };
    size_t words = arguments->word_count - 1;
    if (words < verb->least || words > verb->most) {
        return us_fail(US_USAGE, "cache %s: wanted %s", verb->name, verb->words);
    }
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (options[i].given && !(verb->takes & options[i].bit)) {
            return us_fail(US_USAGE, "cache %s takes no --%s", verb->name, options[i].name);
        }
    }
    return NULL;
}

static struct us_error *find_verb(const struct us_arguments *arguments, const struct verb **verb) {
    enum { COUNT = sizeof verbs / sizeof *verbs };
    const char *names[COUNT], *word = arguments->words[0];
    for (size_t i = 0; i < COUNT; i++) {
        names[i] = verbs[i].name;
        if (strcmp(word, verbs[i].name) == 0) {
            *verb = &verbs[i];
            return check_options(*verb, arguments);
        }
    }
    const char *near = us_str_nearest(word, names, COUNT);
    return near ? us_fail(US_USAGE, "cache: no verb '%s'; did you mean '%s'?", word, near)
                : us_fail(US_USAGE,
                          "cache: no verb '%s', allowed are stats, gc, verify, reindex, "
                          "pins, pin, unpin, push, pull",
                          word);
}

static struct us_error *with_cache(const struct verb *verb, const struct us_arguments *arguments,
                                   int *status) {
    char *folder;
    struct us_store *store = NULL;
    US_TRY(us_cache_folder_there(arguments, &folder));
    struct us_error *error = us_cache_open(folder, &store);
    if (!error) {
        store->warn = arguments->json ? json_warning : print_warning;
        error = verb->run(store, folder, arguments, status);
    }
    us_cache_close(store);
    us_free(folder);
    return error;
}

int us_command_cache(const struct us_arguments *arguments) {
    const struct verb *verb = NULL;
    struct us_error *error = find_verb(arguments, &verb);
    if (error) {
        return us_show_error(us_error_hint(error, "understudy cache --help"));
    }
    int status = 0;
    error = verb->run ? with_cache(verb, arguments, &status) : verb->alone(arguments);
    return error ? us_show_error(error) : status;
}
