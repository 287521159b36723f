#include "tests/support/edit_world.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *const texts[] = {"", "a", "b c", "x: y # z", "[1, 2]", "\u00fc"};
static const char *const words[] = {"plain", "fancy", "odd"};
static const char *const note_lists[][3] = {
    {NULL}, {"a", "b", NULL}, {"ab", NULL}, {"b", "a", NULL}, {"a, b", NULL}};
enum { TEXTS = 6, WORDS = 3, NOTE_LISTS = 5 };

uint32_t edit_below(struct edit_random *random, uint32_t limit) {
    random->state += 0x9E3779B97F4A7C15u;
    return (uint32_t)(edit_mix(random->state, 1) >> 33) % limit;
}

bool edit_chance(struct edit_random *random, uint32_t percent) {
    return edit_below(random, 100) < percent;
}

static double value_at(const struct edit_node *node, int frame) {
    const int *frames = node->key_frames, last = node->key_count - 1;
    if (!node->key_count) {
        return node->d;
    }
    if (frame <= frames[0]) {
        return node->keys[0];
    }
    for (int k = 0; k < last; k++) {
        if (frame >= frames[k] && frame < frames[k + 1]) {
            double part = (double)(frame - frames[k]) / (frames[k + 1] - frames[k]);
            return node->linear ? node->keys[k] + part * (node->keys[k + 1] - node->keys[k])
                                : node->keys[k];
        }
    }
    return node->keys[last];
}

void edit_params_at(const struct edit_world *world, const struct edit_node *node, int frame,
                    const char *notes[4], struct edit_params *params) {
    (void)world;
    bool mix = node->kind == EDIT_MIX;
    bool d = mix || node->kind == EDIT_PAIR || node->kind == EDIT_COARSE ||
             node->kind == EDIT_TWO || node->kind == EDIT_GATHER || node->kind == EDIT_MAX ||
             node->kind == EDIT_TRAIN;
    *params = (struct edit_params){.i = node->i,
                                   .late = node->late,
                                   .radius = node->kind == EDIT_WINDOW ? node->radius : 1,
                                   .steps = node->kind == EDIT_COUNT ? node->steps : 1,
                                   .d = d ? value_at(node, frame) : 0,
                                   .choice = words[node->choice],
                                   .text = texts[node->text],
                                   .on = node->on};
    for (int i = 0; mix && note_lists[node->notes][i]; i++) {
        notes[params->notes.count++] = note_lists[node->notes][i];
    }
    params->notes.items = notes;
}

static bool has_frames(enum edit_kind kind) {
    return kind <= EDIT_GEN;
}

bool edit_range_of(const struct edit_world *world, int at, int *range) {
    const struct edit_node *node = &world->nodes[at];
    *range = -1;
    if (has_frames(node->kind)) {
        *range = node->range;
    }
    if (has_frames(node->kind) || !edit_per_frame(node->kind)) {
        return true;
    }
    for (int port = 0; port < EDIT_PORTS; port++) {
        for (int i = 0; i < node->link_count[port]; i++) {
            int above;
            if (!edit_range_of(world, node->links[port][i].node, &above) ||
                (above >= 0 && *range >= 0 && above != *range)) {
                return false;
            }
            *range = above >= 0 ? above : *range;
        }
    }
    return *range >= 0;
}

struct us_frame edit_frame_at(const struct edit_range *range, int at) {
    return (struct us_frame){at / range->count, range->low + at % range->count * range->step};
}

static bool links_valid(const struct edit_world *world, int at) {
    const struct edit_node *node = &world->nodes[at];
    bool second = node->kind == EDIT_MIX || node->kind == EDIT_PAIR;
    bool list = node->kind == EDIT_MIX || node->kind == EDIT_COARSE ||
                (!edit_per_frame(node->kind) && node->kind != EDIT_GEN);
    int least = has_frames(node->kind) ? 0 : 1, most = has_frames(node->kind) ? 0 : list ? 3 : 1;
    if (node->link_count[0] < least || node->link_count[0] > most || node->link_count[1] > second ||
        (node->kind == EDIT_PAIR && !node->link_count[1])) {
        return false;
    }
    for (int port = 0; port < EDIT_PORTS; port++) {
        for (int i = 0; i < node->link_count[port]; i++) {
            const struct edit_link *link = &node->links[port][i];
            if (link->node < 0 || link->node >= at ||
                (link->port && world->nodes[link->node].kind != EDIT_TWO)) {
                return false;
            }
        }
    }
    return true;
}

bool edit_world_valid(const struct edit_world *world) {
    int tasks = 0, outputs = 0, range;
    for (int r = 0; r < EDIT_RANGES; r++) {
        const struct edit_range *it = &world->ranges[r];
        if (it->low < 1 || it->low + (it->count - 1) * it->step > EDIT_FRAMES) {
            return false;
        }
    }
    for (int i = 0; i < world->count; i++) {
        const struct edit_node *node = &world->nodes[i];
        if (!links_valid(world, i) || !edit_range_of(world, i, &range)) {
            return false;
        }
        tasks += range < 0 ? 1 : world->ranges[range].count * world->ranges[range].takes;
        outputs += node->output;
        for (int k = 0; k < i && edit_writes(node->kind); k++) {
            if (edit_writes(world->nodes[k].kind) && world->nodes[k].path == node->path) {
                return false;
            }
        }
    }
    return outputs > 0 && tasks <= EDIT_TASKS;
}

/* -- making */

static void animate(struct edit_random *random, struct edit_node *node) {
    /* Spans of 1, 2, 4 or 8 frames and multiples of 8: exact whichever way it is computed. */
    node->key_count = (int)edit_below(random, 4);
    node->linear = edit_chance(random, 50);
    int frame = 1 + (int)edit_below(random, 4);
    for (int k = 0; k < node->key_count; k++) {
        node->key_frames[k] = frame;
        node->keys[k] = 8 * (double)edit_below(random, 4);
        frame += 1 << edit_below(random, 4);
    }
}

/* Trainings and what writes are more frequent than the rest. */
static enum edit_kind random_kind(struct edit_random *random, int at) {
    const uint32_t which = edit_below(random, 100);
    if (at == 0) {
        return (enum edit_kind)(which % EDIT_MIX);
    }
    return which < 12   ? EDIT_TRAIN
           : which < 22 ? EDIT_WRITE
           : which < 27 ? EDIT_SHEET
                        : (enum edit_kind)(which % EDIT_KINDS);
}

static struct edit_node random_node(struct edit_random *random, struct edit_world *world, int at) {
    struct edit_node node = {.id = world->next_id++, .radius = 1, .steps = 1};
    node.kind = random_kind(random, at);
    node.range = edit_chance(random, 85) ? 0 : 1;
    node.set = (int)edit_below(random, EDIT_SETS);
    node.path = node.id;
    node.i = edit_below(random, 3);
    for (int port = 0; at > 0 && !has_frames(node.kind) && port < EDIT_PORTS; port++) {
        bool list = (node.kind == EDIT_MIX && port == 0) || node.kind == EDIT_COARSE ||
                    !edit_per_frame(node.kind);
        bool there = port == 0 || node.kind == EDIT_PAIR ||
                     (node.kind == EDIT_MIX && edit_chance(random, 40));
        node.link_count[port] = there ? 1 + (int)edit_below(random, list ? 3 : 1) : 0;
        for (int i = 0; i < node.link_count[port]; i++) {
            int back = (int)edit_below(random, (uint32_t)(at < 4 ? at : 4)) + 1;
            int above = edit_chance(random, 75) ? at - back : (int)edit_below(random, (uint32_t)at);
            bool low = world->nodes[above].kind == EDIT_TWO && edit_chance(random, 50);
            node.links[port][i] = (struct edit_link){above, low};
        }
    }
    node.output = edit_writes(node.kind) || edit_chance(random, 10);
    return node;
}

/* Puts a node in at `at`; links to what follows move along. */
static void insert(struct edit_world *world, int at, const struct edit_node *node) {
    for (int i = world->count; i > at; i--) {
        world->nodes[i] = world->nodes[i - 1];
        for (int port = 0; port < EDIT_PORTS; port++) {
            for (int k = 0; k < EDIT_LINKS; k++) {
                world->nodes[i].links[port][k].node += world->nodes[i].links[port][k].node >= at;
            }
        }
    }
    world->nodes[at] = *node;
    world->count++;
}

static bool add_node(struct edit_random *random, struct edit_world *world) {
    if (world->count == EDIT_NODES - 2) {
        return false;
    }
    struct edit_node node = random_node(random, world, world->count);
    insert(world, world->count, &node);
    return true;
}

void edit_world_make(struct edit_random *random, struct edit_world *world) {
    const int wanted = 2 + (int)edit_below(random, 11);
    do {
        *world = (struct edit_world){.next_id = 0, .look = edit_below(random, 1000)};
        for (int i = 0; i < EDIT_KINDS; i++) {
            world->versions[i] = 1;
        }
        for (int r = 0; r < EDIT_RANGES; r++) {
            world->ranges[r] =
                (struct edit_range){1 + (int)edit_below(random, 4), 1 + (int)edit_below(random, 5),
                                    1, 1 + edit_chance(random, 25)};
        }
        for (int tries = 0; world->count < wanted && tries < 300; tries++) {
            struct edit_world next = *world;
            bool added = add_node(random, &next);
            next.nodes[0].output = true;
            if (added && edit_world_valid(&next)) {
                *world = next;
            }
        }
    } while (world->count < 2);
}

/* -- edits: each may come to nothing or to an invalid graph, and is then drawn again */

static bool edit_value(struct edit_random *random, struct edit_world *world) {
    struct edit_node *node = &world->nodes[edit_below(random, (uint32_t)world->count)];
    node->i = edit_below(random, 4);
    return true;
}

static bool edit_double(struct edit_random *random, struct edit_world *world) {
    struct edit_node *node = &world->nodes[edit_below(random, (uint32_t)world->count)];
    node->d = 0.1 * (double)edit_below(random, 4);
    node->key_count = 0;
    return true;
}

static bool edit_keys(struct edit_random *random, struct edit_world *world) {
    struct edit_node *node = &world->nodes[edit_below(random, (uint32_t)world->count)];
    if (!edit_per_frame(node->kind)) {
        return false;
    }
    if (node->key_count && edit_chance(random, 60)) {
        node->keys[edit_below(random, (uint32_t)node->key_count)] =
            8 * (double)edit_below(random, 4);
    } else {
        animate(random, node);
    }
    return true;
}

static bool edit_other(struct edit_random *random, struct edit_world *world) {
    struct edit_node *node = &world->nodes[edit_below(random, (uint32_t)world->count)];
    switch (edit_below(random, 8)) {
    case 0:
        node->choice = (int)edit_below(random, WORDS);
        break;
    case 1:
        node->text = (int)edit_below(random, TEXTS);
        break;
    case 2:
        node->notes = (int)edit_below(random, NOTE_LISTS);
        break;
    case 3:
        node->on = !node->on;
        break;
    case 4:
        node->late = edit_below(random, 3);
        break;
    case 5:
        node->label++;
        break;
    case 6:
        node->radius = edit_below(random, 3);
        break;
    default:
        node->steps = 1 + edit_below(random, 5);
    }
    return true;
}

static bool edit_swap(struct edit_random *random, struct edit_world *world) {
    struct edit_node *node = &world->nodes[edit_below(random, (uint32_t)world->count)];
    struct edit_link *a = &node->links[0][0];
    struct edit_link *b = node->link_count[0] > 1   ? &node->links[0][1]
                          : node->link_count[1] > 0 ? &node->links[1][0]
                                                    : NULL;
    if (!b) {
        return false;
    }
    const struct edit_link kept = *a;
    *a = *b;
    *b = kept;
    return true;
}

/* A new node between two that are connected. */
static bool edit_between(struct edit_random *random, struct edit_world *world) {
    static const enum edit_kind through[] = {EDIT_MIX, EDIT_COARSE, EDIT_WINDOW, EDIT_TWO,
                                             EDIT_GATHER};
    int below = (int)edit_below(random, (uint32_t)world->count);
    if (world->nodes[below].link_count[0] == 0 || world->count == EDIT_NODES - 2) {
        return false;
    }
    struct edit_node node = {.id = world->next_id++, .radius = 1, .steps = 1};
    node.kind = through[edit_below(random, 5)];
    node.link_count[0] = 1;
    node.links[0][0] = world->nodes[below].links[0][0];
    insert(world, below, &node);
    world->nodes[below + 1].links[0][0] = (struct edit_link){below, 0};
    return true;
}

static bool edit_remove(struct edit_random *random, struct edit_world *world) {
    const int at = (int)edit_below(random, (uint32_t)world->count);
    if (world->count < 3) {
        return false;
    }
    const struct edit_node gone = world->nodes[at];
    const struct edit_link above =
        gone.link_count[0] ? gone.links[0][0] : (struct edit_link){-1, 0};
    for (int i = at; i + 1 < world->count; i++) {
        world->nodes[i] = world->nodes[i + 1];
        for (int port = 0; port < EDIT_PORTS; port++) {
            for (int k = 0; k < world->nodes[i].link_count[port]; k++) {
                struct edit_link *link = &world->nodes[i].links[port][k];
                *link = link->node == at ? above : *link;
                link->node -= link->node > at;
            }
        }
    }
    world->count--;
    return true;
}

static bool edit_rewire(struct edit_random *random, struct edit_world *world) {
    const int at = (int)edit_below(random, (uint32_t)world->count);
    struct edit_node *node = &world->nodes[at];
    const int port = (int)edit_below(random, EDIT_PORTS);
    if (!at || !node->link_count[port]) {
        return false;
    }
    const int above = (int)edit_below(random, (uint32_t)at);
    const bool low = world->nodes[above].kind == EDIT_TWO && edit_chance(random, 50);
    const int slot = (int)edit_below(random, 3) % node->link_count[port];
    if (edit_chance(random, 20) && node->link_count[port] < EDIT_LINKS) {
        node->links[port][node->link_count[port]++] = (struct edit_link){above, low};
    } else {
        node->links[port][slot] = (struct edit_link){above, low};
    }
    return true;
}

static bool edit_range(struct edit_random *random, struct edit_world *world) {
    struct edit_range *range = &world->ranges[edit_below(random, EDIT_RANGES)];
    switch (edit_below(random, 5)) {
    case 0:
        range->low = 1 + (int)edit_below(random, 6);
        break;
    case 1:
        range->takes = 1 + edit_chance(random, 50);
        break;
    case 2:
        range->step = 1 + edit_chance(random, 50);
        break;
    default:
        range->count = 1 + (int)edit_below(random, 8);
    }
    return true;
}

static bool edit_version_of(struct edit_random *random, struct edit_world *world) {
    world->versions[world->nodes[edit_below(random, (uint32_t)world->count)].kind]++;
    return true;
}

static bool edit_look(struct edit_random *random, struct edit_world *world) {
    world->look = 1 + edit_below(random, 1u << 30);
    return true;
}

static bool edit_name(struct edit_random *random, struct edit_world *world) {
    world->nodes[edit_below(random, (uint32_t)world->count)].id = world->next_id++;
    return true;
}

static bool edit_store(struct edit_random *random, struct edit_world *world) {
    world->nodes[edit_below(random, (uint32_t)world->count)].store = (int)edit_below(random, 3);
    return true;
}

static bool edit_output(struct edit_random *random, struct edit_world *world) {
    struct edit_node *node = &world->nodes[edit_below(random, (uint32_t)world->count)];
    node->output = !node->output;
    return true;
}

static bool edit_place(struct edit_random *random, struct edit_world *world) {
    struct edit_node *node = &world->nodes[edit_below(random, (uint32_t)world->count)];
    node->path = (int)edit_below(random, (uint32_t)world->next_id);
    node->set = (int)edit_below(random, EDIT_SETS);
    return edit_writes(node->kind) || edit_has_source(node->kind);
}

const char *edit_world_change(struct edit_random *random, struct edit_world *world) {
    static const struct {
        const char *name;
        bool (*edit)(struct edit_random *, struct edit_world *);
    } edits[] = {{"a number", edit_value},
                 {"a float", edit_double},
                 {"an animation", edit_keys},
                 {"a parameter", edit_other},
                 {"a parameter", edit_other},
                 {"inputs swapped", edit_swap},
                 {"a node between", edit_between},
                 {"a node more", add_node},
                 {"a node less", edit_remove},
                 {"a link", edit_rewire},
                 {"frames", edit_range},
                 {"a version", edit_version_of},
                 {"the text's look", edit_look},
                 {"a name", edit_name},
                 {"what is stored", edit_store},
                 {"outputs", edit_output},
                 {"a path", edit_place}};
    for (int tries = 0; tries < 100; tries++) {
        struct edit_world next = *world;
        const uint32_t which = edit_below(random, sizeof edits / sizeof *edits);
        if (edits[which].edit(random, &next) && edit_world_valid(&next)) {
            *world = next;
            return edits[which].name;
        }
    }
    return "nothing";
}
