#include <limits.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/graph/compiled.h"
#include "runtime/graph/compiled_form.h"
#include "runtime/graph/loader.h"

enum { USUAL_NODE = 400 }; /* bytes that a node takes with its parameters and links */

/* A node type while its nodes are read: what would be counted again for each. */
struct thawed_type {
    const struct us_node_type *type; /* NULL: not met yet */
    size_t params, inputs, outputs;
    size_t room;    /* params_size, rounded so that the next struct is aligned */
    void *defaults; /* params_size bytes */
};

/* Reading goes on after a fault with zeros, which every loop ends on; `bad` says so in the end. */
struct thawing {
    const uint8_t *at, *end;
    bool bad;
    struct us_graph *graph;
    const char *texts; /* ends with a NUL */
    size_t text_size;
    struct thawed_type *types; /* one a type of the registry */
    int64_t last_line;
    size_t frames; /* in all ranges, against small bytes that make much */
    /* What is left of the arrays that nodes take their parts of. */
    char *params;
    struct us_pos *param_pos;
    struct us_node_input *inputs;
    struct us_link *links;
    size_t link_count;
};

static size_t left(const struct thawing *t) {
    return (size_t)(t->end - t->at);
}

static uint64_t take(struct thawing *t) {
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && t->at < t->end; shift += 7) {
        uint8_t byte = *t->at++;
        number |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            return number;
        }
    }
    t->bad = true;
    t->at = t->end;
    return 0;
}

static int64_t take_signed(struct thawing *t) {
    uint64_t number = take(t);
    return (int64_t)(number >> 1 ^ (0 - (number & 1)));
}

/* A number of at most `most`. */
static uint64_t take_most(struct thawing *t, uint64_t most) {
    uint64_t number = take(t);
    if (number > most) {
        t->bad = true;
        return 0;
    }
    return number;
}

/* How many things follow that take a byte each at least. */
static size_t take_count(struct thawing *t) {
    uint64_t count = take(t);
    if (count > left(t)) {
        t->bad = true;
        return 0;
    }
    return (size_t)count;
}

static double take_double(struct thawing *t) {
    uint64_t bits = 0;
    if (left(t) < 8) {
        t->bad = true;
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        bits |= (uint64_t)*t->at++ << (8 * i);
    }
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static struct us_digest take_digest(struct thawing *t) {
    struct us_digest digest = {{0}};
    if (left(t) < sizeof digest.bytes) {
        t->bad = true;
        return digest;
    }
    memcpy(digest.bytes, t->at, sizeof digest.bytes);
    t->at += sizeof digest.bytes;
    return digest;
}

static const char *take_text(struct thawing *t) {
    return t->texts + take_most(t, t->text_size - 1);
}

static struct us_pos take_pos(struct thawing *t) {
    size_t file = (size_t)take_most(t, t->graph->file_count);
    if (!file) {
        return (struct us_pos){0};
    }
    int64_t step = take_signed(t);
    bool fits = step > -INT_MAX && step < INT_MAX && t->last_line + step > 0 &&
                t->last_line + step <= INT_MAX;
    t->bad = t->bad || !fits;
    t->last_line = fits ? t->last_line + step : 1;
    return (struct us_pos){.file = t->graph->files[file - 1].path,
                           .line = (int)t->last_line,
                           .column = (int)take_most(t, INT_MAX),
                           .length = (int)take_most(t, INT_MAX)};
}

/* One run of frames; each must follow the one before. */
static size_t take_run(struct thawing *t, struct us_frame *items, size_t at, size_t count) {
    int64_t frame_take = take_signed(t), first = take_signed(t);
    int64_t step = (int64_t)take_most(t, UINT32_MAX);
    size_t run = (size_t)take_most(t, count - at);
    bool fits = run && step && frame_take >= INT32_MIN && frame_take <= INT32_MAX &&
                first >= INT32_MIN && first <= INT32_MAX &&
                first + step * (int64_t)(run - 1) <= INT32_MAX;
    if (!fits) {
        t->bad = true;
        return count - at;
    }
    for (size_t i = 0; i < run; i++) {
        items[at + i] = (struct us_frame){.take = (int32_t)frame_take,
                                          .number = (int32_t)(first + step * (int64_t)i)};
    }
    t->bad = t->bad || (at && us_frame_compare(items[at - 1], items[at]) >= 0);
    return run;
}

static void take_frames(struct thawing *t, struct us_frames *frames) {
    *frames = (struct us_frames){.all = take_most(t, 1)};
    size_t count = (size_t)take_most(t, US_MOST_WORK - t->frames);
    t->frames += count;
    frames->count = count;
    frames->items = us_arena_alloc(&t->graph->arena, count * sizeof *frames->items);
    for (size_t i = 0; i < count;) {
        i += take_run(t, frames->items, i, count);
    }
}

static void take_strings(struct thawing *t, struct us_strings *strings) {
    strings->count = take_count(t);
    strings->items = us_arena_alloc(&t->graph->arena, strings->count * sizeof *strings->items);
    for (size_t i = 0; i < strings->count; i++) {
        strings->items[i] = take_text(t);
    }
}

static const char *take_choice(struct thawing *t, const struct us_param *param) {
    uint64_t index = take(t);
    for (uint64_t i = 0; index && param->choices && param->choices[i]; i++) {
        if (i + 1 == index) {
            return param->choices[i];
        }
    }
    t->bad = t->bad || index;
    return NULL;
}

static void take_value(struct thawing *t, const struct us_param *param, void *field) {
    switch (param->type) {
    case US_PARAM_BOOL:
        *(bool *)field = take_most(t, 1);
        break;
    case US_PARAM_INT:
        *(int64_t *)field = take_signed(t);
        break;
    case US_PARAM_DOUBLE:
        *(double *)field = take_double(t);
        break;
    case US_PARAM_STRING:
    case US_PARAM_PATH:
        *(const char **)field = take_most(t, 1) ? take_text(t) : NULL;
        break;
    case US_PARAM_CHOICE:
        *(const char **)field = take_choice(t, param);
        break;
    case US_PARAM_FRAMES:
        take_frames(t, field);
        break;
    case US_PARAM_STRINGS:
    case US_PARAM_PATHS:
        take_strings(t, field);
        break;
    }
}

static void take_params(struct thawing *t, const struct thawed_type *type, struct us_node *node) {
    node->params = t->params;
    node->param_pos = t->param_pos;
    t->params += type->room;
    t->param_pos += type->params;
    if (type->type->params_size) {
        memcpy(node->params, type->defaults, type->type->params_size);
    }
    size_t given = (size_t)take_most(t, type->params);
    for (size_t i = 0; i < given && !t->bad; i++) {
        size_t index = (size_t)take_most(t, type->params - 1);
        const struct us_param *param = &type->type->params[index];
        node->param_pos[index] = take_pos(t);
        t->bad = t->bad || !node->param_pos[index].line;
        take_value(t, param, (char *)node->params + param->offset);
    }
}

static void take_animation(struct thawing *t, const struct thawed_type *type,
                           struct us_animation *animation) {
    animation->param = (uint32_t)take_most(t, type->params - 1);
    animation->linear = take_most(t, 1);
    animation->count = take_count(t);
    animation->keys =
        us_arena_alloc(&t->graph->arena, animation->count * sizeof(struct us_keyframe));
    int64_t before = INT64_MIN;
    for (size_t i = 0; i < animation->count; i++) {
        int64_t frame = take_signed(t);
        t->bad = t->bad || frame <= before || frame < INT32_MIN || frame > INT32_MAX;
        animation->keys[i].frame = t->bad ? 0 : (int32_t)frame;
        animation->keys[i].value = take_double(t);
        before = frame;
    }
    t->bad =
        t->bad || !animation->count || type->type->params[animation->param].type != US_PARAM_DOUBLE;
}

static void take_animations(struct thawing *t, const struct thawed_type *type,
                            struct us_node *node) {
    size_t count = (size_t)take_most(t, type->params);
    node->animations = us_arena_alloc(&t->graph->arena, count * sizeof *node->animations);
    node->animation_count = count;
    for (size_t i = 0; i < count && !t->bad; i++) {
        take_animation(t, type, &node->animations[i]);
    }
}

/* A link of the node at `from`; `wanted` 0 takes any data. */
static struct us_link take_link(struct thawing *t, size_t from, unsigned wanted) {
    struct us_link link = {0};
    size_t back = (size_t)take_most(t, from);
    if (!back) {
        t->bad = true;
        return link;
    }
    link.node = (uint32_t)(from - back);
    const struct us_node_type *type = t->graph->nodes[link.node].type;
    link.port = (uint32_t)take_most(t, UINT32_MAX);
    link.pos = take_pos(t);
    size_t ports = (size_t)us_port_count(type->outputs);
    t->bad = t->bad || link.port >= ports || (wanted && !(type->outputs[link.port].data & wanted));
    return link;
}

static void take_inputs(struct thawing *t, const struct thawed_type *type, size_t index) {
    struct us_node *node = &t->graph->nodes[index];
    node->inputs = t->inputs;
    t->inputs += type->inputs;
    for (size_t i = 0; i < type->inputs && !t->bad; i++) {
        const struct us_port *port = &type->type->inputs[i];
        size_t count = (size_t)take_most(t, port->list ? t->link_count : 1);
        if (count > t->link_count || (!count && !port->optional)) {
            t->bad = true;
            return;
        }
        node->inputs[i] = (struct us_node_input){.links = count ? t->links : NULL, .count = count};
        t->links += count;
        t->link_count -= count;
        for (size_t k = 0; k < count; k++) {
            node->inputs[i].links[k] = take_link(t, index, port->data);
        }
    }
}

static void take_node(struct thawing *t, size_t index) {
    struct us_node *node = &t->graph->nodes[index];
    const struct thawed_type *type = NULL;
    for (size_t i = 0; !type; i++) {
        type = t->types[i].type == node->type ? &t->types[i] : NULL;
    }
    unsigned bits = (unsigned)take_most(t, 7);
    t->bad = t->bad || (bits & US_COMPILED_STORE) > US_STORE_DROP;
    node->store = (enum us_store_policy)(bits & US_COMPILED_STORE);
    node->name = take_text(t);
    node->pos = take_pos(t);
    take_params(t, type, node);
    if (bits & US_COMPILED_ANIMATED && type->params) {
        take_animations(t, type, node);
    }
    take_inputs(t, type, index);
    struct us_error *error = !t->bad && node->type->check ? node->type->check(node->params) : NULL;
    t->bad = t->bad || error;
    us_error_free(error);
}

static void meet_type(struct thawing *t, struct thawed_type *made,
                      const struct us_node_type *type) {
    made->type = type;
    made->params = us_param_count(type);
    made->inputs = (size_t)us_port_count(type->inputs);
    made->room = (type->params_size + 15) & ~(size_t)15;
    made->defaults = us_arena_alloc(&t->graph->arena, type->params_size);
    struct us_error *error =
        us_params_default(&t->graph->arena, t->graph->folder, type, made->defaults);
    t->bad = t->bad || error;
    us_error_free(error);
}

/* The types of all nodes; then room for what the nodes hold. */
static void take_types(struct thawing *t) {
    struct us_graph *graph = t->graph;
    size_t params = 0, param_pos = 0, inputs = 0;
    for (size_t i = 0; i < graph->node_count && !t->bad; i++) {
        size_t index = (size_t)take_most(t, graph->registry->count - 1);
        struct thawed_type *type = &t->types[index];
        if (!type->type) {
            meet_type(t, type, graph->registry->types[index]);
        }
        graph->nodes[i].type = type->type;
        params += type->room;
        param_pos += type->params;
        inputs += type->inputs;
    }
    t->link_count = take_count(t);
    if (!t->bad) {
        t->params = us_arena_alloc(&graph->arena, params);
        t->param_pos = us_arena_alloc(&graph->arena, param_pos * sizeof *t->param_pos);
        t->inputs = us_arena_alloc(&graph->arena, inputs * sizeof *t->inputs);
        t->links = us_arena_alloc(&graph->arena, t->link_count * sizeof *t->links);
    }
}

static void take_texts(struct thawing *t) {
    t->text_size = take_count(t);
    if (!t->text_size || t->at[t->text_size - 1] != '\0') {
        t->bad = true;
        t->texts = "";
        t->text_size = 1;
        return;
    }
    char *texts = us_arena_alloc(&t->graph->arena, t->text_size);
    memcpy(texts, t->at, t->text_size);
    t->texts = texts;
    t->at += t->text_size;
}

static void take_files(struct thawing *t) {
    struct us_graph *graph = t->graph;
    size_t count = (size_t)take_most(t, US_MOST_FILES);
    graph->files = us_arena_alloc(&graph->arena, count * sizeof *graph->files);
    for (size_t i = 0; i < count && !t->bad; i++) {
        struct us_graph_file *file = &graph->files[i];
        file->path = take_text(t);
        file->real = take_text(t);
        file->digest = take_digest(t);
    }
    graph->file_count = count;
}

static void take_graph(struct thawing *t) {
    struct us_graph *graph = t->graph;
    take_texts(t);
    graph->path = take_text(t);
    graph->folder = take_text(t);
    graph->show = take_text(t);
    graph->has_roots = take_most(t, 1);
    take_files(t);
    graph->node_count = (size_t)take_most(t, left(t) < US_MOST_NODES ? left(t) : US_MOST_NODES);
    us_arena_reserve(&graph->arena, graph->node_count * USUAL_NODE);
    graph->nodes = us_arena_alloc(&graph->arena, graph->node_count * sizeof *graph->nodes);
    take_types(t);
    for (size_t i = 0; i < graph->node_count && !t->bad; i++) {
        take_node(t, i);
    }
    graph->output_count = t->bad ? 0 : take_count(t);
    graph->outputs = us_arena_alloc(&graph->arena, graph->output_count * sizeof *graph->outputs);
    for (size_t i = 0; i < graph->output_count && !t->bad; i++) {
        graph->outputs[i] = take_link(t, graph->node_count, 0);
    }
    t->bad = t->bad || t->at != t->end;
}

static bool is_ours(const struct us_registry *registry, const uint8_t *bytes, size_t size) {
    struct us_digest fingerprint, checksum;
    if (size < US_COMPILED_HEADER ||
        memcmp(bytes, US_COMPILED_MAGIC, US_COMPILED_FINGERPRINT) != 0 ||
        !us_compiled_fingerprint(registry, &fingerprint) ||
        memcmp(bytes + US_COMPILED_FINGERPRINT, fingerprint.bytes, sizeof fingerprint.bytes) != 0) {
        return false;
    }
    checksum = us_digest_of(bytes + US_COMPILED_HEADER, size - US_COMPILED_HEADER);
    return memcmp(bytes + US_COMPILED_CHECKSUM, checksum.bytes, sizeof checksum.bytes) == 0;
}

struct us_graph *us_graph_thaw(const struct us_registry *registry, const void *bytes, size_t size) {
    if (!is_ours(registry, bytes, size)) {
        return NULL;
    }
    struct us_graph *graph = us_calloc(1, sizeof *graph);
    const uint8_t *start = bytes;
    struct thawing t = {.at = start + US_COMPILED_HEADER, .end = start + size, .graph = graph};
    graph->registry = registry;
    t.types = us_calloc(registry->count, sizeof *t.types);
    take_graph(&t);
    us_free(t.types);
    if (t.bad) {
        us_graph_destroy(graph);
        return NULL;
    }
    return graph;
}
