#include <cuda_runtime_api.h>
#include <math.h>
#include <string.h>

#include "kernels/cuda/judge.h"
#include "kernels/cuda/resize_planes.h"
#include "kernels/cuda/trainer_internal.h"

enum { TERMS = US_NN_IDENTITIES * (int)(sizeof(struct us_nn_loss_terms) / sizeof(double)) };

static cudaStream_t main_stream(const struct cu_trainer *t) {
    return t->streams.at[0];
}

size_t cu_update_scratch(const struct cu_trainer *t) {
    return nn_cuda_sum_scratch(t->params.arena_count);
}

/* `count` planes from the host, at the size of the net. */
static enum us_nn_status upload(const struct cu_trainer *t, float *to, const float *from,
                                size_t count) {
    const int whole = t->base.config.arch.resolution, size = t->graph->nodes[0].h;
    const size_t bytes = count * (size_t)whole * (size_t)whole * sizeof(float);
    float *there = t->whole ? t->whole : to;
    cudaError_t error = cudaMemcpyAsync(there, from, bytes, cudaMemcpyHostToDevice, main_stream(t));
    if (error == cudaSuccess && t->whole) {
        error = cu_reduce_planes(there, count, whole, size, to, main_stream(t));
    }
    return cu_status(error);
}

static enum us_nn_status upload_priorities(const struct cu_trainer *t, float *to,
                                           const float *priorities, size_t plane) {
    const size_t n = (size_t)t->net.batch;
    if (!to) {
        return US_NN_OK;
    }
    return priorities
               ? upload(t, to, priorities, n)
               : cu_status(cudaMemsetAsync(to, 0, n * plane * sizeof(float), main_stream(t)));
}

/* Planes from `first` on; NULL stays NULL. */
static const float *from_plane(const struct cu_trainer *t, const float *planes, size_t first) {
    const size_t whole = (size_t)t->base.config.arch.resolution;
    return planes ? planes + first * whole * whole : NULL;
}

static enum us_nn_status upload_pass(const struct cu_trainer *t, const struct us_nn_batch *batch,
                                     int pass) {
    const struct cu_net *net = &t->net;
    const size_t size = (size_t)t->graph->nodes[0].h, n = (size_t)net->batch;
    const size_t first = (size_t)pass * n;
    float *inputs = cu_net_at(net, net->values[0].raw);
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < t->graph->identities && !status; i++) {
        const struct us_nn_faces *faces = &batch->faces[i];
        status = upload(t, inputs + (size_t)i * 3 * n * size * size,
                        from_plane(t, faces->inputs, 3 * first), 3 * n);
        status = status ? status
                        : upload(t, cu_net_at(net, net->wanted[i].targets),
                                 from_plane(t, faces->targets, 3 * first), 3 * n);
        status = status ? status
                        : upload(t, cu_net_at(net, net->wanted[i].masks),
                                 from_plane(t, faces->masks, first), n);
        status = status ? status
                        : upload_priorities(t, cu_net_at(net, net->wanted[i].priorities),
                                            from_plane(t, faces->priorities, first), size * size);
    }
    return status;
}

static enum us_nn_status send_state(struct cu_trainer *t) {
    return cu_status(cudaMemcpyAsync(t->state, t->mirror, sizeof *t->state, cudaMemcpyHostToDevice,
                                     main_stream(t)));
}

static enum us_nn_status fetch_state(struct cu_trainer *t) {
    return cu_status(cudaMemcpyAsync(t->mirror, t->state, sizeof *t->state, cudaMemcpyDeviceToHost,
                                     main_stream(t)));
}

/* One pass. Without others its gradients go to other ranks as they are made. */
static enum us_nn_status compute(struct cu_trainer *t, enum cu_phase to, bool packed) {
    const bool shared = t->base.config.comm && to == CU_BACKWARD && t->passes == 1;
    const struct cu_selection what = {.from = CU_FORWARD,
                                      .to = to,
                                      .decoders = ~0u,
                                      .packed = packed,
                                      .complete = shared ? cu_comm_complete : NULL,
                                      .gather = cu_comm_gather,
                                      .context = t};
    t->sent = 0;
    return cu_net_run(&t->net, &what, &t->streams);
}

static enum us_nn_status measure(struct cu_trainer *t) {
    cudaError_t error =
        nn_cuda_sum_of_squares(t->net.gradient_type, t->gradients, t->params.arena_count, 1, false,
                               &t->state->square_sum, t->update_scratch, main_stream(t));
    if (error == cudaSuccess) {
        error =
            cu_judge(t->state->terms, t->graph->identities, &t->state->square_sum, main_stream(t));
    }
    return error == cudaSuccess ? cu_adversaries_measure(t) : cu_status(error);
}

static enum us_nn_status move(struct cu_trainer *t) {
    const struct us_nn_optimizer *optimizer = &t->base.config.optimizer;
    const struct nn_cuda_parameters all = {.parameters = t->masters,
                                           .moment1 = t->moment1,
                                           .moment2 = t->moment2,
                                           .average = t->average,
                                           .gradients = t->gradients,
                                           .gradient_type = t->net.gradient_type,
                                           .copy = t->copies,
                                           .count = t->params.arena_count};
    cudaError_t error = nn_cuda_optimizer_begin(optimizer, &t->state->clock, &t->state->square_sum,
                                                1, main_stream(t));
    if (error == cudaSuccess) {
        error = nn_cuda_optimizer_step(optimizer, &all, &t->state->clock, t->base.config.seed,
                                       main_stream(t));
    }
    return error == cudaSuccess ? cu_adversaries_move(t) : cu_status(error);
}

static enum us_nn_status put_terms_by(struct cu_trainer *t, int pass) {
    const size_t bytes = sizeof t->state->terms;
    return cu_status(cudaMemcpyAsync(t->parts + (size_t)pass * US_NN_IDENTITIES, t->state->terms,
                                     bytes, cudaMemcpyDeviceToDevice, main_stream(t)));
}

static enum us_nn_status add_up_terms(struct cu_trainer *t) {
    return cu_status(cu_tree_sum_f64((const double *)(const void *)t->parts, t->passes, TERMS,
                                     (double *)t->state->terms, TERMS, main_stream(t)));
}

/* Adds a pass to those before it: but for the last one the sum waits at the first level that is
 * free. */
static enum us_nn_status add_pass(struct cu_trainer *t, int pass) {
    const bool last = pass + 1 == t->passes;
    float *sum = (float *)(void *)t->gradients;
    int level = last ? t->levels : 0;
    while (!last && (pass >> level & 1)) {
        level++;
    }
    enum us_nn_status status = put_terms_by(t, pass);
    status = status ? status
                    : cu_status(cu_tree_fold(sum, &t->waiting, (unsigned)pass, level,
                                             last ? NULL : t->waiting.at[level],
                                             t->params.arena_count, main_stream(t)));
    status = status ? status : cu_adversaries_add_pass(t, pass, level, last);
    return status || !last ? status : add_up_terms(t);
}

/* What a step is made of: planes of the host, or faces that the device keeps (batch: NULL). */
static enum us_nn_status run_pass(struct cu_trainer *t, const struct us_nn_batch *batch, int pass,
                                  enum cu_phase to) {
    enum us_nn_status status = US_NN_OK;
    if (!batch) {
        status = cu_augment(t, pass);
    } else if (t->passes > 1) {
        status = upload_pass(t, batch, pass);
    }
    return status ? status : compute(t, to, !batch);
}

/* What is captured: from planes or faces in device memory to the state back on the host. */
static enum us_nn_status enqueue(struct cu_trainer *t, const struct us_nn_batch *batch,
                                 bool update) {
    enum us_nn_status status = send_state(t);
    for (int pass = 0; pass < t->passes && !status; pass++) {
        status = run_pass(t, batch, pass, CU_BACKWARD);
        if (!status && t->passes > 1) {
            status = add_pass(t, pass);
        }
    }
    if (!status && t->base.config.comm) {
        status = cu_comm_rest(t);
    }
    status = status ? status : measure(t);
    if (!status && update) {
        status = move(t);
    }
    return status ? status : fetch_state(t);
}

/* `ranks`: of how many the terms are the sum. */
static void read_losses(const struct cu_trainer *t, int ranks, struct us_nn_losses *losses) {
    *losses = (struct us_nn_losses){0};
    for (int i = 0; i < TERMS; i++) {
        ((double *)t->mirror->terms)[i] /= ranks * t->passes;
    }
    for (int i = 0; i < t->graph->identities; i++) {
        losses->faces[i] = t->mirror->terms[i];
        losses->total += losses->faces[i].total;
    }
    losses->gradient_norm = sqrt(t->mirror->square_sum);
    losses->finite = isfinite(losses->total) && isfinite(t->mirror->square_sum);
}

static enum us_nn_status finish(struct cu_trainer *t, struct us_nn_losses *losses) {
    const enum us_nn_status status = cu_comm_finish(t);
    if (status) {
        return status;
    }
    read_losses(t, t->base.config.comm ? t->base.config.comm->world : 1, losses);
    return losses->finite ? US_NN_OK : US_NN_NOT_FINITE;
}

static void set_mirror(struct cu_trainer *t) {
    t->mirror->clock.step = t->base.steps;
    t->mirror->clock.rate = t->base.config.optimizer.rate;
    t->mirror->fade = t->base.config.arch.fade;
    cu_adversaries_set(t);
}

static enum us_nn_status begin(struct cu_trainer *t, const struct us_nn_batch *batch) {
    const enum us_nn_status status = cu_trainer_use(t);
    set_mirror(t);
    return status || t->passes > 1 ? status : upload_pass(t, batch, 0);
}

enum us_nn_status cu_trainer_gradients(struct us_nn_trainer *trainer,
                                       const struct us_nn_batch *batch,
                                       struct us_nn_losses *losses) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    enum us_nn_status status = begin(t, batch);
    status = status ? status : enqueue(t, batch, false);
    return status ? status : finish(t, losses);
}

enum us_nn_status cu_trainer_update(struct us_nn_trainer *trainer) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    enum us_nn_status status = cu_trainer_use(t);
    set_mirror(t);
    status = status ? status : send_state(t);
    status = status ? status : move(t);
    status = status ? status : fetch_state(t);
    status = status ? status : cu_status(cudaStreamSynchronize(main_stream(t)));
    if (!status && !t->mirror->clock.moves) {
        return US_NN_NOT_FINITE;
    }
    trainer->steps += status ? 0 : 1;
    return status;
}

static void drop_graph(struct cu_graph *graph) {
    if (graph->exec) {
        (void)cudaGraphExecDestroy(graph->exec);
    }
    *graph = (struct cu_graph){0};
}

/* Captures the whole step into one graph. Other threads may use the device meanwhile. */
static enum us_nn_status capture(struct cu_trainer *t, const struct us_nn_batch *batch,
                                 struct cu_graph *graph) {
    cudaGraph_t captured = NULL;
    cudaError_t error = cudaStreamBeginCapture(main_stream(t), cudaStreamCaptureModeThreadLocal);
    if (error != cudaSuccess) {
        return cu_status(error);
    }
    const enum us_nn_status status = enqueue(t, batch, true);
    error = cudaStreamEndCapture(main_stream(t), &captured);
    if (error == cudaSuccess && !status) {
        error = cudaGraphInstantiate(&graph->exec, captured, 0);
    }
    if (captured) {
        (void)cudaGraphDestroy(captured);
    }
    return status ? status : cu_status(error);
}

/* The first step runs uncaptured: libraries load their kernels then. So do all steps whose planes
 * come from the host in passes. */
static enum us_nn_status launch(struct cu_trainer *t, const struct us_nn_batch *batch) {
    struct cu_graph *graph = batch ? &t->from_batch : &t->from_faces;
    const struct us_nn_comm *comm = t->base.config.comm;
    const bool fed = batch && t->passes > 1;
    t->uncaptured |= comm && !comm->on_stream;
    if (!graph->exec && graph->runs > 0 && !fed && !t->uncaptured && capture(t, batch, graph)) {
        (void)cudaGetLastError();
        graph->exec = NULL;
        t->uncaptured = true;
        t->note = "the step cannot be captured, its operations are launched one by one";
    }
    graph->runs++;
    return graph->exec ? cu_status(cudaGraphLaunch(graph->exec, main_stream(t)))
                       : enqueue(t, batch, true);
}

enum us_nn_status cu_trainer_step(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                                  struct us_nn_losses *losses) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    enum us_nn_status status = begin(t, batch);
    status = status ? status : launch(t, batch);
    status = status ? status : finish(t, losses);
    trainer->steps += status ? 0 : 1;
    return status;
}

enum us_nn_status cu_trainer_step_drawn(struct us_nn_trainer *trainer,
                                        const struct us_nn_turn *turn,
                                        struct us_nn_losses *losses) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    for (int i = 0; i < t->graph->identities; i++) {
        if (t->faces[i].count == 0) {
            return US_NN_UNSUPPORTED;
        }
        t->mirror->turns[i] = (struct us_augment_turn){
            .step = turn->step, .ranges = turn->ranges[i], .stream = turn->streams[i]};
    }
    if (t->first_slot != turn->first_slot) { /* which a captured step has in it */
        drop_graph(&t->from_faces);
        t->first_slot = turn->first_slot;
    }
    set_mirror(t);
    enum us_nn_status status = cu_trainer_use(t);
    status = status ? status : cu_stage_faces(t, turn);
    status = status ? status : launch(t, NULL);
    status = status ? status : cu_stage_next(t, turn);
    status = status ? status : finish(t, losses);
    trainer->steps += status ? 0 : 1;
    return status;
}

enum us_nn_status cu_trainer_evaluate(struct us_nn_trainer *trainer,
                                      const struct us_nn_batch *batch,
                                      struct us_nn_losses *losses) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    enum us_nn_status status = begin(t, batch);
    status = status ? status : send_state(t);
    for (int pass = 0; pass < t->passes && !status; pass++) {
        status = run_pass(t, batch, pass, CU_LOSS);
        if (!status && t->passes > 1) {
            status = put_terms_by(t, pass);
        }
    }
    if (!status && t->passes > 1) {
        status = add_up_terms(t);
    }
    status = status ? status : fetch_state(t);
    status = status ? status : cu_status(cudaStreamSynchronize(main_stream(t)));
    if (status) {
        return status;
    }
    read_losses(t, 1, losses);
    losses->gradient_norm = 0;
    losses->finite = isfinite(losses->total);
    return losses->finite ? US_NN_OK : US_NN_NOT_FINITE;
}

void cu_graphs_finish(struct cu_trainer *t) {
    drop_graph(&t->from_batch);
    drop_graph(&t->from_faces);
}
