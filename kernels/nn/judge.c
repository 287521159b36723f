#include <string.h>

#include "kernels/nn/adversarial_loss.h"
#include "kernels/nn/arch_internal.h"
#include "kernels/nn/judge_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/pointwise_internal.h"

#define ARENAS 5

enum us_nn_status nn_judge_init(struct nn_judge *j, struct nn_judge_graph *graph, int batch) {
    struct nn_tensor *tensors[NN_GRAPH_NODES];
    memset(j, 0, sizeof *j);
    j->batch = batch;
    j->output_count = graph->output_count;
    enum us_nn_status status = nn_params_init_for(&j->params, graph->graph);
    nn_net_init(&j->net, &j->params, true, false);
    if (!status) {
        nn_lower(&j->net, graph->graph, batch, tensors);
        status = j->net.status;
    }
    if (!status) {
        j->input = tensors[0];
        nn_net_use_value(&j->net, j->input, NN_PLAN_END);
        nn_plan_use(&j->net.plan, j->input->grads[0].buffer, NN_PLAN_END);
        for (int i = 0; i < j->output_count; i++) {
            j->logits[i] = tensors[graph->outputs[i]];
        }
    }
    nn_graph_destroy(graph->graph);
    *graph = (struct nn_judge_graph){0};
    return status;
}

static float **arenas(struct nn_judge *j, int i) {
    float **const all[ARENAS] = {&j->weights, &j->moment1, &j->moment2, &j->gradients, &j->sum};
    return all[i];
}

void nn_judge_finish(struct nn_judge *j) {
    nn_net_finish(&j->net);
    nn_params_finish(&j->params);
    for (int i = 0; i < ARENAS; i++) {
        us_nn_free(*arenas(j, i));
        *arenas(j, i) = NULL;
    }
}

size_t nn_judge_memory(struct nn_judge *j) {
    return nn_net_memory(&j->net) + ARENAS * j->params.arena_count * sizeof(float);
}

enum us_nn_status nn_judge_allocate(struct nn_judge *j, uint64_t seed) {
    for (int i = 0; i < ARENAS; i++) {
        *arenas(j, i) = us_nn_alloc(j->params.arena_count * sizeof(float));
        if (!*arenas(j, i)) {
            return US_NN_NO_MEMORY;
        }
    }
    const enum us_nn_status status = nn_net_bind(&j->net, j->weights, j->gradients);
    return status ? status : nn_judge_restart(j, seed);
}

float *nn_judge_input(const struct nn_judge *j) {
    return nn_net_at(&j->net, j->input->value);
}

const float *nn_judge_input_gradient(const struct nn_judge *j) {
    return nn_net_at(&j->net, j->input->grads[0]);
}

void nn_judge_begin(struct nn_judge *j) {
    memset(j->sum, 0, j->params.arena_count * sizeof *j->sum);
}

static size_t half_of(const struct nn_judge *j, int output) {
    return nn_tensor_elements(j->logits[output]) / 2;
}

/* Cross entropies at the logits as they lie there, and the gradients for backward. */
static double set_gradients(const struct nn_judge *j, int whole, bool own, float power) {
    double loss = 0;
    for (int i = 0; i < j->output_count; i++) {
        const size_t half = half_of(j, i);
        const double each = 1 / ((double)(half / (size_t)j->batch) * whole);
        const float *logits = nn_net_at(&j->net, j->logits[i]->value);
        float *gradient = nn_net_at(&j->net, j->logits[i]->grads[0]);
        if (own) {
            const float scale = (float)(each / 2);
            loss += each / 2 * nn_cross_entropy(logits, half, 1, scale, gradient);
            loss += each / 2 * nn_cross_entropy(logits + half, half, 0, scale, gradient + half);
        } else {
            memset(gradient, 0, half * sizeof *gradient);
            loss += each *
                    nn_cross_entropy(logits + half, half, 1, power * (float)each, gradient + half);
        }
    }
    return own ? loss / j->output_count : loss;
}

/* Backward overwrites what forward left, so that each has a forward of its own. What the judge
 * learns comes first: the input's gradient must stay. */
enum us_nn_status nn_judge_run(struct nn_judge *j, int whole, float power,
                               struct nn_judge_losses *losses) {
    enum us_nn_status status = nn_net_forward(&j->net, NN_ALL_SIDES);
    if (!status) {
        losses->own = set_gradients(j, whole, true, 0);
        status = nn_net_backward(&j->net);
    }
    if (!status) {
        nn_add(dnnl_f32, j->sum, j->gradients, j->params.arena_count);
        status = nn_net_forward(&j->net, NN_ALL_SIDES);
    }
    if (!status) {
        losses->made_as_true = set_gradients(j, whole, false, power);
        status = nn_net_backward(&j->net);
    }
    return status;
}

void nn_judge_measure(struct nn_judge *j) {
    j->square_sum = us_nn_sum_of_squares(j->sum, j->params.arena_count);
}

void nn_judge_update(struct nn_judge *j, const struct us_nn_optimizer *optimizer, uint64_t step) {
    struct us_nn_optimizer own = *optimizer;
    own.rate_dropout = own.average_decay = 0;
    const struct us_nn_optimizer_state state = {.parameters = j->weights,
                                                .moment1 = j->moment1,
                                                .moment2 = j->moment2,
                                                .gradients = j->sum,
                                                .count = j->params.arena_count};
    us_nn_optimizer_step(&own, &state, step, j->square_sum, 0);
}

enum us_nn_status nn_judge_read(const struct nn_judge *j, float *flat) {
    const float *const from[] = {j->weights, j->moment1, j->moment2};
    enum us_nn_status status = US_NN_OK;
    for (size_t i = 0; i < 3 && !status; i++) {
        status = nn_params_export(&j->params, from[i], flat + i * j->params.layout.count);
    }
    return status;
}

enum us_nn_status nn_judge_write(struct nn_judge *j, const float *flat) {
    float *const to[] = {j->weights, j->moment1, j->moment2};
    enum us_nn_status status = US_NN_OK;
    for (size_t i = 0; i < 3 && !status; i++) {
        status = nn_params_import(&j->params, flat + i * j->params.layout.count, to[i]);
    }
    return status;
}

enum us_nn_status nn_judge_restart(struct nn_judge *j, uint64_t seed) {
    const size_t count = j->params.layout.count;
    float *flat = us_nn_alloc(3 * count * sizeof *flat); /* zeroed: the moments */
    if (!flat) {
        return US_NN_NO_MEMORY;
    }
    us_nn_layout_initialise(&j->params.layout, seed, flat);
    const enum us_nn_status status = nn_judge_write(j, flat);
    us_nn_free(flat);
    return status;
}
