#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/str.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/show_error.h"

const struct us_command us_commands[] = {
    {"run", "GRAPH", 1, 1,
     US_OPT_RUN | US_OPT_REMOTE | US_OPT_THREADS | US_OPT_MEMORY | US_OPT_DEVICES |
         US_OPT_KEEP_GOING | US_OPT_TRACE | US_OPT_JSON,
     "run what the graph's outputs need and the cache does not hold",
     "Exit status: 0 done, 1 a node failed, 2 bad usage or graph, 3 something needed is missing,\n"
     "75 worth trying again (full disk), 78 refused by policy, 130 and 143 stopped by a signal.\n"
     "A first SIGINT or SIGTERM lets tasks stop in order, a second one (0.3 s later or more) ends\n"
     "at once. A reader of its output that goes away (run ... | head) is a first one: status "
     "141.\n",
     "understudy run graphs/quickstart.yaml\n"
     "understudy run shot.yaml -p erode_px=6 --only comp --frames 1001-1010\n"
     "understudy run shot.yaml --trace trace.json\n",
     us_command_run},
    {"rank", "", 0, 0, US_OPT_THREADS, "",
     "Takes part in the trainings of rank 0, which starts it.\n", "understudy rank\n",
     us_command_rank},
    {"plan", "GRAPH", 1, 1,
     US_OPT_RUN | US_OPT_REMOTE | US_OPT_THREADS | US_OPT_MEMORY | US_OPT_DEVICES | US_OPT_JSON,
     "say what run would do, why, how long it took before, and what memory it takes",
     "Exit status: 3 when a training does not fit into the memory there is: run refuses it too.\n",
     "understudy plan shot.yaml -p erode_px=6\n", us_command_plan},
    {"explain", "GRAPH NODE[@FRAMES]", 2, 2,
     US_OPT_SET | US_OPT_CACHE | US_OPT_MODELS | US_OPT_JSON,
     "say why a task runs, or what it was made from",
     "A range of frames gets a line each; a node without frames behind it, a line for those that\n"
     "have the same reason. A frame of a further take is NODE@TAKE:FRAME, as run writes it.\n",
     "understudy explain shot.yaml comp@1012\nunderstudy explain shot.yaml comp@1001-1010\n"
     "understudy explain shot.yaml comp\n",
     us_command_explain},
    {"history", "GRAPH [RUN]", 1, 2, US_OPT_CACHE | US_OPT_JSON,
     "list the last runs of a graph, or tell one of them",
     "The last 1,000 runs of a graph with a cache are remembered on the machine that ran them.\n",
     "understudy history shot.yaml\nunderstudy history shot.yaml 17\n", us_command_history},
    {"validate", "GRAPH", 1, 1, US_OPT_SET, "check a graph without running it", "",
     "understudy validate shot.yaml\n", us_command_validate},
    {"nodes", "[TYPE]", 0, 1, US_OPT_MARKDOWN, "list the node types, or describe one", "",
     "understudy nodes\nunderstudy nodes composite\n", us_command_nodes},
    {"schema", "", 0, 0, 0, "print the JSON Schema of graphs, for editors", "",
     "understudy schema > understudy.schema.json\n", us_command_schema},
    {"graph", "GRAPH", 1, 1, US_OPT_SET | US_OPT_SVG | US_OPT_STATES | US_OPT_CACHE | US_OPT_MODELS,
     "print the graph for Graphviz, or as SVG",
     "--states asks the cache: what is cached, what would run and why, what failed last time.\n",
     "understudy graph shot.yaml --svg > shot.svg\n"
     "understudy graph shot.yaml --svg --states > shot.svg\n",
     us_command_graph},
    {"cache",
     "stats | gc | verify | reindex | pins | pin GRAPH [NODE...] | unpin NAME | push | pull GRAPH",
     1, 15,
     US_OPT_CACHE | US_OPT_JSON | US_OPT_CARE | US_OPT_REMOTE | US_OPT_SET | US_OPT_MODELS |
         US_OPT_FRAMES,
     "count, shrink, check or repair what the cache holds, or pin results",
     "stats    what it holds by kind, and by show and node type\n"
     "gc       removes what no result needs; over --max-size also results: first those that are\n"
     "         cheap to make again for their size and long unused. Never what a run uses or a pin\n"
     "         names. A result that is gone is made again when it is needed.\n"
     "verify   reads everything and moves damaged files aside; status 1 when there were any\n"
     "reindex  makes tables and indexes anew from what lies in the cache\n"
     "pin      keeps the results of a graph's outputs, or of the nodes named, until unpin\n"
     "push     sends the whole cache to the remote cache\n"
     "pull     fetches from there what a run of the graph would use\n",
     "understudy cache stats\n"
     "understudy cache gc --max-size 500G --keep 30d --dry-run\n"
     "understudy cache pin shot.yaml comp model --name ab010_delivery\n"
     "understudy cache unpin ab010_delivery\n"
     "understudy cache pull shot.yaml --remote https://cache.example/nightfall\n"
     "understudy cache verify --sample 5% --cache /mnt/cache\n",
     us_command_cache},
    {"devices", "", 0, 0, US_OPT_JSON, "list what can compute here", "", "understudy devices\n",
     us_command_devices},
    {"doctor", "", 0, 0, US_OPT_CACHE | US_OPT_MODELS | US_OPT_VERBOSE,
     "check libraries, devices, every operation on each, weights, the cache folder and a run", "",
     "understudy doctor\n", us_command_doctor},
    {"model", "info FILE | export MODEL OUT.onnx", 2, 3, US_OPT_JSON | US_OPT_AS,
     "describe a model or data set (safetensors, ONNX), or export one",
     "export writes what a model of train_swap computes as an ONNX file: input 'face', outputs\n"
     "'image' and 'mask', all as the crops are encoded (docs/models.md).\n",
     "understudy model info model.safetensors\n"
     "understudy model export model.safetensors model.onnx --as source\n",
     us_command_model},
    {"new", "[NAME]", 0, 1, 0, "write a starter graph, NAME.yaml", "", "understudy new ab010\n",
     us_command_new},
    {"version", "", 0, 0, 0, "print the version", "", "understudy version\n", us_command_version},
    {0},
};

static void print_overview(FILE *out) {
    fputs("usage: understudy COMMAND ...\n\n", out);
    for (const struct us_command *command = us_commands; command->name; command++) {
        if (command->summary[0]) {
            fprintf(out, "  %-10s %s\n", command->name, command->summary);
        }
    }
    fputs("\nunderstudy COMMAND --help says more.\n", out);
}

static void print_help(const struct us_command *command) {
    struct us_str text = {0};
    us_str_printf(&text, "usage: understudy %s [OPTION...]%s%s\n\n%s\n\n", command->name,
                  command->words[0] ? " " : "", command->words, command->summary);
    if (command->doc[0]) {
        us_str_printf(&text, "%s\n", command->doc);
    }
    us_options_print(command->options, &text);
    us_str_append(&text, "\nexample:\n");
    for (const char *line = command->example; *line;) {
        int length = (int)strcspn(line, "\n");
        us_str_printf(&text, "  %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
    fputs(us_str_text(&text), stdout);
    us_str_finish(&text);
}

static const struct us_command *find_command(const char *name) {
    for (const struct us_command *command = us_commands; command->name; command++) {
        if (strcmp(command->name, name) == 0) {
            return command;
        }
    }
    return NULL;
}

static int unknown_command(const char *name) {
    const char *names[32];
    size_t count = 0;
    for (const struct us_command *command = us_commands; command->name; command++) {
        names[count++] = command->name;
    }
    const char *near = us_str_nearest(name, names, count);
    struct us_error *error =
        near ? us_fail(US_USAGE, "no command '%s'; did you mean '%s'?", name, near)
             : us_fail(US_USAGE, "no command '%s'", name);
    return us_show_error(us_error_hint(error, "understudy --help"));
}

static int run_command(const struct us_command *command, int argc, char **argv) {
    struct us_arguments arguments;
    struct us_error *error = us_arguments_parse(command, argc, argv, &arguments);
    int status = 0;
    if (error) {
        status = us_show_error(error);
    } else if (arguments.help) {
        print_help(command);
    } else {
        status = command->run(&arguments);
    }
    us_arguments_finish(&arguments);
    return status;
}

static int help(int argc, char **argv) {
    const struct us_command *command = argc > 2 ? find_command(argv[2]) : NULL;
    if (argc > 2 && !command) {
        return unknown_command(argv[2]);
    }
    if (command) {
        print_help(command);
    } else {
        print_overview(stdout);
    }
    return 0;
}

char **us_program_words;

/* A standard stream that the caller closed: the next file that is opened would get its number, and
 * what is printed. In its place comes one that every use of fails. */
static void hold_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) {
            _exit(1);
        }
    }
}

int main(int argc, char **argv) {
    hold_streams();
    signal(SIGPIPE, SIG_IGN);
    us_program_words = argv;
    if (argc < 2) {
        print_overview(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        return us_output_finish(help(argc, argv));
    }
    if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    const struct us_command *command = find_command(name);
    return us_output_finish(command ? run_command(command, argc - 2, argv + 2)
                                    : unknown_command(name));
}
