#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "runtime/graph/loader.h"

enum state { UNSEEN, OPEN, DONE };

/* A node on the way down to what it needs, and how far its links were followed. */
struct step {
    uint32_t node;
    size_t input, link;
};

struct sorting {
    struct us_loader *loader;
    unsigned char *states;
    struct step *stack; /* as deep as there are nodes: no recursion, graphs may be long */
    size_t depth;
    uint32_t *order; /* of drafts */
    size_t count;
};

static const struct us_node *node_of(const struct sorting *s, uint32_t index) {
    return &s->loader->drafts[index].node;
}

/* Names the nodes from the one met again to the top of the stack, in the way the data goes. */
static struct us_error *cycle_error(const struct sorting *s, const struct us_link *link) {
    enum { MOST_NAMES = 20 };
    struct us_str path = {0};
    size_t named = 0;
    us_str_append(&path, node_of(s, link->node)->name);
    for (size_t i = s->depth; i-- > 0; named++) {
        if (s->stack[i].node == link->node) {
            break;
        }
        if (named < MOST_NAMES) {
            us_str_printf(&path, " -> %s", node_of(s, s->stack[i].node)->name);
        }
    }
    us_str_printf(&path, "%s -> %s", named > MOST_NAMES ? " -> ..." : "",
                  node_of(s, link->node)->name);
    struct us_error *error = us_fail(US_GRAPH, "nodes feed each other: %s", us_str_text(&path));
    us_str_finish(&path);
    return us_error_at(error, link->pos);
}

/* The next link of the node on top of the stack, or NULL. */
static const struct us_link *next_link(const struct sorting *s, struct step *step) {
    const struct us_node *node = node_of(s, step->node);
    size_t inputs = (size_t)us_port_count(node->type->inputs);
    for (; step->input < inputs; step->input++, step->link = 0) {
        if (step->link < node->inputs[step->input].count) {
            return &node->inputs[step->input].links[step->link++];
        }
    }
    return NULL;
}

static void push(struct sorting *s, uint32_t node) {
    s->states[node] = OPEN;
    s->stack[s->depth++] = (struct step){.node = node};
}

static struct us_error *visit(struct sorting *s, uint32_t first) {
    push(s, first);
    while (s->depth) {
        struct step *top = &s->stack[s->depth - 1];
        const struct us_link *link = next_link(s, top);
        if (!link) {
            s->states[top->node] = DONE;
            s->order[s->count++] = top->node;
            s->depth--;
        } else if (s->states[link->node] == OPEN) {
            return us_scope_explain(s->loader->drafts[top->node].scope, cycle_error(s, link));
        } else if (s->states[link->node] == UNSEEN) {
            push(s, link->node);
        }
    }
    return NULL;
}

static void place_nodes(struct sorting *s, const uint32_t *place) {
    struct us_graph *graph = s->loader->graph;
    graph->node_count = s->count;
    graph->nodes = us_arena_alloc(s->loader->arena, s->count * sizeof *graph->nodes);
    for (size_t i = 0; i < s->count; i++) {
        struct us_node *node = &graph->nodes[i];
        *node = *node_of(s, s->order[i]);
        for (int k = 0; k < us_port_count(node->type->inputs); k++) {
            for (size_t l = 0; l < node->inputs[k].count; l++) {
                struct us_link *link = &node->inputs[k].links[l];
                link->node = place[link->node];
            }
        }
    }
    for (size_t i = 0; i < graph->output_count; i++) {
        graph->outputs[i].node = place[graph->outputs[i].node];
    }
}

static void place_all(struct sorting *s) {
    uint32_t *place = us_calloc(s->count, sizeof *place);
    for (size_t i = 0; i < s->count; i++) {
        place[s->order[i]] = (uint32_t)i;
    }
    place_nodes(s, place);
    us_free(place);
}

struct us_error *us_graph_order(struct us_loader *loader) {
    size_t count = loader->draft_count;
    struct sorting s = {.loader = loader};
    s.states = us_calloc(count, 1);
    s.stack = us_calloc(count, sizeof *s.stack);
    s.order = us_calloc(count, sizeof *s.order);
    struct us_error *error = NULL;
    for (size_t i = 0; i < count && !error; i++) {
        error = s.states[i] == UNSEEN ? visit(&s, (uint32_t)i) : NULL;
    }
    if (!error) {
        place_all(&s);
    }
    us_free(s.states);
    us_free(s.stack);
    us_free(s.order);
    return error;
}
