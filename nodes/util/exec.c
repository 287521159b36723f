#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nodes/util/process.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/watch.h"

extern const struct us_codec us_exr_codec;

struct exec_params {
    struct us_strings command, env, reads;
    const char *output;
    double timeout_s;
};

enum { ANY_DATA = US_IMAGE | US_FACES | US_DATASET | US_MODEL | US_METRICS | US_FILE };

static const struct us_port inputs[] = {
    {.name = "inputs",
     .doc = "What the command reads, written to files before it starts.",
     .data = ANY_DATA,
     .reach = US_ALL_FRAMES,
     .optional = true,
     .list = true},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {.name = "file", .doc = "The file the command made.", .data = US_FILE}, {.name = NULL}};

#define PARAMS struct exec_params
static const struct us_param params[] = {
    {.name = "command",
     .type = US_PARAM_STRINGS,
     .offset = offsetof(PARAMS, command),
     .unit = "",
     .required = true,
     .doc = "Program and arguments, one a list entry; no shell reads them."},
    US_STRING(PARAMS, output, "out", "Name of the file that the command writes at {out}."),
    US_PATHS(PARAMS, reads, "Files the command reads besides: {read0}, {read1} and so on."),
    US_STRINGS(PARAMS, env, "Further environment variables, NAME=value."),
    {.name = "timeout_s",
     .type = US_PARAM_DOUBLE,
     .offset = offsetof(PARAMS, timeout_s),
     .number = 3600.0,
     .min = 0.1,
     .max = 1e7,
     .unit = "s",
     .role = US_UNKEYED,
     .doc = "Longest time it may take."},
    US_PARAMS_END};

static const char doc[] =
    "Runs a command once over the whole range. In its arguments {in} stands for the folder of "
    "inputs, {in0}, {in1} and so on for the folder of one entry of `inputs`, {out} for the file it "
    "has to write, {read0} and so on for the files of `reads`. Inputs lie in {in0} as FRAME.exr, "
    ".json, .safetensors, .jsonl or .bin (frame 0000 for what is not per frame, TAKE.FRAME when "
    "there are takes). The program is looked for on the PATH, or is {read0}.\n"
    "\n"
    "It runs in an empty folder, in a process group of its own, with an environment of PATH, HOME "
    "and TMPDIR (that folder), LANG=C.UTF-8, TZ=UTC, UNDERSTUDY_IN, UNDERSTUDY_OUT and what `env` "
    "says. On cancel and after timeout_s the whole group is ended. A status other than 0 fails the "
    "task with the last lines printed. The key holds the arguments, env, the content of the "
    "program's file and of `reads`, and the inputs; what else the program reads is its own affair.";

static const char example[] =
    "count:\n  type: exec\n  inputs: [image]\n  command: [python3, '{read0}', '{in0}', '{out}']\n"
    "  reads: [scripts/count.py]\n  output: count.json\n";

/* The index in "{nameN}" at `text`, and how long that is; -1 when it is something else. */
static long marker(const char *text, const char *name, size_t *length) {
    size_t prefix = strlen(name);
    if (text[0] != '{' || strncmp(text + 1, name, prefix) != 0) {
        return -1;
    }
    const char *digits = text + 1 + prefix;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 6 || digits[count] != '}') {
        return -1;
    }
    *length = prefix + count + 2;
    return strtol(digits, NULL, 10);
}

static struct us_error *check_reads(const struct exec_params *p, const char *text) {
    size_t length;
    for (; *text; text++) {
        long index = marker(text, "read", &length);
        if (index >= 0 && (size_t)index >= p->reads.count) {
            return us_fail(US_GRAPH, "'%.*s' names no file, reads has %zu", (int)length, text,
                           p->reads.count);
        }
    }
    return NULL;
}

static struct us_error *check(const void *filled) {
    const struct exec_params *p = filled;
    if (p->command.count == 0 || !p->command.items[0][0]) {
        return us_fail(US_GRAPH, "command is empty");
    }
    if (!p->output[0] || strchr(p->output, '/') || p->output[0] == '.') {
        return us_fail(US_GRAPH, "output '%s' is no plain file name", p->output);
    }
    for (size_t i = 0; i < p->env.count; i++) {
        if (strcspn(p->env.items[i], "=") == 0 || !strchr(p->env.items[i], '=')) {
            return us_fail(US_GRAPH, "env '%s' is not of the form NAME=value", p->env.items[i]);
        }
    }
    for (size_t i = 0; i < p->command.count; i++) {
        US_TRY(check_reads(p, p->command.items[i]));
    }
    return NULL;
}

static const char *search_path(void) {
    const char *path = getenv("PATH");
    return path && path[0] ? path : "/usr/local/bin:/usr/bin:/bin";
}

/* The first file of that name on the PATH that may be run; us_malloc'ed, or NULL. */
static char *find_program(const char *name) {
    const char *folder = search_path(), *known = us_watch_answer(name);
    while (*folder && !known) {
        size_t length = strcspn(folder, ":");
        char *head = us_strndup(folder, length);
        char *path = us_path_join(head, name);
        struct stat stats;
        us_free(head);
        us_watch_note(path);
        if (path[0] == '/' && stat(path, &stats) == 0 && S_ISREG(stats.st_mode) &&
            access(path, X_OK) == 0) {
            us_watch_keep_answer(name, path);
            return path;
        }
        us_free(path);
        folder += length + (folder[length] == ':');
    }
    return known ? us_strdup(known) : NULL;
}

static struct us_error *add_program(const struct exec_params *p, struct us_sources *sources) {
    const char *name = p->command.items[0];
    size_t length;
    if (marker(name, "read", &length) >= 0 || name[0] == '/') {
        if (name[0] == '/') {
            us_source_add(sources, "program", name, NULL);
        }
        return NULL;
    }
    if (strchr(name, '/')) {
        return us_error_hint(us_fail(US_GRAPH, "program '%s' is a relative path", name),
                             "list it in reads and write '{read0}' instead");
    }
    char *path = find_program(name);
    if (!path) {
        return us_error_hint(us_fail(US_MISSING, "program '%s' is not on the PATH", name),
                             "install it, or give its whole path");
    }
    us_source_add(sources, "program", path, NULL);
    us_free(path);
    return NULL;
}

static struct us_error *add_sources(const void *filled, struct us_frame frame,
                                    struct us_sources *sources) {
    const struct exec_params *p = filled;
    (void)frame;
    for (size_t i = 0; i < p->reads.count; i++) {
        us_source_add(sources, "read", p->reads.items[i], "exec's reads names it");
    }
    return add_program(p, sources);
}

static int remove_one(const char *path, const struct stat *stats, int kind, struct FTW *place) {
    (void)stats, (void)kind, (void)place;
    return remove(path);
}

static void remove_tree(const char *folder) {
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *extension(enum us_data data) {
    switch (data) {
    case US_IMAGE:
        return "exr";
    case US_FACES:
        return "json";
    case US_DATASET:
    case US_MODEL:
        return "safetensors";
    case US_METRICS:
        return "jsonl";
    case US_FILE:
        break;
    }
    return "bin";
}

static struct us_error *write_value(const char *path, const struct us_value *value) {
    if (value->data != US_IMAGE) {
        return us_write_file(path, value->bytes, value->size);
    }
    uint8_t *bytes;
    size_t size;
    US_TRY(us_exr_codec.encode(value->image, &bytes, &size));
    struct us_error *error = us_write_file(path, bytes, size);
    us_free(bytes);
    return error;
}

static struct us_error *write_inputs(struct us_task *task, const char *folder) {
    size_t count = us_task_input_count(task, 0);
    for (size_t i = 0; i < count; i++) {
        struct us_value *value;
        struct us_str path = {0};
        struct us_frame frame = us_task_input_frame(task, 0, i);
        US_TRY(us_task_progress(task, 0.5 * (double)i / (double)count));
        US_TRY(us_task_input(task, 0, i, &value));
        us_str_printf(&path, "%s/in/%zu/", folder, us_task_input_entry(task, 0, i));
        if (frame.take) {
            us_str_printf(&path, "%d.", frame.take);
        }
        us_str_printf(&path, "%04d.%s", frame.number, extension(value->data));
        struct us_error *error = write_value(us_str_text(&path), value);
        us_str_finish(&path);
        us_task_release(task, 0, i);
        US_TRY(error);
    }
    return NULL;
}

/* One argument with its markers filled in. */
static char *fill_argument(const struct us_task *task, const char *text, const char *folder) {
    const struct exec_params *p = us_task_params(task);
    struct us_str out = {0};
    while (*text) {
        size_t length = 1;
        long entry = marker(text, "in", &length), read = marker(text, "read", &length);
        if (strncmp(text, "{in}", 4) == 0) {
            us_str_printf(&out, "%s/in", folder);
            length = 4;
        } else if (strncmp(text, "{out}", 5) == 0) {
            us_str_printf(&out, "%s/%s", folder, p->output);
            length = 5;
        } else if (entry >= 0) {
            us_str_printf(&out, "%s/in/%ld", folder, entry);
        } else if (read >= 0) {
            us_str_append(&out, us_task_source(task, "read", (size_t)read));
        } else {
            us_str_append_bytes(&out, text, 1);
        }
        text += length;
    }
    return us_str_take(&out);
}

static void add_variable(char **env, size_t *count, const char *name, const char *value) {
    struct us_str text = {0};
    us_str_printf(&text, "%s=%s", name, value);
    env[(*count)++] = us_str_take(&text);
}

static char **make_environment(const struct exec_params *p, const char *folder) {
    char **env = us_calloc(p->env.count + 9, sizeof *env);
    char *in = us_path_join(folder, "in"), *out = us_path_join(folder, p->output);
    size_t count = 0;
    add_variable(env, &count, "PATH", search_path());
    add_variable(env, &count, "HOME", folder);
    add_variable(env, &count, "TMPDIR", folder);
    add_variable(env, &count, "LANG", "C.UTF-8");
    add_variable(env, &count, "TZ", "UTC");
    add_variable(env, &count, "UNDERSTUDY_IN", in);
    add_variable(env, &count, "UNDERSTUDY_OUT", out);
    for (size_t i = 0; i < p->env.count; i++) {
        env[count++] = us_strdup(p->env.items[i]);
    }
    us_free(in);
    us_free(out);
    return env;
}

static void free_texts(char **texts) {
    for (size_t i = 0; texts[i]; i++) {
        us_free(texts[i]);
    }
    us_free(texts);
}

static struct us_error *ask(void *context) {
    return us_task_progress(context, -1.0);
}

static struct us_error *run_command(struct us_task *task, const char *folder) {
    const struct exec_params *p = us_task_params(task);
    char **argv = us_calloc(p->command.count + 1, sizeof *argv);
    for (size_t i = 0; i < p->command.count; i++) {
        argv[i] = fill_argument(task, p->command.items[i], folder);
    }
    char **env = make_environment(p, folder);
    const char *program = us_task_source(task, "program", 0);
    struct us_process process = {.program = program ? program : argv[0],
                                 .argv = (const char *const *)argv,
                                 .env = (const char *const *)env,
                                 .folder = folder,
                                 .timeout_s = p->timeout_s,
                                 .ask = ask,
                                 .context = task};
    struct us_error *error = us_process_run(&process);
    free_texts(argv);
    free_texts(env);
    return error;
}

static struct us_error *take_output(struct us_task *task, const char *folder) {
    const struct exec_params *p = us_task_params(task);
    char *path = us_path_join(folder, p->output);
    struct stat stats;
    uint8_t *bytes;
    size_t size;
    struct us_error *error = NULL;
    if (lstat(path, &stats) != 0 || !S_ISREG(stats.st_mode)) {
        error = us_error_hint(us_fail(US_FAILED, "the command made no file '%s'", p->output),
                              "let it write to '{out}'");
    }
    error = error ? error : us_read_file(path, 0, &bytes, &size);
    us_free(path);
    US_TRY(error);
    us_task_output(task, 0, us_value_from_bytes(US_FILE, bytes, size));
    return NULL;
}

static struct us_error *run(struct us_task *task) {
    const char *workspace;
    char absolute[PATH_MAX];
    US_TRY(us_task_workspace(task, &workspace));
    if (!realpath(workspace, absolute)) {
        return us_error_from_errno(errno, "cannot use folder '%s'", workspace);
    }
    char *folder = us_path_join(absolute, "run"), *in = us_path_join(folder, "in");
    remove_tree(folder); /* of a run that was killed */
    struct us_error *error = us_make_folders(in);
    error = error ? error : write_inputs(task, folder);
    error = error ? error : run_command(task, folder);
    error = error ? error : take_output(task, folder);
    remove_tree(folder);
    us_free(in);
    us_free(folder);
    return error;
}

const struct us_node_type us_node_exec = {
    .name = "exec",
    .group = "util",
    .version = 1,
    .summary = "Runs a command with declared inputs and one output file.",
    .doc = doc,
    .example = example,
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(struct exec_params),
    .check = check,
    .sources = add_sources,
    .run = run,
};
