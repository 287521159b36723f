/* The commands of the program: one table gives usage, help, parsing and dispatch. Only this room
 * prints or exits. */
#ifndef US_TOOLS_COMMAND_H
#define US_TOOLS_COMMAND_H

#include "runtime/graph/graph.h"

/* What stands on a command line, parsed. */
struct us_arguments {
    const struct us_command *command;
    const char *words[16]; /* what is not an option: GRAPH, NODE, ... */
    size_t word_count;
    struct us_setting *settings;
    size_t setting_count;
    const char **only;
    size_t only_count;
    const char *cache, *models, *frames, *devices, *as, *trace;
    const char *remote, *remote_mode;
    int threads;               /* 0: not given */
    size_t memory;             /* bytes; 0: not given */
    size_t max_size;           /* bytes; 0: not given */
    double keep, records_keep; /* seconds; 0: not given */
    double sample;             /* part of all; 0: not given */
    const char *name;
    bool dry_run;
    bool keep_going, json, svg, states, markdown, verbose, help;
};

enum us_option_bit {
    US_OPT_SET = 1 << 0,
    US_OPT_CACHE = 1 << 1,
    US_OPT_MODELS = 1 << 2,
    US_OPT_THREADS = 1 << 3,
    US_OPT_MEMORY = 1 << 4,
    US_OPT_KEEP_GOING = 1 << 5,
    US_OPT_JSON = 1 << 6,
    US_OPT_ONLY = 1 << 7,
    US_OPT_FRAMES = 1 << 8,
    US_OPT_SVG = 1 << 9,
    US_OPT_MARKDOWN = 1 << 10,
    US_OPT_DEVICES = 1 << 11,
    US_OPT_AS = 1 << 12,
    US_OPT_VERBOSE = 1 << 13,
    US_OPT_TRACE = 1 << 14,
    US_OPT_STATES = 1 << 15,
    US_OPT_CARE = 1 << 24, /* what the cache's verbs take */
    US_OPT_REMOTE = 1 << 20,
    US_OPT_RUN = US_OPT_SET | US_OPT_CACHE | US_OPT_MODELS | US_OPT_ONLY | US_OPT_FRAMES,
};

struct us_command {
    const char *name;
    const char *words;                                /* "GRAPH NODE[@FRAMES]" */
    size_t least, most;                               /* words */
    unsigned options;                                 /* us_option_bit */
    const char *summary;                              /* one line; "": not listed */
    const char *doc;                                  /* further paragraphs, or "" */
    const char *example;                              /* one or more lines, each a command */
    int (*run)(const struct us_arguments *arguments); /* the exit status */
};

/* The words that the program was started with. */
extern char **us_program_words;

extern const struct us_command us_commands[]; /* ends with a NULL name */

/* Parses what follows the command's name. -p and --only may come several times. */
struct us_error *us_arguments_parse(const struct us_command *command, int argc, char **argv,
                                    struct us_arguments *arguments) US_NODISCARD;
void us_arguments_finish(struct us_arguments *arguments);
/* The options' part of a help text. */
void us_options_print(unsigned options, struct us_str *out);

/* "8G", "512 MiB", "1.5GB", "4096": bytes; K, M, G and T are powers of 1024. False when it is none
 * of these. */
bool us_size_parse(const char *text, size_t *bytes);
/* "30d", "12h", "90m", "45s", "2w": seconds. False when it is none of these. */
bool us_duration_parse(const char *text, double *seconds);

int us_command_run(const struct us_arguments *arguments);
int us_command_rank(const struct us_arguments *arguments);
int us_command_plan(const struct us_arguments *arguments);
int us_command_explain(const struct us_arguments *arguments);
int us_command_history(const struct us_arguments *arguments);
int us_command_validate(const struct us_arguments *arguments);
int us_command_nodes(const struct us_arguments *arguments);
int us_command_schema(const struct us_arguments *arguments);
int us_command_graph(const struct us_arguments *arguments);
int us_command_cache(const struct us_arguments *arguments);
int us_command_devices(const struct us_arguments *arguments);
int us_command_doctor(const struct us_arguments *arguments);
int us_command_model(const struct us_arguments *arguments);
int us_command_new(const struct us_arguments *arguments);
int us_command_version(const struct us_arguments *arguments);

#endif
