#include "kernels/cuda/conv_candidates_internal.h"

#include <string.h>

#include "kernels/nn/memory.h"

typedef cudnnBackendDescriptor_t node;

static const size_t most_workspace = (size_t)1 << 30;

size_t conv_plan_workspace(node plan) {
    int64_t bytes = 0, count = 0;
    return cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                    CUDNN_TYPE_INT64, 1, &count, &bytes) == CUDNN_STATUS_SUCCESS &&
                   count == 1 && bytes >= 0
               ? (size_t)bytes
               : SIZE_MAX;
}

static char *json_of(node plan) {
    int64_t size = 0, got = 0;
    if (cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                 CUDNN_TYPE_CHAR, 0, &size, NULL) != CUDNN_STATUS_SUCCESS ||
        size < 1) {
        return NULL;
    }
    char *json = us_nn_alloc((size_t)size + 1);
    if (json &&
        cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                 CUDNN_TYPE_CHAR, size, &got, json) != CUDNN_STATUS_SUCCESS) {
        us_nn_free(json);
        return NULL;
    }
    return json;
}

static node engine_of(node config) {
    node engine = NULL;
    int64_t count = 0;
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) !=
        CUDNN_STATUS_SUCCESS) {
        return NULL;
    }
    if (cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                 1, &count, &engine) != CUDNN_STATUS_SUCCESS ||
        count != 1) {
        (void)cudnnBackendDestroyDescriptor(engine);
        return NULL;
    }
    return engine;
}

/* The numerical notes of an engine as bits. */
static unsigned notes_of(node engine) {
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    unsigned bits = 0;
    if (cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                 CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count,
                                 notes) != CUDNN_STATUS_SUCCESS) {
        return 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    }
    for (int64_t i = 0; i < count && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; i++) {
        bits |= 1u << notes[i];
    }
    return bits;
}

/* Does cuDNN compile it at run time, which takes up to seconds? */
static bool is_compiled(node config) {
    cudnnBackendBehaviorNote_t notes[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t count = 0;
    bool compiled = false;
    node engine = engine_of(config);
    if (engine && cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
                                           CUDNN_TYPE_BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT,
                                           &count, notes) == CUDNN_STATUS_SUCCESS) {
        for (int64_t i = 0; i < count && i < CUDNN_BEHAVIOR_NOTE_TYPE_COUNT; i++) {
            compiled |= notes[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
        }
    }
    if (engine) {
        (void)cudnnBackendDestroyDescriptor(engine);
    }
    return compiled;
}

static bool engine_is_fit(node engine, const struct us_conv_desc *desc) {
    unsigned refused = 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC |
                       1u << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION |
                       1u << CUDNN_NUMERICAL_NOTE_FFT |
                       1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
    if (desc->type == US_CONV_F32 && !desc->tf32) {
        refused |=
            1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE | 1u << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
    }
    return !(notes_of(engine) & refused);
}

static bool config_is_fit(node config, const struct us_conv_desc *desc) {
    node engine = engine_of(config);
    bool fit = engine && engine_is_fit(engine, desc);
    if (engine) {
        (void)cudnnBackendDestroyDescriptor(engine);
    }
    return fit;
}

static node finalise_plan(const struct conv_target *target, node config) {
    node plan = NULL;
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan) !=
        CUDNN_STATUS_SUCCESS) {
        return NULL;
    }
    struct conv_bag bag = {.items = {plan}, .count = 1};
    conv_bag_set(&bag, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                 1, &config);
    if (target->handle) {
        conv_bag_set(&bag, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                     &target->handle);
    } else {
        conv_bag_set(&bag, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &target->described);
    }
    conv_bag_finalise(&bag, plan);
    if (bag.status != CUDNN_STATUS_SUCCESS) {
        conv_bag_finish(&bag);
        return NULL;
    }
    return plan;
}

node conv_plan_from_json(const struct conv_target *target, const char *json) {
    struct conv_bag bag = {0};
    node plan = conv_bag_make(&bag, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    if (target->handle) {
        conv_bag_set(&bag, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                     &target->handle);
    } else {
        conv_bag_set(&bag, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &target->described);
    }
    conv_bag_set(&bag, plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                 (int64_t)strlen(json), json);
    conv_bag_finalise(&bag, plan);
    if (bag.status != CUDNN_STATUS_SUCCESS) {
        conv_bag_finish(&bag);
        return NULL;
    }
    return plan;
}

static bool is_known(const struct conv_candidates *found, const struct conv_graph *graph,
                     const char *json) {
    for (int i = 0; i < found->count; i++) {
        const struct conv_candidate *item = &found->items[i];
        if (item->fused == graph->fused && item->matmul == graph->matmul &&
            strcmp(item->json, json) == 0) {
            return true;
        }
    }
    return false;
}

/* Is there room for another of its kind? A bare convolution that is compiled at run time has lost
 * against those that are there whenever it was timed. */
static bool is_wanted(const struct conv_candidates *found, const struct conv_graph *graph,
                      bool compiled) {
    int same = 0, ready = 0;
    for (int i = 0; i < found->count; i++) {
        const struct conv_candidate *item = &found->items[i];
        const bool same_graph = item->fused == graph->fused && item->matmul == graph->matmul;
        same += same_graph && item->compiled == compiled;
        ready += same_graph && !item->compiled;
    }
    if (compiled && !graph->fused && !graph->matmul && ready > 0) {
        return false;
    }
    return found->count < CONV_CANDIDATES && same < (compiled ? CONV_COMPILED : CONV_READY);
}

/* Takes over `config` when it becomes a candidate. */
static bool add_config(struct conv_candidates *found, const struct conv_graph *graph,
                       const struct conv_target *target, const struct us_conv_desc *desc,
                       node config) {
    const bool compiled = is_compiled(config);
    if (!is_wanted(found, graph, compiled) || !config_is_fit(config, desc)) {
        return false;
    }
    node plan = finalise_plan(target, config);
    if (!plan) {
        return false;
    }
    char *json = json_of(plan);
    const size_t workspace = conv_plan_workspace(plan);
    if (!json || workspace > most_workspace || is_known(found, graph, json)) {
        us_nn_free(json);
        (void)cudnnBackendDestroyDescriptor(plan);
        return false;
    }
    found->items[found->count++] = (struct conv_candidate){.compiled = compiled,
                                                           .config = config,
                                                           .plan = plan,
                                                           .fused = graph->fused,
                                                           .matmul = graph->matmul,
                                                           .json = json,
                                                           .workspace = workspace};
    return true;
}

static node heuristic(struct conv_bag *bag, const struct conv_graph *graph,
                      const struct conv_target *target, cudnnBackendHeurMode_t mode) {
    node made = conv_bag_make(bag, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    conv_bag_set(bag, made, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                 &graph->graph);
    conv_bag_set(bag, made, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (target->described) {
        conv_bag_set(bag, made, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                     &target->described);
    }
    conv_bag_finalise(bag, made);
    return made;
}

/* The configurations that a heuristic names; the caller destroys them. */
static int ask(const struct conv_graph *graph, const struct conv_target *target,
               cudnnBackendHeurMode_t mode, node *configs, int most) {
    struct conv_bag bag = {0};
    int64_t got = 0;
    int made = 0;
    node asked = heuristic(&bag, graph, target, mode);
    while (bag.status == CUDNN_STATUS_SUCCESS && made < most &&
           cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[made]) ==
               CUDNN_STATUS_SUCCESS) {
        made++;
    }
    if (made && cudnnBackendGetAttribute(asked, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &got,
                                         configs) != CUDNN_STATUS_SUCCESS) {
        got = 0;
    }
    while (made > got) {
        (void)cudnnBackendDestroyDescriptor(configs[--made]);
    }
    conv_bag_finish(&bag);
    return made;
}

static void destroy_all(node *configs, int count) {
    while (count) {
        (void)cudnnBackendDestroyDescriptor(configs[--count]);
    }
}

int conv_graph_offers(const struct conv_graph *graph, const struct conv_target *target) {
    node configs[CONV_CANDIDATES / 2];
    const int count = ask(graph, target, CUDNN_HEUR_MODE_A, configs, CONV_CANDIDATES / 2);
    destroy_all(configs, count);
    return count;
}

/* True when there are enough. */
static bool add_graph(struct conv_candidates *found, const struct conv_graph *graph,
                      const struct conv_target *target, const struct us_conv_desc *desc,
                      bool first_only) {
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B,
                                                   CUDNN_HEUR_MODE_FALLBACK};
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        node configs[CONV_CANDIDATES / 2];
        const int count = ask(graph, target, modes[m], configs, CONV_CANDIDATES / 2);
        for (int i = 0; i < count; i++) {
            if (!add_config(found, graph, target, desc, configs[i])) {
                (void)cudnnBackendDestroyDescriptor(configs[i]);
            } else if (first_only) {
                destroy_all(configs + i + 1, count - i - 1);
                return true;
            }
        }
    }
    return false;
}

void conv_candidates_find(struct conv_candidates *found, const struct conv_target *target,
                          const struct us_conv_desc *desc, bool first_only) {
    bool enough = false;
    found->graph_count = found->count = 0;
    for (int matmul = 0; matmul <= conv_is_matmul(desc) && !enough; matmul++) {
        for (int fused = 0; fused <= conv_has_epilogue(desc) && !enough; fused++) {
            struct conv_graph *graph = &found->graphs[found->graph_count++];
            enough = conv_graph_build(graph, target, desc, fused, matmul) &&
                     add_graph(found, graph, target, desc, first_only);
        }
    }
}

static void drop(struct conv_candidate *item) {
    (void)cudnnBackendDestroyDescriptor(item->plan);
    (void)cudnnBackendDestroyDescriptor(item->config);
    us_nn_free(item->json);
}

void conv_candidates_keep(struct conv_candidates *found, int index) {
    const struct conv_candidate kept = found->items[index];
    found->items[index] = found->items[0];
    found->items[0] = kept;
    while (found->count > 1) {
        drop(&found->items[--found->count]);
    }
}

void conv_candidates_finish(struct conv_candidates *found) {
    while (found->count) {
        drop(&found->items[--found->count]);
    }
    while (found->graph_count) {
        conv_graph_finish(&found->graphs[--found->graph_count]);
    }
}
