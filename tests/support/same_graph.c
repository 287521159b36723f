#include "tests/support/same_graph.h"

#include <string.h>

#define SAME(condition, what) \
    do {                      \
        if (!(condition)) {   \
            return what;      \
        }                     \
    } while (0)

#define SAME_PART(call)          \
    do {                         \
        const char *part = call; \
        SAME(!part, part);       \
    } while (0)

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_pos(struct us_pos a, struct us_pos b) {
    return a.line == b.line && a.column == b.column && a.length == b.length &&
           (a.line == 0 || same_text(a.file, b.file));
}

static bool same_strings(const struct us_strings *a, const struct us_strings *b) {
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = same_text(a->items[i], b->items[i]);
    }
    return same;
}

static bool same_frames(const struct us_frames *a, const struct us_frames *b) {
    bool same = a->count == b->count && a->all == b->all;
    for (size_t i = 0; same && i < a->count; i++) {
        same = us_frame_compare(a->items[i], b->items[i]) == 0;
    }
    return same;
}

static bool same_value(enum us_param_type type, const void *a, const void *b) {
    switch (type) {
    case US_PARAM_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case US_PARAM_INT:
    case US_PARAM_DOUBLE:
        return memcmp(a, b, 8) == 0;
    case US_PARAM_STRING:
    case US_PARAM_PATH:
    case US_PARAM_CHOICE:
        return same_text(*(const char *const *)a, *(const char *const *)b);
    case US_PARAM_FRAMES:
        return same_frames(a, b);
    case US_PARAM_STRINGS:
    case US_PARAM_PATHS:
        break;
    }
    return same_strings(a, b);
}

static const char *params_difference(const struct us_node *a, const struct us_node *b) {
    const struct us_param *params = a->type->params;
    for (size_t i = 0; params && params[i].name; i++) {
        size_t offset = params[i].offset;
        SAME(same_pos(a->param_pos[i], b->param_pos[i]), "the place of a parameter");
        SAME(same_value(params[i].type, (const char *)a->params + offset,
                        (const char *)b->params + offset),
             params[i].name);
    }
    return NULL;
}

static const char *animations_difference(const struct us_node *a, const struct us_node *b) {
    SAME(a->animation_count == b->animation_count, "the number of animations");
    for (size_t i = 0; i < a->animation_count; i++) {
        const struct us_animation *x = &a->animations[i], *y = &b->animations[i];
        SAME(x->param == y->param && x->linear == y->linear && x->count == y->count, "animation");
        for (size_t k = 0; k < x->count; k++) {
            SAME(x->keys[k].frame == y->keys[k].frame &&
                     memcmp(&x->keys[k].value, &y->keys[k].value, sizeof(double)) == 0,
                 "keyframe");
        }
    }
    return NULL;
}

static bool same_link(const struct us_link *a, const struct us_link *b) {
    return a->node == b->node && a->port == b->port && same_pos(a->pos, b->pos);
}

static const char *node_difference(const struct us_node *a, const struct us_node *b) {
    SAME(same_text(a->name, b->name), "name");
    SAME(a->type == b->type, "type");
    SAME(same_pos(a->pos, b->pos), "place");
    SAME(a->store == b->store, "store policy");
    SAME_PART(params_difference(a, b));
    SAME_PART(animations_difference(a, b));
    for (int i = 0; i < us_port_count(a->type->inputs); i++) {
        SAME(a->inputs[i].count == b->inputs[i].count, "the number of links");
        for (size_t k = 0; k < a->inputs[i].count; k++) {
            SAME(same_link(&a->inputs[i].links[k], &b->inputs[i].links[k]), "link");
        }
    }
    return NULL;
}

static const char *files_difference(const struct us_graph *a, const struct us_graph *b) {
    SAME(a->file_count == b->file_count, "the number of files");
    for (size_t i = 0; i < a->file_count; i++) {
        SAME(same_text(a->files[i].path, b->files[i].path), "file");
        SAME(same_text(a->files[i].real, b->files[i].real), "real path");
        SAME(us_digest_equal(&a->files[i].digest, &b->files[i].digest), "digest of a file");
    }
    return NULL;
}

const char *us_test_graph_difference(const struct us_graph *a, const struct us_graph *b) {
    SAME(a->registry == b->registry, "table of node types");
    SAME(same_text(a->path, b->path), "path");
    SAME(same_text(a->folder, b->folder), "folder");
    SAME(same_text(a->show, b->show), "show");
    SAME(a->has_roots == b->has_roots, "roots");
    SAME_PART(files_difference(a, b));
    SAME(a->node_count == b->node_count, "the number of nodes");
    for (size_t i = 0; i < a->node_count; i++) {
        SAME_PART(node_difference(&a->nodes[i], &b->nodes[i]));
    }
    SAME(a->output_count == b->output_count, "the number of outputs");
    for (size_t i = 0; i < a->output_count; i++) {
        SAME(same_link(&a->outputs[i], &b->outputs[i]), "output");
    }
    return NULL;
}
