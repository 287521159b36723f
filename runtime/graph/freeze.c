#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/graph/compiled.h"
#include "runtime/graph/compiled_form.h"
#include "runtime/graph/loader.h"

/* Texts that were seen, each once; a slot holds the text's place in `texts` + 1. */
struct text_table {
    struct us_str texts;
    uint32_t *slots;
    size_t count, capacity; /* a power of two */
};

struct freezing {
    const struct us_graph *graph;
    struct us_str body;
    struct text_table table;
    size_t last_file; /* of the position before: the next one is likely in the same */
    int last_line;
};

static void put(struct freezing *f, uint64_t number) {
    char bytes[10];
    size_t length = 0;
    for (; number >= 0x80; number >>= 7) {
        bytes[length++] = (char)(number | 0x80);
    }
    bytes[length++] = (char)number;
    us_str_append_bytes(&f->body, bytes, length);
}

static void put_signed(struct freezing *f, int64_t number) {
    put(f, (uint64_t)number << 1 ^ (uint64_t)(number < 0 ? -1 : 0));
}

static void put_double(struct freezing *f, double number) {
    uint64_t bits;
    char bytes[8];
    memcpy(&bits, &number, sizeof bits);
    for (int i = 0; i < 8; i++) {
        bytes[i] = (char)(bits >> (8 * i));
    }
    us_str_append_bytes(&f->body, bytes, sizeof bytes);
}

static size_t slot_of(const struct text_table *table, const char *text, size_t length) {
    struct us_digest digest = us_digest_of(text, length);
    size_t slot;
    memcpy(&slot, digest.bytes, sizeof slot);
    for (;; slot++) {
        uint32_t at = table->slots[slot & (table->capacity - 1)];
        if (!at || strcmp(us_str_text(&table->texts) + at - 1, text) == 0) {
            return slot & (table->capacity - 1);
        }
    }
}

static void grow_table(struct text_table *table) {
    uint32_t *old = table->slots;
    size_t old_capacity = table->capacity;
    table->capacity = old_capacity ? 2 * old_capacity : 256;
    table->slots = us_calloc(table->capacity, sizeof *table->slots);
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i]) {
            const char *text = table->texts.data + old[i] - 1;
            table->slots[slot_of(table, text, strlen(text))] = old[i];
        }
    }
    us_free(old);
}

static void put_text(struct freezing *f, const char *text) {
    struct text_table *table = &f->table;
    if (2 * table->count >= table->capacity) {
        grow_table(table);
    }
    size_t length = strlen(text), slot = slot_of(table, text, length);
    if (!table->slots[slot]) {
        table->slots[slot] = (uint32_t)table->texts.length + 1;
        table->count++;
        us_str_append_bytes(&table->texts, text, length + 1);
    }
    put(f, table->slots[slot] - 1);
}

/* 0 is NULL. */
static void put_optional_text(struct freezing *f, const char *text) {
    put(f, text != NULL);
    if (text) {
        put_text(f, text);
    }
}

/* Index of the file + 1, or 0 for a place that is none. */
static size_t file_of(struct freezing *f, struct us_pos pos) {
    const struct us_graph *graph = f->graph;
    if (pos.line <= 0 || !pos.file) {
        return 0;
    }
    for (size_t i = 0; i < graph->file_count; i++) {
        size_t at = (f->last_file + i) % graph->file_count;
        if (strcmp(graph->files[at].path, pos.file) == 0) {
            f->last_file = at;
            return at + 1;
        }
    }
    US_BUG("a place in '%s', which is no file of the graph", pos.file);
}

static void put_pos(struct freezing *f, struct us_pos pos) {
    size_t file = file_of(f, pos);
    put(f, file);
    if (file) {
        put_signed(f, (int64_t)pos.line - f->last_line);
        put(f, (uint64_t)pos.column);
        put(f, (uint64_t)pos.length);
        f->last_line = pos.line;
    }
}

static void put_digest(struct freezing *f, const struct us_digest *digest) {
    us_str_append_bytes(&f->body, digest->bytes, sizeof digest->bytes);
}

/* Runs of a first frame, a step and a count within a take. */
static void put_frames(struct freezing *f, const struct us_frames *frames) {
    put(f, frames->all);
    put(f, frames->count);
    for (size_t i = 0, run; i < frames->count; i += run) {
        const struct us_frame *first = &frames->items[i];
        size_t left = frames->count - i;
        bool paired = left > 1 && first[1].take == first->take;
        int64_t step = paired ? (int64_t)first[1].number - first->number : 1;
        for (run = 1; run < left && first[run].take == first->take &&
                      (int64_t)first[run].number - first[run - 1].number == step;) {
            run++;
        }
        put_signed(f, first->take);
        put_signed(f, first->number);
        put(f, (uint64_t)step);
        put(f, run);
    }
}

/* The choice's index + 1; 0 is NULL. */
static void put_choice(struct freezing *f, const struct us_param *param, const char *text) {
    uint64_t index = 0;
    for (size_t i = 0; text && param->choices && param->choices[i]; i++) {
        index = strcmp(param->choices[i], text) == 0 ? i + 1 : index;
    }
    put(f, index);
}

static void put_value(struct freezing *f, const struct us_param *param, const void *field) {
    switch (param->type) {
    case US_PARAM_BOOL:
        put(f, *(const bool *)field);
        break;
    case US_PARAM_INT:
        put_signed(f, *(const int64_t *)field);
        break;
    case US_PARAM_DOUBLE:
        put_double(f, *(const double *)field);
        break;
    case US_PARAM_STRING:
    case US_PARAM_PATH:
        put_optional_text(f, *(const char *const *)field);
        break;
    case US_PARAM_CHOICE:
        put_choice(f, param, *(const char *const *)field);
        break;
    case US_PARAM_FRAMES:
        put_frames(f, field);
        break;
    case US_PARAM_STRINGS:
    case US_PARAM_PATHS: {
        const struct us_strings *strings = field;
        put(f, strings->count);
        for (size_t i = 0; i < strings->count; i++) {
            put_text(f, strings->items[i]);
        }
        break;
    }
    }
}

static void put_params(struct freezing *f, const struct us_node *node) {
    size_t count = us_param_count(node->type), given = 0;
    for (size_t i = 0; i < count; i++) {
        given += node->param_pos[i].line > 0;
    }
    put(f, given);
    for (size_t i = 0; i < count; i++) {
        if (node->param_pos[i].line > 0) {
            const struct us_param *param = &node->type->params[i];
            put(f, i);
            put_pos(f, node->param_pos[i]);
            put_value(f, param, (const char *)node->params + param->offset);
        }
    }
}

static void put_animations(struct freezing *f, const struct us_node *node) {
    put(f, node->animation_count);
    for (size_t i = 0; i < node->animation_count; i++) {
        const struct us_animation *animation = &node->animations[i];
        put(f, animation->param);
        put(f, animation->linear);
        put(f, animation->count);
        for (size_t k = 0; k < animation->count; k++) {
            put_signed(f, animation->keys[k].frame);
            put_double(f, animation->keys[k].value);
        }
    }
}

static void put_link(struct freezing *f, const struct us_link *link, uint32_t from) {
    put(f, from - link->node);
    put(f, link->port);
    put_pos(f, link->pos);
}

static void put_node(struct freezing *f, uint32_t index) {
    const struct us_node *node = &f->graph->nodes[index];
    bool animated = node->animation_count > 0;
    put(f, (uint64_t)node->store | (animated ? US_COMPILED_ANIMATED : 0));
    put_text(f, node->name);
    put_pos(f, node->pos);
    put_params(f, node);
    if (animated) {
        put_animations(f, node);
    }
    for (int i = 0; i < us_port_count(node->type->inputs); i++) {
        const struct us_node_input *input = &node->inputs[i];
        put(f, input->count);
        for (size_t k = 0; k < input->count; k++) {
            put_link(f, &input->links[k], index);
        }
    }
}

static uint64_t type_index(const struct us_graph *graph, const struct us_node_type *type) {
    for (size_t i = 0; i < graph->registry->count; i++) {
        if (graph->registry->types[i] == type) {
            return i;
        }
    }
    US_BUG("node type '%s' is not in the table", type->name);
}

static void put_graph(struct freezing *f) {
    const struct us_graph *graph = f->graph;
    put_text(f, graph->path);
    put_text(f, graph->folder);
    put_text(f, graph->show);
    put(f, graph->has_roots);
    put(f, graph->file_count);
    for (size_t i = 0; i < graph->file_count; i++) {
        put_text(f, graph->files[i].path);
        put_text(f, graph->files[i].real);
        put_digest(f, &graph->files[i].digest);
    }
    put(f, graph->node_count);
    size_t links = 0;
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct us_node *node = &graph->nodes[i];
        put(f, type_index(graph, node->type));
        for (int k = 0; k < us_port_count(node->type->inputs); k++) {
            links += node->inputs[k].count;
        }
    }
    put(f, links);
    for (size_t i = 0; i < graph->node_count; i++) {
        put_node(f, (uint32_t)i);
    }
    put(f, graph->output_count);
    for (size_t i = 0; i < graph->output_count; i++) {
        put_link(f, &graph->outputs[i], (uint32_t)graph->node_count);
    }
}

/* Body: the length of the texts, the texts, the numbers. */
static void assemble(struct freezing *f, const struct us_digest *fingerprint, struct us_str *out) {
    struct freezing head = {.graph = f->graph};
    struct us_digest checksum = {{0}};
    size_t start = out->length;
    put(&head, f->table.texts.length);
    us_str_append_bytes(out, US_COMPILED_MAGIC, US_COMPILED_FINGERPRINT);
    us_str_append_bytes(out, fingerprint->bytes, sizeof fingerprint->bytes);
    us_str_append_bytes(out, checksum.bytes, sizeof checksum.bytes);
    us_str_append_bytes(out, head.body.data, head.body.length);
    us_str_append_bytes(out, f->table.texts.data, f->table.texts.length);
    us_str_append_bytes(out, f->body.data, f->body.length);
    size_t body = start + US_COMPILED_HEADER;
    checksum = us_digest_of(out->data + body, out->length - body);
    memcpy(out->data + start + US_COMPILED_CHECKSUM, checksum.bytes, sizeof checksum.bytes);
    us_str_finish(&head.body);
}

bool us_graph_freeze(const struct us_graph *graph, struct us_str *out) {
    struct us_digest fingerprint;
    if (!us_compiled_fingerprint(graph->registry, &fingerprint)) {
        return false;
    }
    struct freezing f = {.graph = graph};
    put_graph(&f);
    assemble(&f, &fingerprint, out);
    us_str_finish(&f.body);
    us_str_finish(&f.table.texts);
    us_free(f.table.slots);
    return true;
}
