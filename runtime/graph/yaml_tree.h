/* A YAML file as a tree with positions. The subset: UTF-8, one document, mappings with scalar keys,
 * lists, scalars, anchors and aliases. No tags, no merge keys. Everything lives in an arena.
 *
 * Limits, against hostile files: 64 MiB a file, 1 MiB a scalar, 64 levels, 1,000,000 values with
 * aliases counted as if they were written out, 200 anchors, 100 %TAG. */
#ifndef US_RUNTIME_GRAPH_YAML_TREE_H
#define US_RUNTIME_GRAPH_YAML_TREE_H

#include <stdint.h>

#include "runtime/base/arena.h"
#include "runtime/base/error.h"
#include "runtime/base/hash.h"

enum us_yaml_kind { US_YAML_SCALAR, US_YAML_LIST, US_YAML_MAP };

struct us_yaml {
    enum us_yaml_kind kind;
    bool plain;       /* a scalar without quotes: 8 is a number, "8" is text */
    const char *text; /* of a scalar; no NUL and no control characters but tab and newline in it */
    struct us_pos pos;
    struct us_yaml **items; /* of a list, or the values of a mapping, in file order */
    struct us_yaml **keys;  /* of a mapping: scalars, all different */
    uint32_t *by_name;      /* of a mapping: indices in the order of the keys' bytes */
    size_t count;
    size_t weight; /* values in it, itself included, aliases written out */
    int height;    /* levels in it, itself included */
};

/* `file` is what positions name; it is copied. Codes: US_GRAPH. */
struct us_error *us_yaml_parse(struct us_arena *arena, const char *file, const uint8_t *bytes,
                               size_t size, struct us_yaml **root) US_NODISCARD;
/* Reads a file first; *digest is of its bytes. */
struct us_error *us_yaml_read(struct us_arena *arena, const char *path, struct us_digest *digest,
                              struct us_yaml **root) US_NODISCARD;

/* Index of a key, or -1; `map` may be NULL. */
ptrdiff_t us_yaml_index(const struct us_yaml *map, const char *key);
/* Its value, or NULL. */
const struct us_yaml *us_yaml_find(const struct us_yaml *map, const char *key);

/* Fills by_name; on a key that is there twice returns the later one, else NULL. */
const struct us_yaml *us_yaml_index_keys(struct us_arena *arena, struct us_yaml *map);

/* True for what YAML calls null: an empty plain scalar, ~ or null. */
bool us_yaml_is_null(const struct us_yaml *value);

/* "a mapping", "a list", or "text": for messages. */
const char *us_yaml_kind_name(const struct us_yaml *value);

#endif
