/* Gradients of a batch that is computed in passes and by several ranks. */
#include <math.h>
#include <omp.h>

#include "kernels/nn/comm.h"
#include "kernels/nn/trainer_internal.h"

#define PASSES 256
#define CHUNK 8192
#define BUCKET ((size_t)25 << 18)       /* floats in one all-reduce: 25 MB */
#define SMALL_BUCKET ((size_t)16 << 10) /* the last ones are small: backward is over soon */
#define TERMS (US_NN_IDENTITIES * sizeof(struct us_nn_loss_terms) / sizeof(double))

int nn_cpu_pass(const struct us_nn_trainer_config *config) {
    return config->pass > 0 ? config->pass : config->batch;
}

int nn_cpu_whole(const struct us_nn_trainer_config *config) {
    return config->batch * (config->comm ? config->comm->world : 1);
}

static int pass_count(const struct us_nn_trainer_config *config) {
    return config->batch / nn_cpu_pass(config);
}

/* Sums wait at the levels that are set in the number of a pass. */
int nn_cpu_partials(const struct us_nn_trainer_config *config) {
    int levels = 0;
    for (int last = pass_count(config) - 1; last > 0; last /= 2) {
        levels++;
    }
    return levels;
}

/* Adds to the gradients of pass `pass` what waits at the levels below `levels` that are set in it,
 * lowest first: the branches of the tree that end here (comm.h). */
static void fold(const struct nn_cpu_trainer *t, int pass, int levels, size_t from, size_t to,
                 float *into) {
    const size_t chunks = (to - from + CHUNK - 1) / CHUNK;
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < chunks; c++) {
        const size_t begin = from + c * CHUNK, end = begin + CHUNK < to ? begin + CHUNK : to;
        float *restrict sum = t->gradients;
        for (int level = 0; level < levels; level++) {
            const float *restrict waits = t->partial[level];
            for (size_t i = begin; pass >> level & 1 && i < end; i++) {
                sum[i] = waits[i] + sum[i];
            }
        }
        for (size_t i = begin; into && i < end; i++) {
            into[i] = sum[i];
        }
    }
}

/* A pass that is not the last: its sum waits at the first level that is free. */
static void put_by(struct nn_cpu_trainer *t, int pass) {
    int level = 0;
    while (pass >> level & 1) {
        level++;
    }
    fold(t, pass, level, 0, t->params.arena_count, t->partial[level]);
}

/* Gradients from `offset` on are made in the last pass: they are summed over the passes, and go to
 * the other ranks once there is a bucket of them. */
static void send_on(void *context, size_t offset) {
    struct nn_cpu_trainer *t = context;
    const struct us_nn_trainer_config *config = &t->base.config;
    size_t bucket = t->sent / 4;
    bucket = bucket > BUCKET ? BUCKET : bucket < SMALL_BUCKET ? SMALL_BUCKET : bucket;
    if (offset >= t->sent || (offset > 0 && t->sent - offset < bucket)) {
        return;
    }
    if (pass_count(config) > 1) {
        fold(t, pass_count(config) - 1, nn_cpu_partials(config), offset, t->sent, NULL);
    }
    if (config->comm) { /* what fails shows in wait */
        config->comm->calls->all_reduce(config->comm, t->gradients + offset, t->sent - offset,
                                        config->comm_bf16 ? US_NN_COMM_F32_AS_BF16 : US_NN_COMM_F32,
                                        NULL);
    }
    t->sent = offset;
}

static struct us_nn_batch faces_of_pass(const struct nn_cpu_trainer *t,
                                        const struct us_nn_batch *batch, int pass) {
    const size_t size = (size_t)t->base.config.arch.resolution, area = size * size;
    const size_t first = (size_t)pass * (size_t)t->pass * area;
    struct us_nn_batch some = *batch;
    for (int i = 0; i < us_nn_arch_identities(&t->base.config.arch); i++) {
        some.faces[i].inputs += 3 * first;
        some.faces[i].targets += 3 * first;
        some.faces[i].masks += first;
        some.faces[i].priorities += some.faces[i].priorities ? first : 0;
    }
    return some;
}

/* The losses of the passes, added up in the tree of their gradients. */
static void add_up(const struct us_nn_losses *parts, int count, struct us_nn_losses *losses) {
    const double *terms[PASSES] = {NULL};
    for (int i = 0; i < count; i++) {
        terms[i] = (const double *)parts[i].faces;
    }
    us_nn_comm_tree_f64(terms, count, (double *)losses->faces, TERMS);
}

static void judge(const struct nn_cpu_trainer *t, struct us_nn_losses *losses) {
    losses->total = 0;
    for (int i = 0; i < us_nn_arch_identities(&t->base.config.arch); i++) {
        losses->total += losses->faces[i].total;
    }
    losses->finite = isfinite(losses->total);
}

static enum us_nn_status backward(struct nn_cpu_trainer *t, int pass) {
    const bool last = pass + 1 == pass_count(&t->base.config);
    t->net.net.made = last ? send_on : NULL;
    t->net.net.made_context = t;
    const enum us_nn_status status = nn_net_backward(&t->net.net);
    t->net.net.made = NULL;
    if (!status && !last) {
        put_by(t, pass);
    }
    return status;
}

/* All passes; a loss that is not finite ends them, unless other ranks count on this one. */
static enum us_nn_status run_passes(struct nn_cpu_trainer *t, const struct us_nn_batch *batch,
                                    struct us_nn_losses *losses) {
    struct us_nn_comm *comm = t->base.config.comm;
    struct us_nn_losses parts[PASSES];
    const int count = pass_count(&t->base.config);
    enum us_nn_status status = US_NN_OK;
    t->sent = t->params.arena_count;
    *losses = (struct us_nn_losses){0};
    nn_adversary_begin(t);
    for (int pass = 0; pass < count && !status; pass++) {
        const struct us_nn_batch some = faces_of_pass(t, batch, pass);
        status = nn_cpu_forward(t, &some, true, &parts[pass]);
        if (status == US_NN_NOT_FINITE && comm) {
            status = US_NN_OK;
        }
        if (status || pass + 1 == count) {
            add_up(parts, pass + 1, losses);
        }
        if (comm && !status && pass + 1 == count) {
            comm->calls->all_reduce(comm, losses->faces, TERMS, US_NN_COMM_F64, NULL);
        }
        status = status ? status : backward(t, pass);
    }
    if (!status) {
        nn_adversary_reduce(t);
    }
    return status;
}

enum us_nn_status nn_cpu_gradients(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                                   struct us_nn_losses *losses) {
    struct nn_cpu_trainer *t = (struct nn_cpu_trainer *)trainer;
    struct us_nn_comm *comm = trainer->config.comm;
    t->square_sum = NAN;
    const enum us_nn_status status = run_passes(t, batch, losses);
    if (comm && status) {
        comm->calls->abort(comm, us_nn_status_text(status));
        (void)comm->calls->wait(comm, NULL); /* until it touches no buffer any more */
    } else if (comm && !comm->calls->wait(comm, NULL)) {
        return US_NN_LOST;
    }
    judge(t, losses);
    if (status || !losses->finite) {
        return status ? status : US_NN_NOT_FINITE;
    }
    omp_set_num_threads(trainer->config.threads);
    t->square_sum = us_nn_sum_of_squares(t->gradients, t->params.arena_count);
    losses->gradient_norm = sqrt(t->square_sum);
    losses->finite = nn_adversary_measure(t) && isfinite(t->square_sum);
    return losses->finite ? US_NN_OK : US_NN_NOT_FINITE;
}

enum us_nn_status nn_cpu_evaluate(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                                  struct us_nn_losses *losses) {
    struct nn_cpu_trainer *t = (struct nn_cpu_trainer *)trainer;
    struct us_nn_losses parts[PASSES];
    const int count = pass_count(&trainer->config);
    enum us_nn_status status = US_NN_OK;
    *losses = (struct us_nn_losses){0};
    t->loss.whole = trainer->config.batch;
    int done = 0;
    while (done < count && (!status || status == US_NN_NOT_FINITE)) {
        const struct us_nn_batch some = faces_of_pass(t, batch, done);
        status = nn_cpu_forward(t, &some, false, &parts[done++]);
    }
    t->loss.whole = nn_cpu_whole(&trainer->config);
    add_up(parts, done, losses);
    judge(t, losses);
    return status == US_NN_OK && !losses->finite ? US_NN_NOT_FINITE : status;
}
