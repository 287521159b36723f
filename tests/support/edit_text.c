#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/edit_world.h"

enum { MOST = 16, LONGEST = 200 };

struct pairs {
    char items[MOST][LONGEST];
    int count;
};

static void pair(struct pairs *pairs, const char *name, const struct us_str *value) {
    if (pairs->count < MOST) {
        snprintf(pairs->items[pairs->count++], LONGEST, "%s: %s", name, us_str_text(value));
    }
}

static void pair_int(struct pairs *pairs, struct edit_random *look, const char *name, int64_t value,
                     int64_t usual) {
    if (value != usual || edit_chance(look, 30)) {
        struct us_str text = {0};
        us_str_printf(&text, "%" PRId64, value);
        pair(pairs, name, &text);
        us_str_finish(&text);
    }
}

static void pair_links(struct pairs *pairs, const struct edit_world *world,
                       const struct edit_node *node, int port, struct edit_random *look) {
    static const char *const names[EDIT_PORTS] = {"in", "other"};
    struct us_str text = {0};
    const int count = node->link_count[port];
    bool single = node->kind == EDIT_PAIR || node->kind == EDIT_WINDOW || node->kind == EDIT_TWO ||
                  node->kind == EDIT_WRITE || port == 1;
    bool brackets = count > 1 || (!single && edit_chance(look, 50));
    us_str_append(&text, brackets ? "[" : "");
    for (int i = 0; i < count; i++) {
        const struct edit_link *link = &node->links[port][i];
        us_str_printf(&text, "%sn%d%s", i ? ", " : "", world->nodes[link->node].id,
                      link->port ? ".low"
                      : edit_chance(look, 20) && !edit_writes(world->nodes[link->node].kind)
                          ? ".full"
                          : "");
    }
    us_str_append(&text, brackets ? "]" : "");
    if (count) {
        pair(pairs, node->kind == EDIT_PAIR && port ? "b" : names[port], &text);
    }
    us_str_finish(&text);
}

static void pair_double(struct pairs *pairs, const struct edit_node *node) {
    struct us_str text = {0};
    if (!node->key_count || !edit_per_frame(node->kind)) {
        us_str_printf(&text, "%.17g", node->d);
    } else {
        us_str_append(&text, "{");
        for (int k = 0; k < node->key_count; k++) {
            us_str_printf(&text, "%d: %g, ", node->key_frames[k], node->keys[k]);
        }
        us_str_printf(&text, "ease: %s}", node->linear ? "linear" : "hold");
    }
    pair(pairs, "d", &text);
    us_str_finish(&text);
}

static void pair_frames(struct pairs *pairs, const struct edit_world *world,
                        const struct edit_node *node, struct edit_random *look) {
    const struct edit_range *range = &world->ranges[node->range];
    struct us_str text = {0};
    if (edit_chance(look, 30)) {
        for (int i = 0; i < range->count; i++) {
            us_str_printf(&text, "%s%d", i ? "," : "\"", range->low + i * range->step);
        }
        us_str_append(&text, "\"");
    } else {
        us_str_printf(&text, "%d-%dx%d", range->low, range->low + (range->count - 1) * range->step,
                      range->step);
    }
    pair(pairs, "frames", &text);
    us_str_finish(&text);
    pair_int(pairs, look, "takes", range->takes, 1);
}

static void pair_mix(struct pairs *pairs, const struct edit_world *world,
                     const struct edit_node *node, struct edit_random *look) {
    struct us_str text = {0};
    const char *notes[4];
    struct edit_params params;
    edit_params_at(world, node, 0, notes, &params);
    pair_int(pairs, look, "late", node->late, 0);
    us_str_append(&text, params.choice);
    pair(pairs, "choice", &text);
    us_str_clear(&text);
    us_str_printf(&text, "\"%s\"", params.text);
    pair(pairs, "text", &text);
    us_str_clear(&text);
    us_str_append(&text, params.on ? "true" : "false");
    pair(pairs, "on", &text);
    us_str_clear(&text);
    for (size_t i = 0; i < params.notes.count; i++) {
        us_str_printf(&text, "%s\"%s\"", i ? ", " : "[", params.notes.items[i]);
    }
    us_str_append(&text, params.notes.count ? "]" : "[]");
    pair(pairs, "notes", &text);
    us_str_finish(&text);
}

static void collect(const struct edit_world *world, const struct edit_node *node, const char *out,
                    struct edit_random *look, struct pairs *pairs) {
    static const char *const stores[] = {"", "keep", "drop"};
    struct us_str text = {0};
    us_str_append(&text, edit_type_name(node->kind));
    pair(pairs, "type", &text);
    us_str_clear(&text);
    if (edit_has_source(node->kind) || edit_writes(node->kind)) {
        us_str_printf(&text, edit_writes(node->kind) ? "%s/w%d" : "%s/s%d",
                      edit_writes(node->kind) ? out : "src",
                      edit_writes(node->kind) ? node->path : node->set);
        pair(pairs, "path", &text);
        us_str_clear(&text);
    }
    if (node->kind <= EDIT_GEN) {
        pair_frames(pairs, world, node, look);
    }
    pair_int(pairs, look, "i", node->i, 0);
    if (node->label) {
        us_str_printf(&text, "label %d", node->label);
        pair(pairs, "label", &text);
        us_str_clear(&text);
    }
    if (node->kind == EDIT_MIX) {
        pair_mix(pairs, world, node, look);
    } else if (node->kind == EDIT_WINDOW) {
        pair_int(pairs, look, "radius", node->radius, 1);
    } else if (node->kind == EDIT_COUNT) {
        pair_int(pairs, look, "steps", node->steps, 1);
    }
    if (node->kind >= EDIT_MIX && node->kind != EDIT_WINDOW && node->kind != EDIT_COUNT &&
        !edit_writes(node->kind)) {
        pair_double(pairs, node);
    }
    for (int port = 0; port < EDIT_PORTS; port++) {
        pair_links(pairs, world, node, port, look);
    }
    if (node->store) {
        us_str_append(&text, stores[node->store]);
        pair(pairs, "cache", &text);
    }
    us_str_finish(&text);
}

static void shuffle(struct edit_random *look, int *order, int count) {
    for (int i = 0; i < count; i++) {
        order[i] = i;
    }
    for (int i = count; i-- > 1;) {
        int k = (int)edit_below(look, (uint32_t)i + 1), kept = order[i];
        order[i] = order[k];
        order[k] = kept;
    }
}

static void write_node(const struct edit_world *world, const struct edit_node *node,
                       const char *out, struct edit_random *look, struct us_str *text) {
    struct pairs pairs = {.count = 0};
    int order[MOST];
    collect(world, node, out, look, &pairs);
    shuffle(look, order, pairs.count);
    bool flow = edit_chance(look, 50);
    us_str_printf(text, "  n%d:%s%s", node->id, flow ? " {" : "",
                  edit_chance(look, 10) && !flow ? " # a remark\n"
                  : flow                         ? ""
                                                 : "\n");
    for (int i = 0; i < pairs.count; i++) {
        if (flow) {
            us_str_printf(text, "%s%s", pairs.items[order[i]], i + 1 < pairs.count ? ", " : "}\n");
        } else {
            us_str_printf(text, "    %s%s\n", pairs.items[order[i]],
                          edit_chance(look, 5) ? "  # another" : "");
        }
    }
    us_str_append(text, edit_chance(look, 10) ? "\n" : "");
}

void edit_world_text(const struct edit_world *world, const char *out, struct us_str *text) {
    struct edit_random look = {world->look};
    int order[EDIT_NODES];
    us_str_append(text, "understudy: 1\nshow: edits\nnodes:\n");
    shuffle(&look, order, world->count);
    for (int i = 0; i < world->count; i++) {
        write_node(world, &world->nodes[order[i]], out, &look, text);
    }
    us_str_append(text, "outputs: [");
    bool first = true;
    for (int i = 0; i < world->count; i++) {
        if (world->nodes[i].output) {
            us_str_printf(text, "%sn%d", first ? "" : ", ", world->nodes[i].id);
            first = false;
        }
    }
    us_str_append(text, "]\n");
}
