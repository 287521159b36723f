#include "tests/support/edit_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"

const char *edit_source_text(int variant) {
    /* The first six have the same size. */
    static const char *const texts[] = {"frame a", "frame b", "frame c",        "frame d",
                                        "frame e", "frame f", "a longer frame", "frame"};
    return texts[variant & 7];
}

struct gather {
    const struct edit_world *world;
    const struct edit_state *state;
    struct edit_call *call; /* NULL: `visit` instead */
    void (*visit)(int input, void *context);
    void *context;
    bool known;
    char (*names)[16];
    int name_count;
};

static void take_input(struct gather *gather, int port, int entry, int output, int input,
                       struct us_frame own, bool once_above) {
    const struct edit_task *above = &gather->state->tasks[input];
    if (!gather->call) {
        gather->visit(input, gather->context);
        return;
    }
    const struct edit_node *node = &gather->world->nodes[above->node];
    char *name = gather->names[gather->name_count++];
    snprintf(name, 16, "n%d%s", node->id, output ? ".low" : "");
    struct edit_input *slot = &gather->call->inputs[port][gather->call->input_count[port]++];
    *slot = (struct edit_input){
        .entry = (uint64_t)entry, .number = above->numbers[output], .name = name};
    if (!once_above) {
        slot->take = above->frame.take - own.take;
        slot->frame = above->frame.number - own.number;
    }
    gather->known &= above->known;
}

static void gather_link(struct gather *gather, int task, int port, int entry) {
    const struct edit_state *state = gather->state;
    const struct edit_task *own = &state->tasks[task];
    const struct edit_node *node = &gather->world->nodes[own->node];
    const struct edit_link *link = &node->links[port][entry];
    const bool once_above = !edit_per_frame(gather->world->nodes[link->node].kind);
    int low = 0, high = state->each[link->node] - 1;
    if (!once_above && edit_per_frame(node->kind)) {
        const int at = task - state->first[own->node];
        const int reach = node->kind == EDIT_WINDOW ? (int)node->radius : 0;
        low = at - reach < 0 ? 0 : at - reach;
        high = at + reach > high ? high : at + reach;
    }
    for (int i = low; i <= high; i++) {
        const int input = state->first[link->node] + i;
        if (once_above || !edit_per_frame(node->kind) ||
            state->tasks[input].frame.take == own->frame.take) {
            take_input(gather, port, entry, link->port, input, own->frame, once_above);
        }
    }
}

static void gather_all(struct gather *gather, int task) {
    const struct edit_node *node = &gather->world->nodes[gather->state->tasks[task].node];
    for (int port = 0; port < EDIT_PORTS; port++) {
        for (int i = 0; i < node->link_count[port]; i++) {
            gather_link(gather, task, port, i);
        }
    }
}

void edit_each_input(const struct edit_world *world, const struct edit_state *state, int task,
                     void (*visit)(int input, void *context), void *context) {
    struct gather gather = {world, state, NULL, visit, context, true, NULL, 0};
    gather_all(&gather, task);
}

static uint64_t lane(const struct edit_call *call, uint64_t start) {
    const struct edit_params *p = call->params;
    uint64_t hash = edit_mix(edit_mix(start, edit_lesson(call)), (uint64_t)p->steps);
    hash = edit_mix(hash, (uint64_t)p->radius);
    for (int port = 0; port < EDIT_PORTS; port++) {
        for (size_t i = 0; i < call->input_count[port]; i++) {
            hash = edit_mix(hash, call->inputs[port][i].number);
        }
    }
    return hash;
}

static struct edit_id id_of(const struct edit_call *call) {
    return (struct edit_id){lane(call, 11), lane(call, 12)};
}

static uint64_t read_source(const struct edit_sources *sources, const struct edit_node *node,
                            struct us_frame frame, bool *there) {
    const int variant = sources->variant[node->set][frame.take][frame.number];
    *there = variant >= 0;
    const char *text = edit_source_text(*there ? variant : 0);
    return edit_mix_bytes(1, text, strlen(text));
}

static void evaluate_task(const struct edit_world *world, const struct edit_sources *sources,
                          const struct edit_trainings *trainings, struct edit_state *state,
                          int task) {
    struct edit_task *own = &state->tasks[task];
    const struct edit_node *node = &world->nodes[own->node];
    static struct edit_call call;
    static char names[EDIT_PORTS * 128][16];
    struct gather gather = {world, state, &call, NULL, NULL, true, names, 0};
    const char *notes[4];
    struct edit_params params;
    bool there = true;
    edit_params_at(world, node, own->frame.number, notes, &params);
    memset(call.input_count, 0, sizeof call.input_count);
    call.kind = node->kind;
    call.version = world->versions[node->kind];
    call.params = &params;
    call.frame = own->frame;
    call.source = edit_has_source(node->kind) ? read_source(sources, node, own->frame, &there) : 0;
    gather_all(&gather, task);
    own->id = id_of(&call);
    edit_numbers(&call, own->numbers);
    own->known = gather.known;
    if (node->kind == EDIT_TRAIN) {
        const uint64_t count = edit_trained(trainings, edit_lesson(&call));
        own->known &= count > 0;
        own->numbers[0] = edit_mix(edit_lesson(&call), count);
    }
    char text[EDIT_TEXT];
    for (int i = 0; i < (node->kind == EDIT_TWO ? 2 : 1); i++) {
        size_t size = edit_text(node->kind, own->numbers[i], text);
        own->digests[i] = us_digest_of(text, size);
    }
    if (!there && own->needed) {
        state->missing = task;
    }
}

static void need(int input, void *context) {
    ((struct edit_state *)context)->tasks[input].needed = true;
}

static void mark_needed(const struct edit_world *world, const struct us_frames *only,
                        struct edit_state *state) {
    for (int t = state->count; t-- > 0;) {
        struct edit_task *task = &state->tasks[t];
        const struct edit_node *node = &world->nodes[task->node];
        const struct us_frame any_take = {0, task->frame.number};
        bool wanted = !only || !edit_per_frame(node->kind) || us_frames_find(only, any_take) >= 0;
        task->asked = node->output && wanted;
        task->needed |= task->asked;
        if (task->needed) {
            edit_each_input(world, state, t, need, state);
        }
    }
}

void edit_evaluate(const struct edit_world *world, const struct edit_sources *sources,
                   const struct edit_trainings *trainings, const struct us_frames *only,
                   struct edit_state *state) {
    state->count = 0;
    state->missing = -1;
    for (int n = 0; n < world->count; n++) {
        int range = -1;
        edit_range_of(world, n, &range);
        const struct edit_range *frames = &world->ranges[range < 0 ? 0 : range];
        state->first[n] = state->count;
        state->each[n] = range < 0 ? 1 : frames->count * frames->takes;
        for (int i = 0; i < state->each[n]; i++) {
            struct edit_task *task = &state->tasks[state->count++];
            *task = (struct edit_task){.node = n};
            task->frame = range < 0 ? (struct us_frame){0, 0} : edit_frame_at(frames, i);
        }
    }
    mark_needed(world, only, state);
    for (int t = 0; t < state->count; t++) {
        evaluate_task(world, sources, trainings, state, t);
    }
}

int edit_find(const struct edit_world *world, const struct edit_state *state, const char *label) {
    int id, a = 0, b = 0;
    const char *at = strchr(label, '@'); /* what is before it may name a port: "n3.low@1" */
    const int parts = sscanf(label, "n%d", &id) + (at ? sscanf(at, "@%d:%d", &a, &b) : 0);
    const struct us_frame frame = parts == 3 ? (struct us_frame){a, b} : (struct us_frame){0, a};
    for (int t = 0; parts >= 1 && t < state->count; t++) {
        const struct edit_task *task = &state->tasks[t];
        if (world->nodes[task->node].id == id &&
            (parts == 1 || us_frame_compare(task->frame, frame) == 0)) {
            return t;
        }
    }
    return -1;
}

static size_t slot_of(const struct edit_made *made, struct edit_id id) {
    size_t at = id.a & (made->capacity - 1);
    while ((made->slots[at].a || made->slots[at].b) &&
           (made->slots[at].a != id.a || made->slots[at].b != id.b)) {
        at = (at + 1) & (made->capacity - 1);
    }
    return at;
}

bool edit_was_made(const struct edit_made *made, struct edit_id id) {
    return made->capacity && made->slots[slot_of(made, id)].a == id.a &&
           made->slots[slot_of(made, id)].b == id.b;
}

void edit_make(struct edit_made *made, struct edit_id id) {
    if (2 * made->count >= made->capacity) {
        struct edit_made old = *made;
        made->capacity = old.capacity ? 2 * old.capacity : 1024;
        made->slots = us_calloc(made->capacity, sizeof *made->slots);
        made->count = 0;
        for (size_t i = 0; i < old.capacity; i++) {
            if (old.slots[i].a || old.slots[i].b) {
                edit_make(made, old.slots[i]);
            }
        }
        us_free(old.slots);
    }
    struct edit_id *slot = &made->slots[slot_of(made, id)];
    made->count += !slot->a && !slot->b;
    *slot = id;
}
