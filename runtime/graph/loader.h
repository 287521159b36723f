/* Between the files of this room that make a graph of a YAML tree.
 *
 * Loading goes in steps: documents (read, include, merge), scopes (parameters, templates expanded
 * into drafts), nodes (parameters filled), links (ports connected), order (cycles, sorting). */
#ifndef US_RUNTIME_GRAPH_LOADER_H
#define US_RUNTIME_GRAPH_LOADER_H

#include "runtime/graph/graph.h"
#include "runtime/graph/yaml_tree.h"

enum {
    US_MOST_NODES = 200000,  /* nodes and uses of templates, expanded */
    US_MOST_TEMPLATES = 64,  /* levels of templates in templates */
    US_MOST_FILES = 1000,    /* the graph file and its includes */
    US_MOST_NAMES = 10000,   /* names a did-you-mean looks at */
    US_MOST_WORK = 20000000, /* values touched */
    US_MOST_TEXT = 64 << 20, /* bytes that $(name) makes */
};

/* What a file says at its top level, includes merged in. */
struct us_document {
    const struct us_yaml *show, *params, *templates, *nodes, *outputs; /* NULL: not there */
    const struct us_yaml **roots; /* one `roots:` list a file that has one: all of them bind */
    size_t root_count;
};

enum us_value_type {
    US_TYPE_INT,
    US_TYPE_FLOAT,
    US_TYPE_BOOL,
    US_TYPE_STRING,
    US_TYPE_PATH,
    US_TYPE_FRAMES,
    US_TYPE_CHOICE,
};

/* A parameter of the graph or of a template, and what it came to in one scope. */
struct us_argument {
    enum us_value_type type;
    enum { US_UNRESOLVED, US_RESOLVING, US_RESOLVED } state;
    const struct us_yaml *given; /* by the use of the template, or NULL */
    const char *set;             /* by -p: its value, or NULL */
    const char *text;            /* the value; a path is made full */
    const char *origin;          /* for messages: "-p size=9" or "parameter 'size'" */
};

/* One scalar after $(name) was put in. */
struct us_scalar {
    const char *text;
    bool plain;         /* may be read as a number or a bool */
    bool is_path;       /* came whole from a path parameter: already full */
    const char *origin; /* " (parameter 'size')", " (-p size=9)" or "": a message adds it */
    struct us_pos pos;
};

/* The names one part of the graph sees: the graph itself, or one use of a template. */
struct us_scope {
    const struct us_scope *outer; /* whose parameters are seen too: the graph's, or NULL */
    const struct us_scope *user;  /* where `use:` stands, or NULL */
    const char *prefix;           /* of the names of its nodes: "plate." */
    const char *template_name;    /* or NULL */
    const char *use_name;         /* full name of the node that uses the template */
    struct us_pos use_pos;
    const struct us_yaml *params;  /* the declarations, or NULL */
    struct us_argument *arguments; /* one a declaration */
    const struct us_yaml *nodes;   /* the mapping */
    struct us_member *members;     /* one an entry of it */
    const struct us_yaml *inputs;  /* of the template, or NULL */
    const struct us_yaml *use;     /* the mapping with `use:` */
    const struct us_yaml *output;  /* of the template, or NULL */
    struct us_pos template_pos;
};

/* What an entry of `nodes:` became: a node, or a use of a template. */
struct us_member {
    struct us_scope *scope; /* of the template's use, else NULL */
    uint32_t draft;         /* else index in loader->drafts */
};

struct us_draft {
    struct us_node node;
    const struct us_scope *scope;
    const struct us_yaml *body;
};

struct us_loader {
    struct us_graph *graph;
    struct us_arena *arena; /* the graph's */
    const struct us_registry *registry;
    const struct us_setting *settings;
    size_t setting_count;
    const char *cwd; /* absolute: what -p paths start from */
    struct us_document document;
    struct us_scope *top;
    const char ***root_folders; /* resolved; one NULL-terminated array for each roots list */
    size_t work, text_bytes;    /* against small files that make much */
    int depth;                  /* of arguments that refer to each other */
    const struct us_argument *resolving; /* its own name in its default is the graph's parameter */
    struct us_draft *drafts;             /* us_malloc'ed */
    size_t draft_count, draft_capacity;
    size_t use_count;
};

/* load.c */
/* What relative paths in a graph file start from: the real folder it lies in. */
struct us_error *us_graph_folder(struct us_arena *arena, const char *path, const char **cwd,
                                 const char **folder) US_NODISCARD;

/* document.c */
struct us_error *us_document_read(struct us_loader *loader, const char *path) US_NODISCARD;

/* values.c */
/* Makes the scope's arguments from its declarations, with what its use and -p give. */
struct us_error *us_scope_declare(struct us_loader *loader, struct us_scope *scope) US_NODISCARD;
/* Resolves and checks every argument of a scope. */
struct us_error *us_scope_resolve(struct us_loader *loader,
                                  const struct us_scope *scope) US_NODISCARD;
/* Resolves one; does nothing when it is resolved. */
struct us_error *us_argument_resolve(struct us_loader *loader, const struct us_scope *scope,
                                     size_t index) US_NODISCARD;

/* scalar.c */
/* Puts arguments into a scalar; fails on another kind and on null. `what` names it in messages. */
struct us_error *us_scalar_read(struct us_loader *loader, const struct us_scope *scope,
                                const struct us_yaml *value, const char *what,
                                struct us_scalar *scalar) US_NODISCARD;
/* Counts one of the values that a load may touch: bounds templates times lists. */
struct us_error *us_count_work(struct us_loader *loader, size_t count,
                               struct us_pos pos) US_NODISCARD;

/* numbers.c */
/* Whole text, decimal, no spaces; false when it is none or does not fit. */
bool us_parse_int(const char *text, int64_t *value);
bool us_parse_double(const char *text, double *value);
/* "0 to 512 px", "at least 1", "at most 8 px"; "" when every number is allowed. */
const char *us_range_text(struct us_arena *arena, double min, double max, const char *unit);
/* True when min and max say something. */
bool us_range_given(double min, double max);

/* paths.c */
/* An absolute path: leading ./ and ../ folded into `folder`. */
const char *us_path_full(struct us_arena *arena, const char *folder, const char *path);
struct us_error *us_roots_prepare(struct us_loader *loader) US_NODISCARD;
/* NULL when a full path lies within the declared roots (symbolic links followed), else the list
 * that does not allow it. */
const struct us_yaml *us_roots_refuse(const struct us_loader *loader, const char *path);

/* templates.c */
/* Makes a scope's members: drafts of nodes, scopes of used templates. */
struct us_error *us_scope_expand(struct us_loader *loader, struct us_scope *scope) US_NODISCARD;
/* Checks names and keys of all templates, used or not. */
struct us_error *us_templates_check(struct us_loader *loader) US_NODISCARD;
/* Adds "in template 'faces', used as 'actor'" for each template around `scope`. */
struct us_error *us_scope_explain(const struct us_scope *scope,
                                  struct us_error *error) US_NODISCARD;

/* params.c */
/* Fills type->params_size zeroed bytes with the defaults; what they need lies in the arena. */
struct us_error *us_params_default(struct us_arena *arena, const char *folder,
                                   const struct us_node_type *type, void *params) US_NODISCARD;
size_t us_param_count(const struct us_node_type *type);
struct us_error *us_draft_fill(struct us_loader *loader, struct us_draft *draft) US_NODISCARD;

/* One number of a parameter, checked against its range. */
struct us_error *us_number_read(struct us_loader *loader, const struct us_draft *draft,
                                const struct us_param *param, const struct us_yaml *value,
                                double *number) US_NODISCARD;

/* animation.c */
struct us_error *us_animation_read(struct us_loader *loader, const struct us_draft *draft,
                                   const struct us_param *param, const struct us_yaml *map,
                                   struct us_animation *animation) US_NODISCARD;

/* links.c */
/* Connects the draft's inputs; links hold indices of drafts. */
struct us_error *us_draft_link(struct us_loader *loader, struct us_draft *draft) US_NODISCARD;
/* One reference, for `outputs:`; `wanted` is 0 when any type will do. */
struct us_error *us_link_resolve(struct us_loader *loader, const struct us_scope *scope,
                                 const struct us_yaml *value, unsigned wanted,
                                 struct us_link *link) US_NODISCARD;

/* order.c */
/* Sorts the drafts into graph->nodes; reports cycles. */
struct us_error *us_graph_order(struct us_loader *loader) US_NODISCARD;

/* names.c: messages */
/* An error at a key: "unknown key 'x'", with the nearest of `names` or all of them as the hint. */
struct us_error *us_unknown_key(struct us_loader *loader, const char *what,
                                const struct us_yaml *key, const char *const *names,
                                size_t count) US_NODISCARD;
/* Letters, digits, _ and -, not beginning with a digit or -. */
struct us_error *us_check_name(struct us_loader *loader, const char *what,
                               const struct us_yaml *key) US_NODISCARD;
/* Hints at the nearest of `names`, else lists them when they are few. */
struct us_error *us_hint_names(struct us_error *error, const char *text, const char *const *names,
                               size_t count) US_NODISCARD;
/* Text for a message: quoted, cut when long, on one line. */
const char *us_quoted(struct us_arena *arena, const char *text);
/* A list of texts: appended to, in the arena in the end. */
struct us_name_list {
    const char **items;
    size_t count, capacity;
};
void us_names_add(struct us_name_list *list, const char *name);
void us_names_add_keys(struct us_name_list *list, const struct us_yaml *map);
void us_names_finish(struct us_name_list *list);

#endif
