#include "runtime/graph/yaml_tree.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"

enum {
    MOST_FILE_BYTES = 64 << 20,
    MOST_SCALAR_BYTES = 1 << 20,
    MOST_LEVELS = 64,
    MOST_VALUES = 1000000,
    MOST_ANCHORS = 200,
    MOST_ANCHOR_NAME = 100,
    MOST_DIRECTIVES = 100,
};

struct anchor {
    const char *name;
    struct us_yaml *value; /* NULL while it is being read */
};

struct builder {
    struct us_arena *arena;
    yaml_parser_t parser;
    const char *file;
    const uint8_t *bytes;
    size_t size;
    struct anchor *anchors;
    size_t anchor_count, anchor_capacity;
    size_t weight;
};

static struct us_pos pos_at(const struct builder *b, const yaml_mark_t *start,
                            const yaml_mark_t *end) {
    struct us_pos pos = {
        .file = b->file, .line = (int)start->line + 1, .column = (int)start->column + 1};
    if (end && end->line == start->line && end->column > start->column) {
        pos.length = (int)(end->column - start->column);
    }
    return pos;
}

/* For the reader's errors, which come with a byte offset only. */
static struct us_pos pos_of_offset(const struct builder *b, size_t offset) {
    struct us_pos pos = {.file = b->file, .line = 1, .column = 1};
    for (size_t i = 0; i < offset && i < b->size; i++) {
        if (b->bytes[i] == '\n') {
            pos.line++;
            pos.column = 1;
        } else if ((b->bytes[i] & 0xC0) != 0x80) {
            pos.column++;
        }
    }
    return pos;
}

static struct us_error *reader_error(const struct builder *b) {
    const yaml_parser_t *p = &b->parser;
    struct us_error *error;
    if (p->problem_value == 0) {
        error = us_fail(US_GRAPH, "a zero byte is no text");
    } else if (p->problem_value > 0) {
        error = us_fail(US_GRAPH, "byte 0x%02X does not fit here: %s", (unsigned)p->problem_value,
                        p->problem);
    } else {
        error = us_fail(US_GRAPH, "cannot read this as text: %s", p->problem);
    }
    error = us_error_hint(error, "save the file as UTF-8 text");
    return us_error_at(error, pos_of_offset(b, p->problem_offset));
}

static bool is_tab(const struct builder *b, size_t line) {
    const uint8_t *p = b->bytes, *end = b->bytes + b->size;
    for (; line && p < end; p++) {
        line -= *p == '\n';
    }
    while (p < end && *p == ' ') {
        p++;
    }
    return p < end && *p == '\t';
}

static struct us_error *parser_error(const struct builder *b) {
    const yaml_parser_t *p = &b->parser;
    if (p->error == YAML_READER_ERROR) {
        return reader_error(b);
    }
    if (p->error == YAML_MEMORY_ERROR || !p->problem) {
        return us_fail(US_RETRY, "out of memory while reading '%s'", b->file);
    }
    struct us_error *error = us_fail(US_GRAPH, "bad YAML%s%s: %s", p->context ? " " : "",
                                     p->context ? p->context : "", p->problem);
    if (is_tab(b, p->problem_mark.line)) {
        error = us_error_hint(error, "indent with spaces: YAML does not take tabs");
    }
    return us_error_at(error, pos_at(b, &p->problem_mark, NULL));
}

static struct us_error *next_event(struct builder *b, yaml_event_t *event) {
    return yaml_parser_parse(&b->parser, event) ? NULL : parser_error(b);
}

static struct us_error *check_control(const char *text, size_t length, struct us_pos pos) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7F) {
            return us_error_at(us_fail(US_GRAPH, "control character U+%04X in text", c), pos);
        }
    }
    return NULL;
}

static struct us_error *fill_scalar(struct builder *b, const yaml_event_t *event,
                                    struct us_yaml *value) {
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    if (length > MOST_SCALAR_BYTES) {
        return us_error_at(us_fail(US_GRAPH, "a text of %zu bytes is more than the %d allowed",
                                   length, MOST_SCALAR_BYTES),
                           value->pos);
    }
    US_TRY(check_control(text, length, value->pos));
    value->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    value->text = us_arena_strndup(b->arena, text, length);
    return NULL;
}

/* Counts values as if aliases were written out: that is what a walk over the tree costs. */
static struct us_error *count_values(struct builder *b, size_t weight, struct us_pos pos) {
    b->weight += weight;
    if (b->weight > MOST_VALUES) {
        return us_error_at(
            us_fail(US_GRAPH, "more than %d values, aliases written out", MOST_VALUES), pos);
    }
    return NULL;
}

static struct us_error *check_level(int level, struct us_pos pos) {
    if (level > MOST_LEVELS) {
        return us_error_at(us_fail(US_GRAPH, "nested more than %d levels deep", MOST_LEVELS), pos);
    }
    return NULL;
}

static struct us_error *use_alias(struct builder *b, const char *name, struct us_pos pos, int level,
                                  struct us_yaml **value) {
    for (size_t i = b->anchor_count; i-- > 0;) {
        const struct anchor *anchor = &b->anchors[i];
        if (strcmp(anchor->name, name) != 0) {
            continue;
        }
        if (!anchor->value) {
            return us_error_at(
                us_fail(US_GRAPH, "alias '*%.60s' stands inside its own anchor", name), pos);
        }
        US_TRY(check_level(level + anchor->value->height - 1, pos));
        *value = anchor->value;
        return count_values(b, anchor->value->weight, pos);
    }
    return us_error_at(
        us_fail(US_GRAPH, "alias '*%.60s' has no anchor '&%.60s' above it", name, name), pos);
}

static struct us_error *add_anchor(struct builder *b, const char *name, struct us_pos pos) {
    if (b->anchor_count >= MOST_ANCHORS) {
        return us_error_at(us_fail(US_GRAPH, "more than %d anchors", MOST_ANCHORS), pos);
    }
    if (strlen(name) > MOST_ANCHOR_NAME) {
        return us_error_at(us_fail(US_GRAPH, "the name of an anchor is longer than %d characters",
                                   MOST_ANCHOR_NAME),
                           pos);
    }
    us_grow(&b->anchors, &b->anchor_capacity, b->anchor_count, sizeof *b->anchors);
    b->anchors[b->anchor_count++] = (struct anchor){.name = us_arena_strdup(b->arena, name)};
    return NULL;
}

struct children {
    struct us_yaml **items;
    size_t count, capacity;
};

static void children_add(struct children *children, struct us_yaml *value) {
    us_grow(&children->items, &children->capacity, children->count, sizeof *children->items);
    children->items[children->count++] = value;
}

static struct us_error *build(struct builder *b, const yaml_event_t *event, int level,
                              struct us_yaml **value);

/* Reads children up to the end of the collection; of a mapping keys and values in turn. */
static struct us_error *read_children(struct builder *b, yaml_event_type_t end, int level,
                                      struct children *children) {
    for (;;) {
        yaml_event_t event;
        US_TRY(next_event(b, &event));
        if (event.type == end) {
            yaml_event_delete(&event);
            return NULL;
        }
        struct us_yaml *child = NULL;
        struct us_error *error = build(b, &event, level + 1, &child);
        yaml_event_delete(&event);
        US_TRY(error);
        children_add(children, child);
    }
}

static struct us_error *check_key(const struct us_yaml *key) {
    if (key->kind != US_YAML_SCALAR) {
        return us_error_at(
            us_fail(US_GRAPH, "a key is %s, it must be a name", us_yaml_kind_name(key)), key->pos);
    }
    if (key->plain && strcmp(key->text, "<<") == 0) {
        struct us_error *error =
            us_fail(US_GRAPH, "merge keys ('<<') are not part of the language");
        return us_error_at(us_error_hint(error, "share settings with a template (use:)"), key->pos);
    }
    return NULL;
}

static struct us_error *duplicate_error(const struct us_yaml *map, const struct us_yaml *key) {
    int line = 0;
    for (size_t i = 0; i < map->count && map->keys[i] != key; i++) {
        if (strcmp(map->keys[i]->text, key->text) == 0) {
            line = map->keys[i]->pos.line;
        }
    }
    return us_error_at(
        us_fail(US_GRAPH, "key '%.60s' is here twice, first on line %d", key->text, line),
        key->pos);
}

static struct us_error *split_map(struct builder *b, const struct children *children,
                                  struct us_yaml *map) {
    map->count = children->count / 2;
    map->items = us_arena_alloc(b->arena, map->count * sizeof *map->items);
    map->keys = us_arena_alloc(b->arena, map->count * sizeof *map->keys);
    for (size_t i = 0; i < map->count; i++) {
        map->keys[i] = children->items[2 * i];
        map->items[i] = children->items[2 * i + 1];
        US_TRY(check_key(map->keys[i]));
    }
    const struct us_yaml *twice = us_yaml_index_keys(b->arena, map);
    return twice ? duplicate_error(map, twice) : NULL;
}

static struct us_error *fill_collection(struct builder *b, yaml_event_type_t start, int level,
                                        struct us_yaml *value) {
    struct children children = {0};
    bool is_map = start == YAML_MAPPING_START_EVENT;
    value->kind = is_map ? US_YAML_MAP : US_YAML_LIST;
    struct us_error *error = read_children(
        b, is_map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT, level, &children);
    for (size_t i = 0; i < children.count && !error; i++) {
        const struct us_yaml *child = children.items[i];
        value->weight += child->weight;
        value->height = child->height >= value->height ? child->height + 1 : value->height;
    }
    if (!error && is_map) {
        error = split_map(b, &children, value);
    } else if (!error) {
        value->count = children.count;
        value->items = us_arena_alloc(b->arena, children.count * sizeof *value->items);
        if (children.count) {
            memcpy(value->items, children.items, children.count * sizeof *value->items);
        }
    }
    us_free(children.items);
    return error;
}

static void anchor_and_tag(const yaml_event_t *event, const char **anchor, const char **tag) {
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        *anchor = (const char *)event->data.scalar.anchor;
        *tag = (const char *)event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        *anchor = (const char *)event->data.sequence_start.anchor;
        *tag = (const char *)event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        *anchor = (const char *)event->data.mapping_start.anchor;
        *tag = (const char *)event->data.mapping_start.tag;
        break;
    default:
        break;
    }
}

static struct us_error *build_value(struct builder *b, const yaml_event_t *event, int level,
                                    struct us_yaml *value) {
    const char *anchor = NULL, *tag = NULL;
    anchor_and_tag(event, &anchor, &tag);
    if (tag) {
        static const char standard[] = "tag:yaml.org,2002:";
        bool is_standard = us_str_starts(tag, standard);
        struct us_error *error =
            us_fail(US_GRAPH, "tag '%s%.60s' is not part of the language", is_standard ? "!!" : "",
                    tag + (is_standard ? sizeof standard - 1 : 0));
        return us_error_at(us_error_hint(error, "leave it out"), value->pos);
    }
    size_t own_anchor = b->anchor_count;
    if (anchor) {
        US_TRY(add_anchor(b, anchor, value->pos));
    }
    US_TRY(event->type == YAML_SCALAR_EVENT ? fill_scalar(b, event, value)
                                            : fill_collection(b, event->type, level, value));
    if (anchor) {
        b->anchors[own_anchor].value = value;
    }
    return NULL;
}

static struct us_error *build(struct builder *b, const yaml_event_t *event, int level,
                              struct us_yaml **made) {
    bool scalar = event->type == YAML_SCALAR_EVENT || event->type == YAML_ALIAS_EVENT;
    struct us_pos pos = pos_at(b, &event->start_mark, scalar ? &event->end_mark : NULL);
    US_TRY(check_level(level, pos));
    if (event->type == YAML_ALIAS_EVENT) {
        return use_alias(b, (const char *)event->data.alias.anchor, pos, level, made);
    }
    US_TRY(count_values(b, 1, pos));
    struct us_yaml *value = us_arena_alloc(b->arena, sizeof *value);
    *value = (struct us_yaml){.pos = pos, .weight = 1, .height = 1};
    US_TRY(build_value(b, event, level, value));
    *made = value;
    return NULL;
}

/* Stream start, document start, one value, document end, stream end. */
static struct us_error *read_document(struct builder *b, struct us_yaml **root) {
    for (;;) {
        yaml_event_t event;
        US_TRY(next_event(b, &event));
        struct us_error *error = NULL;
        yaml_event_type_t type = event.type;
        struct us_pos pos = pos_at(b, &event.start_mark, NULL);
        if (type == YAML_DOCUMENT_START_EVENT && *root) {
            error = us_error_at(us_fail(US_GRAPH, "a second document begins here"), pos);
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
                   type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT) {
            error = build(b, &event, 1, root);
        }
        yaml_event_delete(&event);
        US_TRY(error);
        if (type == YAML_STREAM_END_EVENT) {
            break;
        }
    }
    if (!*root) {
        return us_error_at(us_fail(US_GRAPH, "the file is empty"),
                           (struct us_pos){.file = b->file, .line = 1, .column = 1});
    }
    return NULL;
}

/* libyaml compares each %TAG with all before it: a file of them would take hours. */
static struct us_error *count_directives(const struct builder *b) {
    const uint8_t *p = b->bytes, *end = b->bytes + b->size;
    for (int count = 0; (p = memmem(p, (size_t)(end - p), "%TAG", 4)) != NULL; p += 4) {
        if (++count > MOST_DIRECTIVES) {
            return us_error_at(us_fail(US_GRAPH, "more than %d times %%TAG", MOST_DIRECTIVES),
                               pos_of_offset(b, (size_t)(p - b->bytes)));
        }
    }
    return NULL;
}

struct us_error *us_yaml_parse(struct us_arena *arena, const char *file, const uint8_t *bytes,
                               size_t size, struct us_yaml **root) {
    if (size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) {
        bytes += 3;
        size -= 3;
    }
    struct builder b = {.arena = arena, .bytes = bytes, .size = size};
    b.file = us_arena_strdup(arena, file);
    *root = NULL;
    US_TRY(count_directives(&b));
    if (!yaml_parser_initialize(&b.parser)) {
        return us_fail(US_RETRY, "out of memory while reading '%s'", file);
    }
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, bytes, size);
    struct us_error *error = read_document(&b, root);
    yaml_parser_delete(&b.parser);
    us_free(b.anchors);
    if (error) {
        *root = NULL;
    }
    return error;
}

struct us_error *us_yaml_read(struct us_arena *arena, const char *path, struct us_digest *digest,
                              struct us_yaml **root) {
    uint8_t *bytes;
    size_t size;
    US_TRY(us_read_file(path, MOST_FILE_BYTES, &bytes, &size));
    *digest = us_digest_of(bytes, size);
    struct us_error *error = us_yaml_parse(arena, path, bytes, size, root);
    us_free(bytes);
    return error;
}

ptrdiff_t us_yaml_index(const struct us_yaml *map, const char *key) {
    size_t low = 0, high = map && map->kind == US_YAML_MAP ? map->count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t index = map->by_name[middle];
        int order = strcmp(map->keys[index]->text, key);
        if (order == 0) {
            return (ptrdiff_t)index;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return -1;
}

const struct us_yaml *us_yaml_find(const struct us_yaml *map, const char *key) {
    ptrdiff_t index = us_yaml_index(map, key);
    return index < 0 ? NULL : map->items[index];
}

static int compare_keys(const void *a, const void *b, void *map_address) {
    const struct us_yaml *map = map_address;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    int order = strcmp(map->keys[i]->text, map->keys[j]->text);
    return order ? order : (i > j) - (i < j);
}

const struct us_yaml *us_yaml_index_keys(struct us_arena *arena, struct us_yaml *map) {
    map->by_name = us_arena_alloc(arena, map->count * sizeof *map->by_name);
    for (size_t i = 0; i < map->count; i++) {
        map->by_name[i] = (uint32_t)i;
    }
    if (map->count) {
        qsort_r(map->by_name, map->count, sizeof *map->by_name, compare_keys, map);
    }
    for (size_t i = 1; i < map->count; i++) {
        const struct us_yaml *key = map->keys[map->by_name[i]];
        if (strcmp(map->keys[map->by_name[i - 1]]->text, key->text) == 0) {
            return key;
        }
    }
    return NULL;
}

bool us_yaml_is_null(const struct us_yaml *value) {
    return value->kind == US_YAML_SCALAR && value->plain &&
           (value->text[0] == '\0' || strcmp(value->text, "~") == 0 ||
            strcmp(value->text, "null") == 0);
}

const char *us_yaml_kind_name(const struct us_yaml *value) {
    static const char *const names[] = {"text", "a list", "a mapping"};
    return names[value->kind];
}
