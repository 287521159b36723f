/* The discriminators of a training on a device: judged in the middle of its step (net_judge.c),
 * measured and updated at its end. */
#include <cuda_runtime_api.h>

#include "kernels/cuda/judge.h"
#include "kernels/cuda/trainer_internal.h"
#include "kernels/nn/memory.h"

static bool any(const struct cu_trainer *t) {
    return t->judges[NN_CODE_JUDGE] || t->judges[NN_FACE_JUDGE];
}

static enum us_nn_status describe(struct cu_trainer *t, int which, struct nn_judge_graph *graph,
                                  int size, float power) {
    const struct cu_judge_config config = {.type = t->base.config.bf16 ? NN_CUDA_BF16 : NN_CUDA_F32,
                                           .batch = t->net.batch,
                                           .size = size,
                                           .power = power,
                                           .scale = t->net.loss_scale};
    t->judges[which] = us_nn_alloc(sizeof *t->judges[which]);
    if (!t->judges[which]) {
        nn_graph_destroy(graph->graph);
        return US_NN_NO_MEMORY;
    }
    return cu_judge_describe(t->judges[which], graph, &config);
}

static enum us_nn_status describe_code(struct cu_trainer *t) {
    struct nn_judge_graph graph;
    if (t->graph->code < 0) {
        return US_NN_UNSUPPORTED;
    }
    const struct nn_node *code = &t->graph->nodes[t->graph->code];
    enum us_nn_status status = nn_code_judge_graph(code->c, code->h, code->w, &graph);
    status = status ? status
                    : describe(t, NN_CODE_JUDGE, &graph, 0, t->base.config.adversaries.true_face);
    if (!status) {
        cu_net_judge_code(&t->net, t->judges[NN_CODE_JUDGE]);
    }
    return status;
}

static enum us_nn_status describe_face(struct cu_trainer *t) {
    const struct us_nn_adversaries *a = &t->base.config.adversaries;
    const int size = t->base.config.arch.resolution;
    struct nn_judge_graph graph;
    enum us_nn_status status =
        nn_face_judge_graph(size, a->gan_patch > 0 ? a->gan_patch : size / 8, a->gan_dims, &graph);
    status = status ? status : describe(t, NN_FACE_JUDGE, &graph, size, a->gan);
    if (!status) {
        cu_net_judge_faces(&t->net, t->judges[NN_FACE_JUDGE]);
    }
    return status;
}

enum us_nn_status cu_adversaries_describe(struct cu_trainer *t) {
    const struct us_nn_adversaries *a = &t->base.config.adversaries;
    enum us_nn_status status = t->net.status;
    if (!status && a->true_face > 0) {
        status = describe_code(t);
    }
    return !status && a->gan > 0 ? describe_face(t) : status;
}

enum us_nn_status cu_adversaries_make_plans(struct cu_trainer *t) {
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < NN_JUDGES && !status; i++) {
        if (t->judges[i]) {
            status = cu_net_make_plans(&t->judges[i]->net, t->planner);
        }
    }
    return status;
}

static void need(struct cu_trainer *t, void *at, size_t bytes, bool zeroed) {
    t->blocks[t->block_count++] = (struct cu_block){at, bytes, zeroed};
}

size_t cu_adversaries_list(struct cu_trainer *t, size_t scratch) {
    for (int i = 0; i < NN_JUDGES; i++) {
        struct cu_judge *j = t->judges[i];
        if (!j) {
            continue;
        }
        const size_t arena = j->params.arena_count * sizeof(float);
        need(t, &j->masters, arena, true);
        need(t, &j->gradients, arena, true);
        need(t, &j->moment1, arena, true);
        need(t, &j->moment2, arena, true);
        for (int k = 0; k < t->levels; k++) {
            need(t, &j->waiting.at[k], arena, true);
        }
        if (j->config.type == NN_CUDA_BF16) {
            need(t, &j->copies, arena / 2, true);
        }
        need(t, &j->memory, j->net.plan.size, false);
        scratch = j->net.scratch > scratch ? j->net.scratch : scratch;
    }
    return scratch;
}

/* A judge works in the scratch of the stream that runs it. */
static int stream_of(const struct cu_trainer *t, const struct cu_judge *judge) {
    int stream = 0;
    for (int i = 0; i < t->net.op_count; i++) {
        stream = t->net.ops[i].judge == judge ? t->net.ops[i].stream : stream;
    }
    return stream;
}

enum us_nn_status cu_adversaries_bind(struct cu_trainer *t) {
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < NN_JUDGES && !status; i++) {
        struct cu_judge *j = t->judges[i];
        if (j) {
            cu_judge_bind(j, t->scratch[stream_of(t, j)]);
            status = cu_net_make_events(&j->net);
            status = status ? status : cu_judge_restart(j, t->base.config.seed);
        }
    }
    return status;
}

void cu_adversaries_finish(struct cu_trainer *t) {
    for (int i = 0; i < NN_JUDGES; i++) {
        if (t->judges[i]) {
            cu_net_finish(&t->judges[i]->net);
        }
    }
}

void cu_adversaries_free(struct cu_trainer *t) {
    for (int i = 0; i < NN_JUDGES; i++) {
        if (t->judges[i]) {
            cu_judge_free(t->judges[i]);
            t->judges[i] = NULL;
        }
    }
}

void cu_adversaries_set(struct cu_trainer *t) {
    for (int i = 0; i < NN_JUDGES; i++) {
        t->mirror->judge_clocks[i].step = t->base.steps;
        t->mirror->judge_clocks[i].rate = t->base.config.optimizer.rate;
    }
}

enum us_nn_status cu_adversaries_add_pass(struct cu_trainer *t, int pass, int level, bool last) {
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < NN_JUDGES && error == cudaSuccess; i++) {
        const struct cu_judge *j = t->judges[i];
        if (j) {
            error = cu_tree_fold(j->gradients, &j->waiting, (unsigned)pass, level,
                                 last ? NULL : j->waiting.at[level], j->params.arena_count,
                                 (cudaStream_t)t->streams.at[0]);
        }
    }
    return cu_status(error);
}

enum us_nn_status cu_adversaries_share(struct cu_trainer *t) {
    struct us_nn_comm *comm = t->base.config.comm;
    bool sent = true;
    for (int i = 0; i < NN_JUDGES && sent; i++) {
        const struct cu_judge *j = t->judges[i];
        if (j) {
            sent = comm->calls->all_reduce(comm, j->gradients, j->params.arena_count,
                                           US_NN_COMM_F32, t->side);
        }
    }
    return sent ? US_NN_OK : US_NN_LOST;
}

enum us_nn_status cu_adversaries_measure(struct cu_trainer *t) {
    enum us_nn_status status = US_NN_OK;
    if (!any(t)) {
        return US_NN_OK;
    }
    for (int i = 0; i < NN_JUDGES && !status; i++) {
        if (t->judges[i]) { /* the other's sum stays 0 */
            status = cu_judge_measure(t->judges[i], &t->state->judge_sums[i], t->streams.at[0]);
        }
    }
    return status ? status
                  : cu_status(cu_judge_together(&t->state->square_sum, t->state->judge_sums,
                                                NN_JUDGES, (cudaStream_t)t->streams.at[0]));
}

static enum us_nn_status move(struct cu_trainer *t, int which) {
    const struct cu_judge *j = t->judges[which];
    struct us_nn_optimizer own = t->base.config.optimizer;
    own.rate_dropout = own.average_decay = 0;
    const struct nn_cuda_parameters all = {.parameters = j->masters,
                                           .moment1 = j->moment1,
                                           .moment2 = j->moment2,
                                           .gradients = j->gradients,
                                           .gradient_type = NN_CUDA_F32,
                                           .copy = j->copies,
                                           .count = j->params.arena_count};
    struct nn_cuda_clock *clock = &t->state->judge_clocks[which];
    cudaStream_t stream = (cudaStream_t)t->streams.at[0];
    cudaError_t error =
        nn_cuda_optimizer_begin(&own, clock, &t->state->judge_sums[which], 1, stream);
    if (error == cudaSuccess) {
        error = nn_cuda_optimizer_step(&own, &all, clock, t->base.config.seed, stream);
    }
    return cu_status(error);
}

enum us_nn_status cu_adversaries_move(struct cu_trainer *t) {
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < NN_JUDGES && !status; i++) {
        if (t->judges[i]) {
            status = move(t, i);
        }
    }
    return status;
}

size_t cu_adversaries_count(const struct us_nn_trainer *trainer) {
    const struct cu_trainer *t = (const struct cu_trainer *)trainer;
    size_t count = 0;
    for (int i = 0; i < NN_JUDGES; i++) {
        count += t->judges[i] ? 3 * t->judges[i]->layout.count : 0;
    }
    return count;
}

static enum us_nn_status come_to_rest(const struct cu_trainer *t) {
    const enum us_nn_status status = cu_trainer_use(t);
    return status ? status : cu_status(cudaDeviceSynchronize());
}

enum us_nn_status cu_adversaries_read(const struct us_nn_trainer *trainer, float *flat) {
    const struct cu_trainer *t = (const struct cu_trainer *)trainer;
    enum us_nn_status status = come_to_rest(t);
    for (int i = 0; i < NN_JUDGES && !status; i++) {
        const struct cu_judge *j = t->judges[i];
        if (j) {
            status = cu_judge_read(j, flat);
            flat += 3 * j->layout.count;
        }
    }
    return status;
}

enum us_nn_status cu_adversaries_write(struct us_nn_trainer *trainer, const float *flat) {
    const struct cu_trainer *t = (const struct cu_trainer *)trainer;
    enum us_nn_status status = come_to_rest(t);
    for (int i = 0; i < NN_JUDGES && !status; i++) {
        struct cu_judge *j = t->judges[i];
        if (j && !flat) {
            status = cu_judge_restart(j, t->base.config.seed);
        } else if (j) {
            status = cu_judge_write(j, flat);
            flat += 3 * j->layout.count;
        }
    }
    return status;
}
