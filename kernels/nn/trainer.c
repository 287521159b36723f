#include "kernels/nn/trainer.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/nn/memory.h"
#include "kernels/nn/trainer_internal.h"

#define MOST 256 /* faces, threads */

bool us_nn_has_bf16(void) {
    const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

const char *us_nn_trainer_problem(const struct us_nn_trainer_config *c) {
    if (c->batch < 1 || c->batch > MOST) {
        return "the batch is out of range, allowed 1 to 256";
    }
    if (c->threads < 1 || c->threads > MOST) {
        return "the number of threads is out of range, allowed 1 to 256";
    }
    if (c->optimizer.kind != US_NN_ADAM && c->optimizer.kind != US_NN_ADABELIEF) {
        return "the optimizer is unknown, allowed: adam, adabelief";
    }
    if (c->bf16 && !us_nn_has_bf16()) {
        return us_nn_status_text(US_NN_UNSUPPORTED);
    }
    return us_nn_arch_problem(&c->arch);
}

/* Describes both networks; nothing large is allocated. */
static enum us_nn_status build(struct us_nn_trainer *t) {
    const struct us_nn_trainer_config *c = &t->config;
    const struct nn_family *family = nn_family_of(&c->arch);
    const int size = c->arch.resolution;
    omp_set_num_threads(c->threads);
    enum us_nn_status status = nn_params_init(&t->params, &c->arch);
    if (status) {
        return status;
    }
    nn_net_init(&t->net, &t->params, true, c->bf16);
    t->input = nn_net_image(&t->net, 2 * c->batch, 3, size, size);
    nn_net_use_value(&t->net, t->input, 0);
    family->build(&t->net, &c->arch, t->input, t->outputs);
    nn_net_init(&t->inference, &t->params, false, c->bf16);
    t->inference_input = nn_net_image(&t->inference, c->batch, 3, size, size);
    nn_net_use_value(&t->inference, t->inference_input, 0);
    family->build(&t->inference, &c->arch, t->inference_input, t->inference_outputs);
    return t->net.status ? t->net.status : t->inference.status;
}

static size_t arenas(const struct us_nn_trainer *t) {
    return t->config.optimizer.average_decay > 0 ? 5 : 4;
}

enum us_nn_status us_nn_trainer_memory(const struct us_nn_trainer_config *config, size_t *bytes) {
    if (us_nn_trainer_problem(config)) {
        return US_NN_BAD_CONFIG;
    }
    struct us_nn_trainer *t = us_nn_alloc(sizeof *t);
    if (!t) {
        return US_NN_NO_MEMORY;
    }
    t->config = *config;
    const enum us_nn_status status = build(t);
    if (!status) {
        *bytes = sizeof *t + t->params.arena_count * arenas(t) * sizeof(float) +
                 nn_net_memory(&t->net) + nn_net_memory(&t->inference) +
                 nn_loss_memory(config->arch.resolution, config->batch, config->threads);
    }
    us_nn_trainer_destroy(t);
    return status;
}

static enum us_nn_status allocate(struct us_nn_trainer *t) {
    const size_t bytes = t->params.arena_count * sizeof(float);
    float **arena[] = {&t->weights, &t->gradients, &t->moment1, &t->moment2, &t->average};
    for (size_t i = 0; i < arenas(t); i++) {
        *arena[i] = us_nn_alloc(bytes);
        if (!*arena[i]) {
            return US_NN_NO_MEMORY;
        }
    }
    return nn_loss_init(&t->loss, &t->config.loss, t->config.arch.resolution, t->config.batch,
                        t->config.threads);
}

static enum us_nn_status initialise(struct us_nn_trainer *t) {
    float *flat = us_nn_alloc(t->params.layout.count * sizeof *flat);
    if (!flat) {
        return US_NN_NO_MEMORY;
    }
    us_nn_layout_initialise(&t->params.layout, t->config.seed, flat);
    enum us_nn_status status = nn_params_import(&t->params, flat, t->weights);
    if (!status && t->average) {
        status = nn_params_import(&t->params, flat, t->average);
    }
    us_nn_free(flat);
    return status;
}

enum us_nn_status us_nn_trainer_create(const struct us_nn_trainer_config *config,
                                       struct us_nn_trainer **trainer) {
    *trainer = NULL;
    if (us_nn_trainer_problem(config)) {
        return US_NN_BAD_CONFIG;
    }
    struct us_nn_trainer *t = us_nn_alloc(sizeof *t);
    if (!t) {
        return US_NN_NO_MEMORY;
    }
    t->config = *config;
    enum us_nn_status status = build(t);
    status = status ? status : allocate(t);
    status = status ? status : nn_params_make_masks(&t->params);
    status = status ? status : nn_net_bind(&t->net, t->weights, t->gradients);
    status = status ? status : nn_net_bind(&t->inference, t->weights, NULL);
    status = status ? status : initialise(t);
    if (status) {
        us_nn_trainer_destroy(t);
        return status;
    }
    *trainer = t;
    return US_NN_OK;
}

void us_nn_trainer_destroy(struct us_nn_trainer *t) {
    if (!t) {
        return;
    }
    nn_net_finish(&t->net);
    nn_net_finish(&t->inference);
    nn_loss_finish(&t->loss);
    nn_params_finish(&t->params);
    float *arena[] = {t->weights, t->gradients, t->moment1, t->moment2, t->average};
    for (size_t i = 0; i < sizeof arena / sizeof *arena; i++) {
        us_nn_free(arena[i]);
    }
    us_nn_free(t);
}

static struct us_nn_loss_terms side_loss(struct us_nn_trainer *t, int side,
                                         const struct us_nn_faces *faces, bool gradients) {
    const struct nn_net *net = &t->net;
    const struct nn_tensor *image = t->outputs[side].image, *mask = t->outputs[side].mask;
    const struct nn_loss_images images = {
        .image = nn_net_at(net, image->value),
        .mask = nn_net_at(net, mask->value),
        .target = faces->targets,
        .target_mask = faces->masks,
        .priority = t->config.loss.priority > 0 ? faces->priorities : NULL,
        .image_gradient = gradients ? nn_net_at(net, image->grads[0]) : NULL,
        .mask_gradient = gradients ? nn_net_at(net, mask->grads[0]) : NULL,
    };
    return nn_loss_run(&t->loss, &images);
}

static enum us_nn_status forward_and_loss(struct us_nn_trainer *t, const struct us_nn_batch *batch,
                                          bool gradients, struct us_nn_losses *losses) {
    const int size = t->config.arch.resolution;
    const size_t count = (size_t)t->config.batch * 3 * (size_t)size * (size_t)size;
    omp_set_num_threads(t->config.threads);
    float *input = nn_net_at(&t->net, t->input->value);
    memcpy(input, batch->source.inputs, count * sizeof *input);
    memcpy(input + count, batch->destination.inputs, count * sizeof *input);
    const enum us_nn_status status = nn_net_forward(&t->net, 3);
    *losses = (struct us_nn_losses){0};
    if (status) {
        return status;
    }
    losses->source = side_loss(t, US_NN_SOURCE, &batch->source, gradients);
    losses->destination = side_loss(t, US_NN_DESTINATION, &batch->destination, gradients);
    losses->total = losses->source.total + losses->destination.total;
    losses->finite = isfinite(losses->total);
    return losses->finite ? US_NN_OK : US_NN_NOT_FINITE;
}

enum us_nn_status us_nn_trainer_evaluate(struct us_nn_trainer *t, const struct us_nn_batch *batch,
                                         struct us_nn_losses *losses) {
    return forward_and_loss(t, batch, false, losses);
}

enum us_nn_status us_nn_trainer_gradients(struct us_nn_trainer *t, const struct us_nn_batch *batch,
                                          struct us_nn_losses *losses) {
    enum us_nn_status status = forward_and_loss(t, batch, true, losses);
    if (!status) {
        status = nn_net_backward(&t->net);
    }
    if (status) {
        return status;
    }
    t->square_sum = us_nn_sum_of_squares(t->gradients, t->params.arena_count);
    losses->gradient_norm = sqrt(t->square_sum);
    losses->finite = isfinite(t->square_sum);
    return losses->finite ? US_NN_OK : US_NN_NOT_FINITE;
}

enum us_nn_status us_nn_trainer_update(struct us_nn_trainer *t) {
    const struct us_nn_optimizer_state state = {.parameters = t->weights,
                                                .moment1 = t->moment1,
                                                .moment2 = t->moment2,
                                                .average = t->average,
                                                .gradients = t->gradients,
                                                .count = t->params.arena_count};
    omp_set_num_threads(t->config.threads);
    if (!isfinite(t->square_sum)) {
        return US_NN_NOT_FINITE;
    }
    t->steps++;
    us_nn_optimizer_step(&t->config.optimizer, &state, t->steps, t->square_sum, t->config.seed);
    return US_NN_OK;
}

enum us_nn_status us_nn_trainer_step(struct us_nn_trainer *t, const struct us_nn_batch *batch,
                                     struct us_nn_losses *losses) {
    const enum us_nn_status status = us_nn_trainer_gradients(t, batch, losses);
    return status ? status : us_nn_trainer_update(t);
}
