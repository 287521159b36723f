#include "kernels/nn/trainer_cpu_adversary.h"

#include <math.h>
#include <string.h>

#include "kernels/nn/adversarial_loss.h"
#include "kernels/nn/comm.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/pointwise_internal.h"
#include "kernels/nn/trainer_internal.h"

static enum us_nn_status add_judge(struct nn_cpu_trainer *t, int which,
                                   struct nn_judge_graph *graph, enum us_nn_status status) {
    if (status) {
        return status;
    }
    t->adversary.judges[which] = us_nn_alloc(sizeof *t->adversary.judges[which]);
    if (!t->adversary.judges[which]) {
        nn_graph_destroy(graph->graph);
        return US_NN_NO_MEMORY;
    }
    return nn_judge_init(t->adversary.judges[which], graph, t->pass);
}

static enum us_nn_status init_code(struct nn_cpu_trainer *t) {
    struct nn_tensor *code = t->net.code;
    struct nn_judge_graph graph = {0};
    if (!code) {
        return US_NN_UNSUPPORTED;
    }
    nn_net_use_value(&t->net.net, code, NN_LOSS_MOMENT);
    t->adversary.code_gradient = nn_net_claim(&t->net.net, code, NN_LOSS_MOMENT, NULL);
    const enum us_nn_status status = nn_code_judge_graph(code->c, code->h, code->w, &graph);
    return add_judge(t, NN_CODE_JUDGE, &graph, status);
}

static enum us_nn_status init_face(struct nn_cpu_trainer *t) {
    const struct us_nn_adversaries *a = &t->base.config.adversaries;
    const int size = t->base.config.arch.resolution;
    struct nn_judge_graph graph = {0};
    const enum us_nn_status status =
        nn_face_judge_graph(size, a->gan_patch > 0 ? a->gan_patch : size / 8, a->gan_dims, &graph);
    return add_judge(t, NN_FACE_JUDGE, &graph, status);
}

enum us_nn_status nn_adversary_init(struct nn_cpu_trainer *t) {
    const struct us_nn_adversaries *a = &t->base.config.adversaries;
    enum us_nn_status status = US_NN_OK;
    if (a->true_face > 0) {
        status = init_code(t);
    }
    return !status && a->gan > 0 ? init_face(t) : status;
}

static size_t area_of(const struct nn_cpu_trainer *t) {
    const size_t size = (size_t)t->base.config.arch.resolution;
    return size * size;
}

static bool any(const struct nn_cpu_trainer *t) {
    return t->adversary.judges[NN_CODE_JUDGE] || t->adversary.judges[NN_FACE_JUDGE];
}

size_t nn_adversary_memory(struct nn_cpu_trainer *t) {
    const size_t pass = (size_t)t->pass, area = area_of(t);
    size_t bytes = 0;
    for (int i = 0; i < NN_JUDGES; i++) {
        struct nn_judge *judge = t->adversary.judges[i];
        bytes += judge ? sizeof *judge + nn_judge_memory(judge) : 0;
    }
    const size_t more = (pass + 1) * area * sizeof(float);
    return any(t) ? bytes + more + 6 * pass * sizeof(double) : 0;
}

enum us_nn_status nn_adversary_allocate(struct nn_cpu_trainer *t) {
    struct nn_adversary *a = &t->adversary;
    const size_t pass = (size_t)t->pass;
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < NN_JUDGES && !status; i++) {
        if (a->judges[i]) {
            status = nn_judge_allocate(a->judges[i], t->base.config.seed);
        }
    }
    if (!any(t) || status) {
        return status;
    }
    a->soft_masks = us_nn_alloc(pass * area_of(t) * sizeof(float));
    a->scratch = us_nn_alloc(area_of(t) * sizeof(float));
    a->sums = us_nn_alloc(6 * pass * sizeof(double));
    return a->soft_masks && a->scratch && a->sums ? US_NN_OK : US_NN_NO_MEMORY;
}

void nn_adversary_finish(struct nn_cpu_trainer *t) {
    struct nn_adversary *a = &t->adversary;
    for (int i = 0; i < NN_JUDGES; i++) {
        if (a->judges[i]) {
            nn_judge_finish(a->judges[i]);
            us_nn_free(a->judges[i]);
        }
    }
    us_nn_free(a->soft_masks);
    us_nn_free(a->scratch);
    us_nn_free(a->sums);
}

void nn_adversary_begin(struct nn_cpu_trainer *t) {
    for (int i = 0; i < NN_JUDGES; i++) {
        if (t->adversary.judges[i]) {
            nn_judge_begin(t->adversary.judges[i]);
        }
    }
}

static void note(struct us_nn_loss_terms *terms, float power, const struct nn_judge_losses *losses,
                 double more) {
    terms->adversarial = (double)power * losses->made_as_true + more;
    terms->judge = losses->own;
    terms->total += terms->adversarial;
}

/* The code has the source's faces, then the destination's, as the judge's input has. */
static enum us_nn_status run_code(struct nn_cpu_trainer *t, struct us_nn_losses *losses) {
    const struct nn_net *net = &t->net.net;
    const struct nn_tensor *code = t->net.code;
    struct nn_judge *judge = t->adversary.judges[NN_CODE_JUDGE];
    const float power = t->base.config.adversaries.true_face;
    const struct nn_pack_shape shape = {.n = code->n,
                                        .channels = code->c,
                                        .padded = code->padded,
                                        .area = code->h * code->w,
                                        .block = t->params.block};
    struct nn_judge_losses made = {0};
    nn_unpack(code->type, nn_net_at(net, code->value), nn_judge_input(judge), &shape);
    const enum us_nn_status status =
        nn_judge_run(judge, nn_cpu_whole(&t->base.config), power, &made);
    nn_pack(code->grad_type, nn_judge_input_gradient(judge),
            nn_net_at(net, t->adversary.code_gradient), &shape);
    note(&losses->faces[US_NN_DESTINATION], power, &made, 0);
    return status;
}

/* What the source's decoder made, and what it should have: both inside the matte. */
struct painted {
    const float *image, *target;
    float *gradient;
    const float *soft;
    float *truth, *made; /* the judge's input */
};

static struct painted painted_of(struct nn_cpu_trainer *t, const struct us_nn_faces *faces) {
    const struct nn_net *net = &t->net.net;
    const struct nn_tensor *image = t->net.outputs[US_NN_SOURCE].image;
    const size_t values = 3 * area_of(t);
    const size_t first = (size_t)t->net.outputs[US_NN_SOURCE].first * values;
    float *input = nn_judge_input(t->adversary.judges[NN_FACE_JUDGE]);
    float *made = nn_net_at(net, image->value), *gradient = nn_net_at(net, image->grads[0]);
    return (struct painted){.image = made + first,
                            .target = faces->targets,
                            .gradient = gradient + first,
                            .soft = t->adversary.soft_masks,
                            .truth = input,
                            .made = input + (size_t)t->pass * values};
}

static void paint(struct nn_cpu_trainer *t, const struct us_nn_faces *faces,
                  const struct painted *p) {
    const size_t area = area_of(t);
    float *soft = t->adversary.soft_masks;
    for (size_t i = 0; i < (size_t)t->pass; i++) {
        if (t->base.config.loss.masked) {
            nn_soft_mask(faces->masks + i * area, t->base.config.arch.resolution, soft + i * area,
                         t->adversary.scratch);
        }
    }
    for (size_t i = 0; !t->base.config.loss.masked && i < (size_t)t->pass * area; i++) {
        soft[i] = 1;
    }
#pragma omp parallel for schedule(static)
    for (int plane = 0; plane < 3 * t->pass; plane++) {
        const size_t at = (size_t)plane * area, mask = (size_t)(plane / 3) * area;
        for (size_t i = 0; i < area; i++) {
            p->truth[at + i] = p->target[at + i] * soft[mask + i];
            p->made[at + i] = p->image[at + i] * soft[mask + i];
        }
    }
}

/* The judge's gradient, and what keeps the image calm where the judge pulls at it: total variation,
 * and outside the matte the target. Returns the weighted losses of those two. */
static double pull(struct nn_cpu_trainer *t, const struct painted *p) {
    const int size = t->base.config.arch.resolution, whole = nn_cpu_whole(&t->base.config);
    const size_t area = area_of(t);
    const float *judged =
        nn_judge_input_gradient(t->adversary.judges[NN_FACE_JUDGE]) + 3 * (size_t)t->pass * area;
    const float variation = NN_VARIATION_WEIGHT / (float)whole;
    const float outside = NN_OUTSIDE_WEIGHT / (float)(3 * whole) / (float)area;
    double *sums = t->adversary.sums, loss = 0;
#pragma omp parallel for schedule(static)
    for (int plane = 0; plane < 3 * t->pass; plane++) {
        const size_t at = (size_t)plane * area;
        const float *soft = p->soft + (size_t)(plane / 3) * area;
        for (size_t i = 0; i < area; i++) {
            p->gradient[at + i] += judged[at + i] * soft[i];
        }
        sums[2 * plane] = nn_total_variation(p->image + at, size, variation, p->gradient + at);
        sums[2 * plane + 1] =
            nn_outside_error(p->image + at, p->target + at, soft, area, outside, p->gradient + at);
    }
    for (int plane = 0; plane < 3 * t->pass; plane++) {
        loss += (double)variation * sums[2 * plane] + (double)outside * sums[2 * plane + 1];
    }
    return loss;
}

static enum us_nn_status run_face(struct nn_cpu_trainer *t, const struct us_nn_batch *batch,
                                  struct us_nn_losses *losses) {
    const struct painted p = painted_of(t, &batch->faces[US_NN_SOURCE]);
    const float power = t->base.config.adversaries.gan;
    struct nn_judge_losses made = {0};
    paint(t, &batch->faces[US_NN_SOURCE], &p);
    const enum us_nn_status status = nn_judge_run(t->adversary.judges[NN_FACE_JUDGE],
                                                  nn_cpu_whole(&t->base.config), power, &made);
    if (!status) {
        note(&losses->faces[US_NN_SOURCE], power, &made, pull(t, &p));
    }
    return status;
}

enum us_nn_status nn_adversary_run(struct nn_cpu_trainer *t, const struct us_nn_batch *batch,
                                   struct us_nn_losses *losses) {
    enum us_nn_status status = US_NN_OK;
    if (t->adversary.judges[NN_CODE_JUDGE]) {
        status = run_code(t, losses);
    }
    if (t->adversary.judges[NN_FACE_JUDGE] && !status) {
        status = run_face(t, batch, losses);
    }
    return status;
}

void nn_adversary_reduce(struct nn_cpu_trainer *t) {
    struct us_nn_comm *comm = t->base.config.comm;
    for (int i = 0; i < NN_JUDGES && comm; i++) {
        struct nn_judge *judge = t->adversary.judges[i];
        if (judge) { /* what fails shows in wait */
            comm->calls->all_reduce(comm, judge->sum, judge->params.arena_count, US_NN_COMM_F32,
                                    NULL);
        }
    }
}

bool nn_adversary_measure(struct nn_cpu_trainer *t) {
    bool finite = true;
    for (int i = 0; i < NN_JUDGES; i++) {
        if (t->adversary.judges[i]) {
            nn_judge_measure(t->adversary.judges[i]);
            finite = finite && isfinite(t->adversary.judges[i]->square_sum);
        }
    }
    return finite;
}

void nn_adversary_update(struct nn_cpu_trainer *t) {
    for (int i = 0; i < NN_JUDGES; i++) {
        if (t->adversary.judges[i]) {
            nn_judge_update(t->adversary.judges[i], &t->base.config.optimizer, t->base.steps);
        }
    }
}

size_t nn_cpu_judge_count(const struct us_nn_trainer *trainer) {
    const struct nn_cpu_trainer *t = (const struct nn_cpu_trainer *)trainer;
    size_t count = 0;
    for (int i = 0; i < NN_JUDGES; i++) {
        count += t->adversary.judges[i] ? 3 * t->adversary.judges[i]->params.layout.count : 0;
    }
    return count;
}

enum us_nn_status nn_cpu_read_judges(const struct us_nn_trainer *trainer, float *flat) {
    const struct nn_cpu_trainer *t = (const struct nn_cpu_trainer *)trainer;
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < NN_JUDGES && !status; i++) {
        const struct nn_judge *judge = t->adversary.judges[i];
        if (judge) {
            status = nn_judge_read(judge, flat);
            flat += 3 * judge->params.layout.count;
        }
    }
    return status;
}

enum us_nn_status nn_cpu_write_judges(struct us_nn_trainer *trainer, const float *flat) {
    const struct nn_cpu_trainer *t = (const struct nn_cpu_trainer *)trainer;
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < NN_JUDGES && !status; i++) {
        struct nn_judge *judge = t->adversary.judges[i];
        if (judge && !flat) {
            status = nn_judge_restart(judge, t->base.config.seed);
        } else if (judge) {
            status = nn_judge_write(judge, flat);
            flat += 3 * judge->params.layout.count;
        }
    }
    return status;
}
