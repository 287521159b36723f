#include "kernels/nn/trainer.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/nn/memory.h"
#include "kernels/nn/reduce_internal.h"
#include "kernels/nn/trainer_internal.h"

#define MOST_THREADS 256

bool us_nn_has_bf16(void) {
    const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

static const char *cpu_problem(const struct us_nn_trainer_config *c) {
    if (c->threads < 1 || c->threads > MOST_THREADS) {
        return "the number of threads is out of range, allowed 1 to 256";
    }
    return c->bf16 && !us_nn_has_bf16() ? us_nn_status_text(US_NN_UNSUPPORTED) : NULL;
}

/* Describes both networks; nothing large is allocated. */
static enum us_nn_status build(struct nn_cpu_trainer *t) {
    const struct us_nn_trainer_config *c = &t->base.config;
    t->pass = nn_cpu_pass(c);
    omp_set_num_threads(c->threads);
    enum us_nn_status status = nn_params_init(&t->params, &c->arch);
    if (status) {
        return status;
    }
    status = nn_network_init(&t->net, &t->params, &c->arch, true, t->pass, c->bf16);
    status = status ? status : nn_adversary_init(t);
    return status ? status
                  : nn_network_init(&t->inference, &t->params, &c->arch, false, t->pass, c->bf16);
}

static size_t arenas(const struct nn_cpu_trainer *t) {
    const struct us_nn_trainer_config *c = &t->base.config;
    return (size_t)(c->optimizer.average_decay > 0 ? 5 : 4);
}

static void cpu_destroy(struct us_nn_trainer *trainer) {
    struct nn_cpu_trainer *t = (struct nn_cpu_trainer *)trainer;
    nn_net_finish(&t->net.net);
    nn_net_finish(&t->inference.net);
    nn_loss_finish(&t->loss);
    nn_adversary_finish(t);
    nn_params_finish(&t->params);
    float *arena[] = {t->weights, t->gradients, t->moment1, t->moment2, t->average};
    for (size_t i = 0; i < sizeof arena / sizeof *arena; i++) {
        us_nn_free(arena[i]);
    }
    for (size_t i = 0; i < sizeof t->partial / sizeof *t->partial; i++) {
        us_nn_free(t->partial[i]);
    }
    for (size_t i = 0; i < sizeof t->rest / sizeof *t->rest; i++) {
        us_nn_free(t->rest[i]);
    }
    us_nn_free(t->smaller);
    us_nn_free(t);
}

/* Bytes beside the arenas that a comb on its way takes. */
static size_t rest_bytes(const struct nn_cpu_trainer *t) {
    return t->base.config.arch.family == US_NN_COMB ? t->params.layout.count * sizeof(float) : 0;
}

static size_t smaller_bytes(const struct nn_cpu_trainer *t) {
    const struct us_nn_arch *arch = &t->base.config.arch;
    const size_t size = (size_t)us_nn_arch_size(arch);
    return us_nn_arch_size(arch) < arch->resolution
               ? 5 * (size_t)t->pass * size * size * sizeof(float)
               : 0;
}

static enum us_nn_status cpu_memory(const struct us_nn_trainer_config *config,
                                    struct us_nn_memory *memory) {
    struct nn_cpu_trainer *t = us_nn_alloc(sizeof *t);
    if (!t) {
        return US_NN_NO_MEMORY;
    }
    t->base.config = *config;
    const enum us_nn_status status = build(t);
    if (!status) {
        const size_t arena = t->params.arena_count * sizeof(float), rest = rest_bytes(t);
        *memory = (struct us_nn_memory){
            .weights = arena + rest,
            .gradients = (1 + (size_t)nn_cpu_partials(config)) * arena,
            .optimizer = (arenas(t) - 2) * (arena + rest),
            .activations = nn_net_memory(&t->net.net) + nn_net_memory(&t->inference.net),
            .scratch = sizeof *t + smaller_bytes(t) +
                       nn_loss_memory(us_nn_arch_size(&config->arch), t->pass, config->threads),
            .adversaries = nn_adversary_memory(t)};
    }
    cpu_destroy(&t->base);
    return status;
}

static enum us_nn_status allocate(struct nn_cpu_trainer *t) {
    const size_t bytes = t->params.arena_count * sizeof(float);
    float **arena[] = {&t->weights, &t->gradients, &t->moment1, &t->moment2, &t->average};
    for (size_t i = 0; i < arenas(t); i++) {
        *arena[i] = us_nn_alloc(bytes);
        if (!*arena[i]) {
            return US_NN_NO_MEMORY;
        }
    }
    for (int i = 0; i < nn_cpu_partials(&t->base.config); i++) {
        t->partial[i] = us_nn_alloc(bytes);
        if (!t->partial[i]) {
            return US_NN_NO_MEMORY;
        }
    }
    for (size_t i = 0; rest_bytes(t) && i < arenas(t) - 1; i++) {
        t->rest[i] = us_nn_alloc(rest_bytes(t));
        if (!t->rest[i]) {
            return US_NN_NO_MEMORY;
        }
    }
    t->smaller = smaller_bytes(t) ? us_nn_alloc(smaller_bytes(t)) : NULL;
    if (smaller_bytes(t) && !t->smaller) {
        return US_NN_NO_MEMORY;
    }
    const enum us_nn_status status =
        nn_loss_init(&t->loss, &t->base.config.loss, us_nn_arch_size(&t->base.config.arch), t->pass,
                     t->base.config.threads);
    t->loss.whole = nn_cpu_whole(&t->base.config);
    return status;
}

static enum us_nn_status initialise(struct nn_cpu_trainer *t) {
    float *flat = us_nn_alloc(t->params.layout.count * sizeof *flat);
    if (!flat) {
        return US_NN_NO_MEMORY;
    }
    us_nn_layout_initialise(&t->params.layout, t->base.config.seed, flat);
    enum us_nn_status status = nn_cpu_write(&t->base, US_NN_PARAMETERS, flat);
    if (!status && t->average) {
        status = nn_cpu_write(&t->base, US_NN_AVERAGE, flat);
    }
    us_nn_free(flat);
    return status;
}

static enum us_nn_status cpu_create(const struct us_nn_trainer_config *config,
                                    struct us_nn_trainer **trainer) {
    struct nn_cpu_trainer *t = us_nn_alloc(sizeof *t);
    if (!t) {
        return US_NN_NO_MEMORY;
    }
    t->base.config = *config;
    enum us_nn_status status = build(t);
    status = status ? status : allocate(t);
    status = status ? status : nn_params_make_masks(&t->params);
    status = status ? status : nn_net_bind(&t->net.net, t->weights, t->gradients);
    status = status ? status : nn_net_bind(&t->inference.net, t->weights, NULL);
    status = status ? status : initialise(t);
    status = status ? status : nn_adversary_allocate(t);
    if (status) {
        cpu_destroy(&t->base);
        return status;
    }
    *trainer = &t->base;
    return US_NN_OK;
}

/* An identity's faces of an output, or of its gradient. */
static float *faces_of(const struct nn_net *net, const struct nn_tensor *planes, int first,
                       struct nn_ref ref) {
    float *all = nn_net_at(net, ref);
    return all + (size_t)first * nn_tensor_elements(planes) / (size_t)planes->n;
}

/* The faces at the size reached. */
static struct us_nn_faces reduced(const struct nn_cpu_trainer *t, const struct us_nn_faces *faces) {
    const int whole = t->base.config.arch.resolution, size = t->net.input->h;
    const size_t n = (size_t)t->pass, area = (size_t)size * (size_t)size;
    if (!t->smaller) {
        return *faces;
    }
    float *targets = t->smaller, *masks = targets + 3 * n * area, *priorities = masks + n * area;
    nn_reduce_planes(faces->targets, 3 * n, whole, size, targets);
    nn_reduce_planes(faces->masks, n, whole, size, masks);
    if (faces->priorities) {
        nn_reduce_planes(faces->priorities, n, whole, size, priorities);
    }
    return (struct us_nn_faces){
        .targets = targets, .masks = masks, .priorities = faces->priorities ? priorities : NULL};
}

static struct us_nn_loss_terms identity_loss(struct nn_cpu_trainer *t, int identity,
                                             const struct us_nn_faces *faces, bool gradients) {
    const struct nn_net *net = &t->net.net;
    const struct nn_tensor *image = t->net.outputs[identity].image;
    const struct nn_tensor *mask = t->net.outputs[identity].mask;
    const int first = t->net.outputs[identity].first;
    const struct nn_loss_images images = {
        .image = faces_of(net, image, first, image->value),
        .mask = faces_of(net, mask, first, mask->value),
        .target = faces->targets,
        .target_mask = faces->masks,
        .priority = t->base.config.loss.priority > 0 ? faces->priorities : NULL,
        .image_gradient = gradients ? faces_of(net, image, first, image->grads[0]) : NULL,
        .mask_gradient = gradients ? faces_of(net, mask, first, mask->grads[0]) : NULL,
    };
    return nn_loss_run(&t->loss, &images);
}

enum us_nn_status nn_cpu_forward(struct nn_cpu_trainer *t, const struct us_nn_batch *batch,
                                 bool gradients, struct us_nn_losses *losses) {
    const int whole = t->base.config.arch.resolution, size = t->net.input->h;
    const size_t planes = 3 * (size_t)t->pass, count = planes * (size_t)size * (size_t)size;
    const int identities = us_nn_arch_identities(&t->base.config.arch);
    omp_set_num_threads(t->base.config.threads);
    float *input = nn_net_at(&t->net.net, t->net.input->value);
    for (int i = 0; i < identities; i++) {
        nn_reduce_planes(batch->faces[i].inputs, planes, whole, size, input + (size_t)i * count);
    }
    const enum us_nn_status status = nn_net_forward(&t->net.net, NN_ALL_SIDES);
    *losses = (struct us_nn_losses){0};
    if (status) {
        return status;
    }
    for (int i = 0; i < identities; i++) {
        const struct us_nn_faces faces = reduced(t, &batch->faces[i]);
        losses->faces[i] = identity_loss(t, i, &faces, gradients);
    }
    const enum us_nn_status judged = gradients ? nn_adversary_run(t, batch, losses) : US_NN_OK;
    if (judged) {
        return judged;
    }
    for (int i = 0; i < identities; i++) {
        losses->total += losses->faces[i].total;
    }
    losses->finite = isfinite(losses->total);
    return losses->finite ? US_NN_OK : US_NN_NOT_FINITE;
}

static enum us_nn_status cpu_update(struct us_nn_trainer *trainer) {
    struct nn_cpu_trainer *t = (struct nn_cpu_trainer *)trainer;
    const struct us_nn_optimizer_state state = {.parameters = t->weights,
                                                .moment1 = t->moment1,
                                                .moment2 = t->moment2,
                                                .average = t->average,
                                                .gradients = t->gradients,
                                                .count = t->params.arena_count};
    omp_set_num_threads(t->base.config.threads);
    if (!isfinite(t->square_sum)) {
        return US_NN_NOT_FINITE;
    }
    t->base.steps++;
    us_nn_optimizer_step(&t->base.config.optimizer, &state, t->base.steps, t->square_sum,
                         t->base.config.seed);
    nn_adversary_update(t);
    return US_NN_OK;
}

static void cpu_set_fade(struct us_nn_trainer *trainer, float fade) {
    struct nn_cpu_trainer *t = (struct nn_cpu_trainer *)trainer;
    t->net.net.fade = t->inference.net.fade = fade;
}

const struct nn_trainer_type nn_cpu_trainer_type = {.problem = cpu_problem,
                                                    .memory = cpu_memory,
                                                    .create = cpu_create,
                                                    .destroy = cpu_destroy,
                                                    .gradients = nn_cpu_gradients,
                                                    .update = cpu_update,
                                                    .evaluate = nn_cpu_evaluate,
                                                    .infer = nn_cpu_infer,
                                                    .set_fade = cpu_set_fade,
                                                    .layout = nn_cpu_layout,
                                                    .judge_count = nn_cpu_judge_count,
                                                    .read_judges = nn_cpu_read_judges,
                                                    .write_judges = nn_cpu_write_judges,
                                                    .read = nn_cpu_read,
                                                    .write = nn_cpu_write,
                                                    .arrangement = nn_cpu_arrangement};
