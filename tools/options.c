#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "tools/command.h"

enum kind { FLAG, TEXT, COUNT, SIZE, SETTING, LIST, DURATION, PERCENT };

struct option {
    const char *name, *value, *doc;
    unsigned bit;
    enum kind kind;
    size_t offset;
    char letter;
};

#define AT(field) offsetof(struct us_arguments, field)

static const struct option options[] = {
    {"set", "NAME=VALUE", "give a parameter of the graph a value; may be repeated", US_OPT_SET,
     SETTING, 0, 'p'},
    {"cache", "DIR", "cache folder (else $UNDERSTUDY_CACHE, else ~/.cache/understudy)",
     US_OPT_CACHE, TEXT, AT(cache), 0},
    {"remote", "URL",
     "remote cache: http://..., https://..., s3://BUCKET/PREFIX (else $UNDERSTUDY_REMOTE, else "
     "none)",
     US_OPT_REMOTE, TEXT, AT(remote), 0},
    {"remote-mode", "MODE", "read, write, or both (the default; else $UNDERSTUDY_REMOTE_MODE)",
     US_OPT_REMOTE, TEXT, AT(remote_mode), 0},
    {"models", "DIR",
     "folder of network weights (else $UNDERSTUDY_MODELS, else beside the program)", US_OPT_MODELS,
     TEXT, AT(models), 0},
    {"only", "NODE",
     "ask for this node, or all of a template's use, instead of the graph's outputs; may be "
     "repeated",
     US_OPT_ONLY, LIST, 0, 0},
    {"frames", "RANGE", "only these frames of what is asked for: 1001-1048, 1001-1100x2, 1001,1005",
     US_OPT_FRAMES, TEXT, AT(frames), 0},
    {"threads", "N", "CPU threads (else all)", US_OPT_THREADS, COUNT, AT(threads), 0},
    {"memory", "SIZE", "host memory to stay in, such as 8G (else three quarters of the machine's)",
     US_OPT_MEMORY, SIZE, AT(memory), 0},
    {"devices", "LIST", "auto (every GPU, the default), cpu, or a list: cuda:0,cuda:1=8G,cpu:0",
     US_OPT_DEVICES, TEXT, AT(devices), 0},
    {"as", "WHO", "whose decoder draws: source (the default), destination, or an identity's number",
     US_OPT_AS, TEXT, AT(as), 0},
    {"keep-going", NULL, "run what does not depend on a failed frame", US_OPT_KEEP_GOING, FLAG,
     AT(keep_going), 0},
    {"trace", "FILE", "write what ran where and when, as a Chrome trace (opens in Perfetto)",
     US_OPT_TRACE, TEXT, AT(trace), 0},
    {"max-size", "SIZE", "gc: what the cache may take, such as 500G", US_OPT_CARE, SIZE,
     AT(max_size), 0},
    {"keep", "TIME", "gc: leave what was used within, such as 30d or 12h", US_OPT_CARE, DURATION,
     AT(keep), 0},
    {"records-keep", "TIME", "gc: records live at least so long (else 180d)", US_OPT_CARE, DURATION,
     AT(records_keep), 0},
    {"dry-run", NULL, "gc: say what would go, remove nothing", US_OPT_CARE, FLAG, AT(dry_run), 0},
    {"name", "NAME", "pin: what to call it (else the graph's file name)", US_OPT_CARE, TEXT,
     AT(name), 0},
    {"sample", "PERCENT", "verify: read only so many of the objects and records, such as 5%",
     US_OPT_CARE, PERCENT, AT(sample), 0},
    {"json", NULL, "one JSON object a line", US_OPT_JSON, FLAG, AT(json), 0},
    {"svg", NULL, "draw it (needs Graphviz's dot)", US_OPT_SVG, FLAG, AT(svg), 0},
    {"states", NULL, "colour nodes by what run would do with them", US_OPT_STATES, FLAG, AT(states),
     0},
    {"markdown", NULL, "as a page of the documentation", US_OPT_MARKDOWN, FLAG, AT(markdown), 0},
    {"verbose", NULL, "a line for every single check", US_OPT_VERBOSE, FLAG, AT(verbose), 'v'},
    {"help", NULL, "print this", ~0u, FLAG, AT(help), 'h'},
};
enum { OPTIONS = sizeof options / sizeof *options };

void us_options_print(unsigned bits, struct us_str *out) {
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *option = &options[i];
        if (!(option->bit & bits) && option->bit != ~0u) {
            continue;
        }
        struct us_str left = {0};
        if (option->letter) {
            us_str_printf(&left, "-%c, ", option->letter);
        }
        us_str_printf(&left, "--%s%s%s", option->name, option->value ? " " : "",
                      option->value ? option->value : "");
        us_str_printf(out, "  %-24s %s\n", us_str_text(&left), option->doc);
        us_str_finish(&left);
    }
}

bool us_size_parse(const char *text, size_t *bytes) {
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    double number = strtod(text, &end);
    while (*end == ' ') {
        end++;
    }
    static const char units[] = "KMGT";
    const char *unit = *end ? strchr(units, *end >= 'a' ? *end - 32 : *end) : NULL;
    if (unit) {
        number = ldexp(number, 10 * (int)(unit - units + 1));
        end += 1 + (end[1] == 'i' && end[2] == 'B' ? 2 : end[1] == 'B');
    }
    if (*end || !(number >= 1) || number > 0x1p60) {
        return false;
    }
    *bytes = (size_t)number;
    return true;
}

bool us_duration_parse(const char *text, double *seconds) {
    static const struct {
        char unit;
        double seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    double number = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (*end == units[i].unit && end[1] == '\0' && number > 0 && number < 1e6) {
            *seconds = number * units[i].seconds;
            return true;
        }
    }
    return false;
}

static struct us_error *usage_hint(const struct us_command *command, struct us_error *error) {
    return us_error_hint(error, "understudy %s --help", command->name);
}

static struct us_error *unknown_option(const struct us_command *command, const char *text) {
    const char *names[OPTIONS];
    size_t count = 0;
    for (size_t i = 0; i < OPTIONS; i++) {
        if (options[i].bit & command->options) {
            names[count++] = options[i].name;
        }
    }
    const char *near = strncmp(text, "--", 2) == 0 ? us_str_nearest(text + 2, names, count) : NULL;
    return usage_hint(command,
                      near ? us_fail(US_USAGE, "%s: unknown option '%s'; did you mean '--%s'?",
                                     command->name, text, near)
                           : us_fail(US_USAGE, "%s: unknown option '%s'", command->name, text));
}

static struct us_error *add_setting(const char *value, struct us_arguments *arguments) {
    const char *equals = strchr(value, '=');
    if (!equals || equals == value) {
        return us_fail(US_USAGE, "-p takes NAME=VALUE, not '%s'", value);
    }
    arguments->settings = us_realloc(arguments->settings,
                                     (arguments->setting_count + 1) * sizeof *arguments->settings);
    arguments->settings[arguments->setting_count++] = (struct us_setting){
        .name = us_strndup(value, (size_t)(equals - value)), .value = equals + 1};
    return NULL;
}

static struct us_error *store_option(const struct option *option, const char *value,
                                     struct us_arguments *arguments) {
    void *field = (char *)arguments + option->offset;
    char *end;
    switch (option->kind) {
    case FLAG:
        *(bool *)field = true;
        return NULL;
    case TEXT:
        /* --remote '': none, whatever is set; --devices tells what is allowed. */
        if (!value[0] && option->bit != US_OPT_REMOTE && option->bit != US_OPT_DEVICES) {
            return us_fail(US_USAGE, "--%s is '', wanted %s", option->name, option->value);
        }
        *(const char **)field = value;
        return NULL;
    case COUNT: {
        long count = strtol(value, &end, 10);
        if (*end || end == value || count < 1 || count > 4096) {
            return us_fail(US_USAGE, "--%s is '%s', allowed 1 to 4096", option->name, value);
        }
        *(int *)field = (int)count;
        return NULL;
    }
    case SIZE:
        return us_size_parse(value, field)
                   ? NULL
                   : us_fail(US_USAGE, "--%s is '%s', wanted a size such as 512M or 8G",
                             option->name, value);
    case DURATION:
        return us_duration_parse(value, field)
                   ? NULL
                   : us_fail(US_USAGE, "--%s is '%s', wanted a time such as 30d, 12h or 45m",
                             option->name, value);
    case PERCENT: {
        double percent = strtod(value, &end);
        end += *end == '%';
        if (*end || end == value || !(percent > 0 && percent <= 100)) {
            return us_fail(US_USAGE, "--%s is '%s', allowed above 0%% up to 100%%", option->name,
                           value);
        }
        *(double *)field = percent / 100;
        return NULL;
    }
    case SETTING:
        return add_setting(value, arguments);
    case LIST:
        arguments->only =
            us_realloc(arguments->only, (arguments->only_count + 1) * sizeof *arguments->only);
        arguments->only[arguments->only_count++] = value;
        return NULL;
    }
    return NULL;
}

/* Whether `text` names the option; and the value that stands with it (--name=value, -pvalue). */
static bool names_option(const struct option *option, const char *text, const char **value) {
    if (text[1] != '-') {
        *value = text[1] && text[2] ? text + 2 : NULL;
        return option->letter && text[1] == option->letter;
    }
    const size_t length = strlen(option->name);
    if (strncmp(text + 2, option->name, length) != 0 ||
        (text[2 + length] != '\0' && text[2 + length] != '=')) {
        return false;
    }
    *value = text[2 + length] ? text + 3 + length : NULL;
    return true;
}

static const struct option *find_option(const struct us_command *command, const char *text,
                                        const char **value) {
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *option = &options[i];
        if ((option->bit & command->options || option->bit == ~0u) &&
            names_option(option, text, value)) {
            return option;
        }
    }
    *value = NULL;
    return NULL;
}

static struct us_error *parse_option(int argc, char **argv, int *at,
                                     struct us_arguments *arguments) {
    const struct us_command *command = arguments->command;
    const char *text = argv[*at], *value;
    const struct option *option = find_option(command, text, &value);
    if (!option) {
        return unknown_option(command, text);
    }
    if (option->kind == FLAG && value) {
        return usage_hint(
            command, us_fail(US_USAGE, "%s: --%s takes no value", command->name, option->name));
    }
    if (option->kind != FLAG && !value) {
        if (*at + 1 >= argc) {
            return usage_hint(command, us_fail(US_USAGE, "%s: '%s' needs %s", command->name, text,
                                               option->value));
        }
        value = argv[++*at];
    }
    return usage_hint(command, store_option(option, value, arguments));
}

static struct us_error *check_words(const struct us_arguments *arguments) {
    const struct us_command *command = arguments->command;
    if (arguments->help || arguments->word_count >= command->least) {
        return NULL;
    }
    return usage_hint(command, us_fail(US_USAGE, "%s: wanted %s", command->name, command->words));
}

static struct us_error *add_word(struct us_arguments *arguments, const char *text) {
    const struct us_command *command = arguments->command;
    if (arguments->word_count >= command->most) {
        return usage_hint(command, us_fail(US_USAGE, "%s: '%s' is too much", command->name, text));
    }
    arguments->words[arguments->word_count++] = text;
    return NULL;
}

struct us_error *us_arguments_parse(const struct us_command *command, int argc, char **argv,
                                    struct us_arguments *arguments) {
    *arguments = (struct us_arguments){.command = command};
    bool words_only = false;
    for (int i = 0; i < argc; i++) {
        const char *text = argv[i];
        if (!words_only && strcmp(text, "--") == 0) {
            words_only = true;
            continue;
        }
        const bool option = !words_only && text[0] == '-' && text[1];
        US_TRY(option ? parse_option(argc, argv, &i, arguments) : add_word(arguments, text));
    }
    return check_words(arguments);
}

void us_arguments_finish(struct us_arguments *arguments) {
    for (size_t i = 0; i < arguments->setting_count; i++) {
        us_free((char *)(uintptr_t)arguments->settings[i].name);
    }
    us_free(arguments->settings);
    us_free(arguments->only);
}
