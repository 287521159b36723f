#include "tests/support/same_graph.h"

#include <string.h>

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

static uint64_t bits_of(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static bool same_value(enum us_param_type type, const void *a, const void *b) {
    switch (type) {
    case US_PARAM_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case US_PARAM_INT:
        return *(const int64_t *)a == *(const int64_t *)b;
    case US_PARAM_DOUBLE:
        return bits_of(*(const double *)a) == bits_of(*(const double *)b);
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
        if (!same_pos(a->param_pos[i], b->param_pos[i]) ||
            !same_value(params[i].type, (const char *)a->params + offset,
                        (const char *)b->params + offset)) {
            return params[i].name;
        }
    }
    return NULL;
}

static bool same_animation(const struct us_animation *a, const struct us_animation *b) {
    bool same = a->param == b->param && a->linear == b->linear && a->count == b->count;
    for (size_t k = 0; same && k < a->count; k++) {
        same = a->keys[k].frame == b->keys[k].frame &&
               bits_of(a->keys[k].value) == bits_of(b->keys[k].value);
    }
    return same;
}

static bool same_animations(const struct us_node *a, const struct us_node *b) {
    bool same = a->animation_count == b->animation_count;
    for (size_t i = 0; same && i < a->animation_count; i++) {
        same = same_animation(&a->animations[i], &b->animations[i]);
    }
    return same;
}

static bool same_links(const struct us_link *a, const struct us_link *b, size_t count) {
    bool same = true;
    for (size_t i = 0; same && i < count; i++) {
        same = a[i].node == b[i].node && a[i].port == b[i].port && same_pos(a[i].pos, b[i].pos);
    }
    return same;
}

static bool same_inputs(const struct us_node *a, const struct us_node *b) {
    bool same = true;
    for (int i = 0; same && i < us_port_count(a->type->inputs); i++) {
        same = a->inputs[i].count == b->inputs[i].count &&
               same_links(a->inputs[i].links, b->inputs[i].links, a->inputs[i].count);
    }
    return same;
}

static const char *node_difference(const struct us_node *a, const struct us_node *b) {
    if (!same_text(a->name, b->name) || a->type != b->type || a->store != b->store) {
        return "name, type or store policy";
    }
    if (!same_pos(a->pos, b->pos)) {
        return "place";
    }
    if (!same_animations(a, b)) {
        return "animation";
    }
    return same_inputs(a, b) ? params_difference(a, b) : "link";
}

static bool same_files(const struct us_graph *a, const struct us_graph *b) {
    bool same = a->file_count == b->file_count;
    for (size_t i = 0; same && i < a->file_count; i++) {
        same = same_text(a->files[i].path, b->files[i].path) &&
               same_text(a->files[i].real, b->files[i].real) &&
               us_digest_equal(&a->files[i].digest, &b->files[i].digest);
    }
    return same;
}

static bool same_head(const struct us_graph *a, const struct us_graph *b) {
    return a->registry == b->registry && same_text(a->path, b->path) &&
           same_text(a->folder, b->folder) && same_text(a->show, b->show) &&
           a->has_roots == b->has_roots;
}

const char *us_test_graph_difference(const struct us_graph *a, const struct us_graph *b) {
    if (!same_head(a, b)) {
        return "registry, path, folder, show or roots";
    }
    if (!same_files(a, b)) {
        return "file";
    }
    if (a->node_count != b->node_count || a->output_count != b->output_count ||
        !same_links(a->outputs, b->outputs, a->output_count)) {
        return "the number of nodes, or outputs";
    }
    const char *difference = NULL;
    for (size_t i = 0; i < a->node_count && !difference; i++) {
        difference = node_difference(&a->nodes[i], &b->nodes[i]);
    }
    return difference;
}
