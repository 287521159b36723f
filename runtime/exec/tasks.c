#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

const struct us_node *task_node(const struct us_run *run, const struct task *task) {
    return &run->graph->nodes[task->node];
}

bool task_is_stored(const struct us_run *run, const struct task *task) {
    const struct us_node *node = task_node(run, task);
    bool dropped = node->store == US_STORE_DROP && !node->type->volatile_result;
    return !node->type->reloads && !node->type->writes && !dropped;
}

bool task_is_leased(const struct us_run *run, const struct task *task) {
    const struct us_node_type *type = task_node(run, task)->type;
    return type->reloads || type->writes || task_is_stored(run, task);
}

struct us_error *node_error(const struct us_node *node, struct us_error *error) {
    return us_error_at(us_error_wrap(error, "node '%s' (%s)", node->name, node->type->name),
                       node->pos);
}

struct us_error *task_error(const struct us_run *run, const struct task *task,
                            struct us_error *error) {
    const struct us_node *node = task_node(run, task);
    if (!node->type->per_frame) {
        return node_error(node, error);
    }
    struct us_arena arena = {0};
    const char *frame = strchr(task_label(run, task, &arena), '@') + 1;
    error = us_error_wrap(error, "node '%s' (%s), frame %s", node->name, node->type->name, frame);
    us_arena_finish(&arena);
    return us_error_at(error, node->pos);
}

static struct us_error *frames_differ(const struct us_node *node, const char *a_name,
                                      const struct us_frames *a, const char *b_name,
                                      const struct us_frames *b) {
    struct us_str a_text = {0}, b_text = {0};
    us_frames_print(a, &a_text);
    us_frames_print(b, &b_text);
    struct us_error *error =
        us_fail(US_GRAPH, "its inputs cover different frames: '%s' has %s, '%s' has %s", a_name,
                us_str_text(&a_text), b_name, us_str_text(&b_text));
    us_str_finish(&a_text);
    us_str_finish(&b_text);
    return node_error(node, us_error_hint(error, "give both the same frames"));
}

static bool same_frames(const struct us_frames *a, const struct us_frames *b) {
    if (a->count != b->count || a->items == b->items) {
        return a->count == b->count;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (us_frame_compare(a->items[i], b->items[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* The frames of a per-frame node are those of its frame inputs, which must agree. */
static struct us_error *frames_of_inputs(struct us_run *run, const struct us_node *node,
                                         struct us_frames *frames) {
    const char *first = NULL;
    const struct us_frames *found = NULL;
    for (int port = 0; port < us_port_count(node->type->inputs); port++) {
        const struct us_node_input *input = &node->inputs[port];
        for (size_t i = 0; i < input->count; i++) {
            const struct us_node *above = &run->graph->nodes[input->links[i].node];
            if (!above->type->per_frame || node->type->inputs[port].reach == US_ALL_FRAMES) {
                continue;
            }
            const struct us_frames *here = &run->nodes[input->links[i].node].frames;
            if (found && !same_frames(found, here)) {
                return frames_differ(node, first, found, above->name, here);
            }
            first = first ? first : above->name;
            found = found ? found : here;
        }
    }
    if (!found) {
        return node_error(node, us_error_hint(us_fail(US_GRAPH, "no input of it has frames"),
                                              "connect a node that works frame by frame"));
    }
    *frames = *found;
    return NULL;
}

static struct us_error *frames_of_node(struct us_run *run, uint32_t index) {
    const struct us_node *node = &run->graph->nodes[index];
    struct node_tasks *tasks = &run->nodes[index];
    if (!node->type->per_frame) {
        tasks->count = 1;
        return NULL;
    }
    if (node->type->frames) {
        tasks->owns_frames = true;
        struct us_error *error = node->type->frames(node->params, &tasks->frames);
        if (error) {
            return node_error(node, error);
        }
    } else {
        US_TRY(frames_of_inputs(run, node, &tasks->frames));
    }
    if (tasks->frames.count == 0) {
        return node_error(node, us_error_hint(us_fail(US_MISSING, "there are no frames"),
                                              "check the path and the frame range"));
    }
    tasks->count = (uint32_t)tasks->frames.count;
    return NULL;
}

static bool has_volatile_above(const struct us_run *run, const struct us_node *node) {
    bool is = node->type->volatile_result;
    for (int port = 0; port < us_port_count(node->type->inputs); port++) {
        for (size_t k = 0; k < node->inputs[port].count; k++) {
            is |= run->nodes[node->inputs[port].links[k].node].volatile_above;
        }
    }
    return is;
}

typedef void link_visitor(struct node_tasks *above, uint32_t node);

static void count_reader(struct node_tasks *above, uint32_t node) {
    (void)node;
    above->consumer_count++; /* too many, where it is read twice */
}

static void add_reader(struct node_tasks *above, uint32_t node) {
    if (!above->consumer_count || above->consumers[above->consumer_count - 1] != node) {
        above->consumers[above->consumer_count++] = node;
    }
}

static void each_link(struct us_run *run, link_visitor *visit) {
    for (uint32_t i = 0; i < run->graph->node_count; i++) {
        const struct us_node *node = &run->graph->nodes[i];
        for (int port = 0; port < us_port_count(node->type->inputs); port++) {
            for (size_t k = 0; k < node->inputs[port].count; k++) {
                visit(&run->nodes[node->inputs[port].links[k].node], i);
            }
        }
    }
}

/* Fills in who reads a node's results. */
static void find_consumers(struct us_run *run) {
    size_t links = 0;
    each_link(run, count_reader);
    for (uint32_t i = 0; i < run->graph->node_count; i++) {
        links += run->nodes[i].consumer_count;
    }
    uint32_t *consumers = us_arena_alloc(&run->arena, (links + 1) * sizeof *consumers);
    for (uint32_t i = 0; i < run->graph->node_count; i++) {
        struct node_tasks *tasks = &run->nodes[i];
        tasks->consumers = consumers;
        consumers += tasks->consumer_count;
        tasks->consumer_count = 0;
    }
    each_link(run, add_reader);
}

/* Of each node, or task, what planning makes: itself, its place in the plan, its consumers. */
static const size_t a_node = sizeof(struct node_tasks) + 16, a_task = sizeof(struct task) + 4;

struct us_error *build_tasks(struct us_run *run) {
    struct us_graph *graph = run->graph;
    us_arena_reserve(&run->arena, graph->node_count * (a_node + a_task));
    run->nodes = us_arena_alloc(&run->arena, (graph->node_count + 1) * sizeof *run->nodes);
    uint64_t total = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        US_TRY(frames_of_node(run, i));
        run->nodes[i].first = (uint32_t)total;
        total += run->nodes[i].count;
        if (total >= NO_TASK) {
            return us_fail(US_GRAPH, "the graph has more than %d tasks", NO_TASK);
        }
    }
    run->task_count = (uint32_t)total;
    if (total > 2 * graph->node_count) {
        us_arena_reserve(&run->arena, total * a_task);
    }
    run->tasks = us_arena_alloc(&run->arena, total * sizeof *run->tasks);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct node_tasks *tasks = &run->nodes[i];
        tasks->volatile_above = has_volatile_above(run, &graph->nodes[i]);
        for (uint32_t k = 0; k < tasks->count; k++) {
            struct task *task = &run->tasks[tasks->first + k];
            task->node = i;
            if (graph->nodes[i].type->per_frame) {
                task->frame = tasks->frames.items[k];
            }
        }
    }
    find_consumers(run);
    return NULL;
}

static void window_of(const struct us_node *node, int port, int *before, int *after) {
    *before = 0;
    *after = 0;
    if (node->type->inputs[port].reach == US_WINDOW && node->type->window) {
        node->type->window(node->params, before, after);
    }
}

/* Where a task's frame stands among those of another node: at once where both have the same. */
static ptrdiff_t place_above(const struct us_run *run, const struct node_tasks *above,
                             const struct task *task) {
    const struct node_tasks *own = &run->nodes[task->node];
    return above->frames.items == own->frames.items ? task - &run->tasks[own->first]
                                                    : us_frames_find(&above->frames, task->frame);
}

uint32_t task_span(const struct us_run *run, uint32_t above, const struct task *task, int port,
                   uint32_t *first) {
    const struct us_node *node = task_node(run, task);
    const struct node_tasks *tasks = &run->nodes[above];
    *first = tasks->first;
    if (!run->graph->nodes[above].type->per_frame || !node->type->per_frame ||
        node->type->inputs[port].reach == US_ALL_FRAMES) {
        return tasks->count;
    }
    ptrdiff_t at = place_above(run, tasks, task);
    if (at < 0) {
        return 0;
    }
    int before, after;
    window_of(node, port, &before, &after);
    ptrdiff_t low = at, high = at;
    const struct us_frame *frames = tasks->frames.items;
    while (before-- > 0 && low > 0 && frames[low - 1].take == task->frame.take) {
        low--;
    }
    while (after-- > 0 && high + 1 < (ptrdiff_t)tasks->count &&
           frames[high + 1].take == task->frame.take) {
        high++;
    }
    *first += (uint32_t)low;
    return (uint32_t)(high - low + 1);
}

struct input_ref *task_inputs(const struct us_run *run, const struct task *task, int port,
                              struct us_arena *arena, size_t *count) {
    const struct us_node_input *input = &task_node(run, task)->inputs[port];
    uint32_t first;
    size_t total = 0;
    for (size_t i = 0; i < input->count; i++) {
        total += task_span(run, input->links[i].node, task, port, &first);
    }
    struct input_ref *refs = us_arena_alloc(arena, (total + 1) * sizeof *refs);
    size_t filled = 0;
    for (size_t i = 0; i < input->count; i++) {
        uint32_t span = task_span(run, input->links[i].node, task, port, &first);
        for (uint32_t k = 0; k < span; k++) {
            refs[filled++] = (struct input_ref){first + k, input->links[i].port, (uint32_t)i};
        }
    }
    *count = total;
    return refs;
}

void each_port_input(struct us_run *run, const struct task *task, int port, task_visitor *visit,
                     void *context) {
    const struct us_node_input *input = &task_node(run, task)->inputs[port];
    for (size_t i = 0; i < input->count; i++) {
        uint32_t first;
        uint32_t span = task_span(run, input->links[i].node, task, port, &first);
        for (uint32_t k = 0; k < span; k++) {
            visit(run, &run->tasks[first + k], context);
        }
    }
}

void each_input(struct us_run *run, const struct task *task, task_visitor *visit, void *context) {
    const int ports = us_port_count(task_node(run, task)->type->inputs);
    for (int port = 0; port < ports; port++) {
        each_port_input(run, task, port, visit, context);
    }
}

/* Visits the tasks of node `below` that read `task` through `port`: the window, mirrored. */
static void visit_port(struct us_run *run, uint32_t below, int port, const struct task *task,
                       task_visitor *visit, void *context) {
    const struct us_node *node = &run->graph->nodes[below];
    const struct node_tasks *tasks = &run->nodes[below];
    bool all = !node->type->per_frame || !task_node(run, task)->type->per_frame ||
               node->type->inputs[port].reach == US_ALL_FRAMES;
    ptrdiff_t low = 0, high = (ptrdiff_t)tasks->count - 1;
    if (!all) {
        int before, after;
        window_of(node, port, &before, &after);
        ptrdiff_t at = place_above(run, tasks, task);
        if (at < 0) {
            return;
        }
        low = at - after < 0 ? 0 : at - after;
        high = at + before > high ? high : at + before;
    }
    for (ptrdiff_t i = low; i <= high; i++) {
        struct task *consumer = &run->tasks[tasks->first + (uint32_t)i];
        if (all || consumer->frame.take == task->frame.take) {
            visit(run, consumer, context);
        }
    }
}

void each_consumer(struct us_run *run, const struct task *task, task_visitor *visit,
                   void *context) {
    const struct node_tasks *tasks = &run->nodes[task->node];
    for (uint32_t c = 0; c < tasks->consumer_count; c++) {
        const uint32_t below = tasks->consumers[c];
        const struct us_node *node = &run->graph->nodes[below];
        for (int port = 0; port < us_port_count(node->type->inputs); port++) {
            const struct us_node_input *input = &node->inputs[port];
            for (size_t i = 0; i < input->count; i++) {
                if (input->links[i].node == task->node) {
                    visit_port(run, below, port, task, visit, context);
                }
            }
        }
    }
}

/* The node that a node's frames come from, which knows their takes; NULL: none does. */
static const struct us_node *frames_from(const struct us_run *run, const struct us_node *node) {
    while (node && !node->type->take_name) {
        const struct us_node *above = NULL;
        for (int port = 0; port < us_port_count(node->type->inputs) && !above; port++) {
            const struct us_node_input *input = &node->inputs[port];
            for (size_t i = 0; i < input->count && !above; i++) {
                const struct us_node *linked = &run->graph->nodes[input->links[i].node];
                const bool each = node->type->inputs[port].reach != US_ALL_FRAMES;
                above = linked->type->per_frame && each ? linked : NULL;
            }
        }
        node = above;
    }
    return node;
}

const char *task_label(const struct us_run *run, const struct task *task, struct us_arena *arena) {
    const struct us_node *node = task_node(run, task);
    if (!node->type->per_frame) {
        return node->name;
    }
    const struct us_frames *frames = &run->nodes[task->node].frames;
    if (frames->items[frames->count - 1].take == 0) {
        return us_arena_printf(arena, "%s@%d", node->name, task->frame.number);
    }
    const struct us_node *source = frames_from(run, node);
    char *take = source ? source->type->take_name(source->params, task->frame.take) : NULL;
    const char *label =
        take ? us_arena_printf(arena, "%s@%s:%d", node->name, take, task->frame.number)
             : us_arena_printf(arena, "%s@%d:%d", node->name, task->frame.take, task->frame.number);
    us_free(take);
    return label;
}

void us_source_add(struct us_sources *sources, const char *role, const char *path,
                   const char *hint) {
    if (sources->count == sources->capacity) {
        size_t capacity = sources->capacity ? 2 * sources->capacity : 4;
        struct source_file *items = us_arena_alloc(sources->arena, capacity * sizeof *items);
        if (sources->count) {
            memcpy(items, sources->items, sources->count * sizeof *items);
        }
        sources->items = items;
        sources->capacity = capacity;
    }
    sources->items[sources->count++] = (struct source_file){
        us_arena_strdup(sources->arena, role), us_arena_strdup(sources->arena, path),
        hint ? us_arena_strdup(sources->arena, hint) : NULL};
}
