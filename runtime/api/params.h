/* Typed parameters. One table per node type gives parsing, range checks, defaults, documentation,
 * JSON Schema and the cache key.
 *
 *     struct blur_params { double size; const char *filter; };
 *     #define PARAMS struct blur_params
 *     static const struct us_param params[] = {
 *         US_DOUBLE(PARAMS, size, 10.0, 0.0, 512.0, "px", "Width of the blur."),
 *         US_CHOICE(PARAMS, filter, "gauss", filters, "Shape of the blur."),
 *         US_PARAMS_END};
 *
 * Field types: bool -> bool, int -> int64_t, double -> double, string/path/choice -> const char *,
 * frames -> struct us_frames, strings/paths -> struct us_strings. The runtime fills and frees them.
 */
#ifndef US_RUNTIME_API_PARAMS_H
#define US_RUNTIME_API_PARAMS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/frames.h"

enum us_param_type {
    US_PARAM_BOOL,
    US_PARAM_INT,
    US_PARAM_DOUBLE, /* may be animated: only its value at a frame enters that frame's key */
    US_PARAM_STRING,
    US_PARAM_PATH, /* made absolute against the graph file's folder; never itself in a key */
    US_PARAM_CHOICE,
    US_PARAM_FRAMES,  /* never itself in a key: it decides which tasks there are */
    US_PARAM_STRINGS, /* a list; a single string is a list of one */
    US_PARAM_PATHS,
};

struct us_strings {
    const char **items;
    size_t count;
};

/* How a parameter bears on identity. */
enum us_param_role {
    US_KEYED,     /* changes results: in every key */
    US_UNKEYED,   /* changes no result: in no key (threads, preview intervals, output paths) */
    US_EXTENDING, /* in the key, but work done under another value is continued (training steps):
                     left out of the workspace's key */
};

struct us_param {
    const char *name, *doc; /* a dot in the name is a nested mapping in YAML: until.loss */
    enum us_param_type type;
    size_t offset;
    double number;    /* default of bool, int and double; NAN in a double means "not set" */
    const char *text; /* default of string, path, choice, frames; NULL means "not set" */
    double min, max;  /* of int and double, inclusive */
    const char *unit; /* "" when it has none */
    const char *const *choices; /* NULL-terminated */
    bool required;
    enum us_param_role role;
    bool neutral; /* left out of keys at its default: a parameter added later keeps old keys */
};

#define US_PARAM_FIELD_(params_type, field, c_type) \
    (offsetof(params_type, field) + 0 * sizeof(_Generic(((params_type *)0)->field, c_type : 1)))

#define US_BOOL(S, field, def, text_)                                                     \
    {                                                                                     \
        .name = #field, .type = US_PARAM_BOOL, .offset = US_PARAM_FIELD_(S, field, bool), \
        .number = (def), .unit = "", .doc = text_                                         \
    }
#define US_INT(S, field, def, low, high, unit_, text_)                                      \
    {                                                                                       \
        .name = #field, .type = US_PARAM_INT, .offset = US_PARAM_FIELD_(S, field, int64_t), \
        .number = (def), .min = (low), .max = (high), .unit = unit_, .doc = text_           \
    }
#define US_DOUBLE(S, field, def, low, high, unit_, text_)                                     \
    {                                                                                         \
        .name = #field, .type = US_PARAM_DOUBLE, .offset = US_PARAM_FIELD_(S, field, double), \
        .number = (def), .min = (low), .max = (high), .unit = unit_, .doc = text_             \
    }
#define US_STRING(S, field, def, text_)                                                            \
    {                                                                                              \
        .name = #field, .type = US_PARAM_STRING,                                                   \
        .offset = US_PARAM_FIELD_(S, field, const char *), .text = (def), .unit = "", .doc = text_ \
    }
#define US_PATH(S, field, def, text_)                                                             \
    {                                                                                             \
        .name = #field, .type = US_PARAM_PATH, .offset = US_PARAM_FIELD_(S, field, const char *), \
        .text = (def), .unit = "", .doc = text_                                                   \
    }
#define US_CHOICE(S, field, def, choices_, text_)                                              \
    {                                                                                          \
        .name = #field, .type = US_PARAM_CHOICE,                                               \
        .offset = US_PARAM_FIELD_(S, field, const char *), .text = (def), .choices = choices_, \
        .unit = "", .doc = text_                                                               \
    }
#define US_FRAMES(S, field, def, text_)                                                   \
    {                                                                                     \
        .name = #field, .type = US_PARAM_FRAMES,                                          \
        .offset = US_PARAM_FIELD_(S, field, struct us_frames), .text = (def), .unit = "", \
        .doc = text_                                                                      \
    }
#define US_STRINGS(S, field, text_)                                                      \
    {                                                                                    \
        .name = #field, .type = US_PARAM_STRINGS,                                        \
        .offset = US_PARAM_FIELD_(S, field, struct us_strings), .unit = "", .doc = text_ \
    }
#define US_PATHS(S, field, text_)                                                        \
    {                                                                                    \
        .name = #field, .type = US_PARAM_PATHS,                                          \
        .offset = US_PARAM_FIELD_(S, field, struct us_strings), .unit = "", .doc = text_ \
    }
/* For further members of a row (required, role, neutral, a dotted name) write the row out. */
#define US_PARAMS_END \
    { .name = NULL }

#endif
