/* What the plan takes of memory: geometries flow down the graph, nodes that will run say how much
 * they take, and what cannot fit is refused. */
#include <string.h>

#include "runtime/base/machine.h"
#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

/* What is known of a node before the run. */
struct node_view {
    struct us_geometry *outputs; /* NULL when nothing needs the node */
    size_t run;                  /* its tasks that will run or may run */
    bool needed;
    bool certain;  /* one of them runs for certain */
    bool reshaped; /* so does one of a node that decides about its inputs' geometry */
};

static struct node_view *make_views(struct us_run *run) {
    struct node_view *views =
        us_arena_alloc(&run->arena, (run->graph->node_count + 1) * sizeof *views);
    for (size_t i = 0; i < run->plan_count; i++) {
        const struct task *task = &run->tasks[run->plan[i]];
        views[task->node].needed = true;
        views[task->node].run += task->run;
        views[task->node].certain |= task->run && !task->maybe;
    }
    return views;
}

static const struct us_geometries *inputs_of(struct us_run *run, const struct node_view *views,
                                             const struct us_node *node) {
    const int ports = us_port_count(node->type->inputs);
    struct us_geometries *inputs =
        us_arena_alloc(&run->arena, (size_t)(ports + 1) * sizeof *inputs);
    for (int port = 0; port < ports; port++) {
        const struct us_node_input *input = &node->inputs[port];
        struct us_geometry *items = us_arena_alloc(&run->arena, (input->count + 1) * sizeof *items);
        for (size_t i = 0; i < input->count; i++) {
            items[i] = views[input->links[i].node].outputs[input->links[i].port];
        }
        inputs[port] = (struct us_geometries){items, input->count};
    }
    return inputs;
}

static bool inputs_reshaped(const struct us_run *run, const struct node_view *views,
                            const struct us_node *node) {
    bool any = false;
    for (int port = 0; port < us_port_count(node->type->inputs); port++) {
        for (size_t i = 0; i < node->inputs[port].count; i++) {
            const uint32_t above = node->inputs[port].links[i].node;
            const bool describes = run->graph->nodes[above].type->describe != NULL;
            any |= describes && (views[above].certain || views[above].reshaped);
        }
    }
    return any;
}

static void describe_node(struct us_run *run, struct node_view *views, uint32_t index) {
    const struct us_node *node = &run->graph->nodes[index];
    struct node_view *view = &views[index];
    const size_t count = (size_t)us_port_count(node->type->outputs);
    view->outputs = us_arena_alloc(&run->arena, (count + 1) * sizeof *view->outputs);
    for (size_t i = 0; i < count && node->type->per_frame; i++) {
        view->outputs[i].count = run->nodes[index].count;
    }
    view->reshaped = inputs_reshaped(run, views, node);
    if (node->type->describe) {
        const struct us_outlook outlook = {
            .params = node->params, .inputs = inputs_of(run, views, node), .arena = &run->arena};
        node->type->describe(&outlook, view->outputs);
    }
}

/* What a task may take of a GPU; zeros: not known. */
static struct us_device_memory room_of(const struct us_run_device *device) {
    struct us_device_memory has = device->has;
    if (device->budget && (!has.total || device->budget < has.free)) {
        has.free = device->budget;
        has.total = has.total ? has.total : device->budget;
    }
    return has;
}

/* GPUs only: with a part of the CPU a task computes as without a device. Of several it may be given
 * the one with the least memory. */
static void give_devices(struct us_run *run, enum us_device_use use, struct us_outlook *outlook) {
    const struct us_run_options *options = &run->options;
    int *ordinals = us_arena_alloc(&run->arena, (options->device_count + 1) * sizeof *ordinals);
    struct us_device_memory *memory =
        us_arena_alloc(&run->arena, (options->device_count + 1) * sizeof *memory);
    size_t count = 0, smallest = 0;
    for (size_t i = 0; i < options->device_count && use != US_DEVICE_NONE; i++) {
        const struct us_run_device *device = &options->devices[i];
        if (device->kind == US_DEVICE_CUDA) {
            ordinals[count] = device->ordinal;
            memory[count] = room_of(device);
            smallest = memory[count].free < memory[smallest].free ? count : smallest;
            count++;
        }
    }
    const bool one = use == US_DEVICE_PREFERRED && count;
    outlook->devices = ordinals + (one ? smallest : 0);
    outlook->device_memory = memory + (one ? smallest : 0);
    outlook->device_count = one ? 1 : count;
}

static struct us_device_memory memory_of(const struct us_run *run, int place) {
    const struct us_run_options *options = &run->options;
    if (place == US_HOST_MEMORY) {
        const size_t all = us_machine_memory(), most = options->memory_bytes;
        return (struct us_device_memory){all, most && most < all ? most : all};
    }
    for (size_t i = 0; i < options->device_count; i++) {
        if (options->devices[i].kind == US_DEVICE_CUDA && options->devices[i].ordinal == place) {
            return room_of(&options->devices[i]);
        }
    }
    return (struct us_device_memory){0};
}

/* How many of a node's tasks take memory of a place at one time, as the schedule lets them. */
static size_t tasks_at_once(const struct us_run *run, const struct us_node *node, size_t tasks,
                            int place) {
    const struct us_needs needs = needs_of_node(run, node);
    size_t most = 1;
    if (node->type->per_frame && place == US_HOST_MEMORY) {
        most = needs.device == US_DEVICE_NONE        ? (size_t)(run->slots / needs.threads)
               : needs.device == US_DEVICE_PREFERRED ? run->options.device_count
                                                     : 1;
        const size_t room = needs.host_bytes ? run->work_memory / needs.host_bytes : most;
        most = room < most ? room : most;
    }
    return most < tasks ? most : tasks;
}

static struct us_memory_use *add_use(struct us_run *run) {
    us_grow(&run->memory_uses, &run->memory_use_capacity, run->memory_use_count,
            sizeof *run->memory_uses);
    return &run->memory_uses[run->memory_use_count++];
}

static void note_place(struct us_run *run, const struct us_node *node, const struct node_view *view,
                       const struct us_memory *memory, int place) {
    struct us_memory_part *parts = us_arena_alloc(&run->arena, (memory->count + 1) * sizeof *parts);
    size_t count = 0;
    for (size_t i = 0; i < memory->count; i++) {
        if (memory->parts[i].place == place) {
            parts[count++] = memory->parts[i];
        }
    }
    const struct us_device_memory has = memory_of(run, place);
    const size_t at_once = tasks_at_once(run, node, view->run, place);
    for (size_t i = 0; i < count; i++) {
        parts[i].bytes *= at_once;
    }
    *add_use(run) = (struct us_memory_use){.node = node,
                                           .place = place,
                                           .parts = parts,
                                           .part_count = count,
                                           .bytes = at_once * us_memory_sum(memory, place),
                                           .at_once = at_once,
                                           .available = has.free,
                                           .total = has.total,
                                           .maybe = !view->certain && !view->reshaped,
                                           .note = memory->note,
                                           .hint = memory->hint};
}

/* A use for each place, those that nodes name first first; for a mere note one without bytes. */
static void note_uses(struct us_run *run, const struct us_node *node, const struct node_view *view,
                      const struct us_memory *memory) {
    struct node_tasks *tasks = &run->nodes[node - run->graph->nodes];
    tasks->host_bytes = us_memory_sum(memory, US_HOST_MEMORY);
    for (size_t i = 0; i < memory->count; i++) {
        const int place = memory->parts[i].place;
        const size_t bytes = place == US_HOST_MEMORY ? 0 : us_memory_sum(memory, place);
        tasks->device_bytes = bytes > tasks->device_bytes ? bytes : tasks->device_bytes;
    }
    for (size_t i = 0; i < memory->count; i++) {
        bool seen = false;
        for (size_t k = 0; k < i; k++) {
            seen |= memory->parts[k].place == memory->parts[i].place;
        }
        if (!seen) {
            note_place(run, node, view, memory, memory->parts[i].place);
        }
    }
    if (memory->count == 0 && memory->note) {
        note_place(run, node, view, memory, US_HOST_MEMORY);
    }
}

static enum us_device_use device_use(const struct us_node *node) {
    struct us_needs needs = {0};
    if (node->type->needs) {
        node->type->needs(node->params, &needs);
    }
    return needs.device;
}

static void ask_node(struct us_run *run, const struct node_view *views, uint32_t index) {
    const struct us_node *node = &run->graph->nodes[index];
    const struct node_view *view = &views[index];
    const bool later = run->options.devices_later && device_use(node) != US_DEVICE_NONE;
    if (!view->run || !node->type->memory || (later && node->type->per_frame)) {
        return;
    }
    const struct us_needs needs = needs_of_node(run, node);
    struct us_outlook outlook = {.params = node->params,
                                 .inputs = inputs_of(run, views, node),
                                 .arena = &run->arena,
                                 .threads = needs.threads};
    struct us_memory memory = {.arena = &run->arena};
    give_devices(run, needs.device, &outlook);
    struct us_error *error = node->type->memory(&outlook, &memory);
    if (!error) {
        note_uses(run, node, view, &memory);
    } else if (!run->refusal && (view->certain || view->reshaped)) {
        run->refusal = node_error(node, error);
    } else {
        us_error_free(error);
    }
}

static void plan_memory(struct us_run *run) {
    if (run->memory_known) {
        return;
    }
    run->memory_known = true;
    if (!us_run_takes_memory(run)) {
        return;
    }
    struct node_view *views = make_views(run);
    for (uint32_t i = 0; i < run->graph->node_count; i++) {
        if (views[i].needed) {
            describe_node(run, views, i);
            ask_node(run, views, i);
        }
    }
}

bool us_run_takes_memory(const struct us_run *run) {
    for (size_t i = 0; i < run->plan_count; i++) {
        const struct task *task = &run->tasks[run->plan[i]];
        const struct us_node_type *type = task_node(run, task)->type;
        const bool later = run->options.devices_later && type->per_frame;
        if (task->run && type->memory && !later) {
            return true;
        }
    }
    return false;
}

void us_run_use_devices(struct us_run *run, const struct us_run_device *devices, size_t count) {
    run->options.devices = devices;
    run->options.device_count = count;
    run->options.devices_later = false;
}

size_t us_run_memory(struct us_run *run, const struct us_memory_use **uses) {
    plan_memory(run);
    *uses = run->memory_uses;
    return run->memory_use_count;
}

static bool fits(const struct us_memory_use *use) {
    return use->available == 0 || use->bytes <= use->available;
}

static struct us_error *too_much(const struct us_memory_use *use) {
    struct us_str text = {0};
    us_str_printf(&text, "node '%s' (%s) takes ", use->node->name, use->node->type->name);
    us_str_size(&text, use->bytes);
    if (use->place == US_HOST_MEMORY) {
        us_str_printf(&text, " of memory, this %s ",
                      use->available < use->total ? "run may take" : "machine has");
    } else {
        us_str_printf(&text, " on cuda:%d, which has ", use->place);
    }
    us_str_size(&text, use->available);
    us_str_append(&text, use->place == US_HOST_MEMORY ? ": " : " free: ");
    us_str_size(&text, use->bytes - use->available);
    us_str_append(&text, " too much");
    struct us_error *error = us_fail(US_MISSING, "%s", us_str_text(&text));
    us_str_finish(&text);
    return error;
}

struct us_error *us_run_refusal(struct us_run *run) {
    plan_memory(run);
    for (size_t i = 0; i < run->memory_use_count; i++) {
        const struct us_memory_use *use = &run->memory_uses[i];
        if (!fits(use) && !use->maybe) {
            struct us_error *error = us_error_at(too_much(use), use->node->pos);
            return use->hint ? us_error_hint(error, "%s", use->hint) : error;
        }
    }
    struct us_error *error = run->refusal;
    run->refusal = NULL;
    if (!error && run->refused) {
        return us_fail(US_FAILED, "the run is refused");
    }
    run->refused |= error != NULL;
    return error;
}

void warn_of_memory(struct us_run *run) {
    for (size_t i = 0; i < run->memory_use_count; i++) {
        const struct us_memory_use *use = &run->memory_uses[i];
        if (!fits(use)) {
            struct us_error *error = too_much(use);
            struct us_str text = {0};
            us_str_printf(&text, "%s; it is refused if what is above it really changes",
                          error->text);
            struct us_event event = {
                .kind = US_EVENT_WARNING, .worker = -1, .status = us_str_text(&text)};
            send_event(run, NULL, &event);
            us_str_finish(&text);
            us_error_free(error);
        }
    }
}
