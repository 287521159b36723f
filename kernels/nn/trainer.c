#include "kernels/nn/trainer.h"

#include "kernels/nn/engine_internal.h"
#include "kernels/nn/trainer_type.h"

#define MOST_FACES 256

static const struct nn_trainer_type *type_for(int device, const char **why_not) {
    if (device == US_NN_CPU) {
        return &nn_cpu_trainer_type;
    }
    const struct us_cuda_trainer_api *engine = nn_cuda_engine(why_not);
    return engine ? engine->trainer : NULL;
}

static const char *adversary_problem(const struct us_nn_trainer_config *config) {
    const struct us_nn_adversaries *a = &config->adversaries;
    if (a->true_face <= 0 && a->gan <= 0) {
        return NULL;
    }
    if (a->true_face > 0 && config->arch.family != US_NN_DF) {
        return "true_face.power is for the architecture df only";
    }
    if (a->gan > 0 && config->arch.family == US_NN_COMB) {
        return "gan.power is for the architectures df and liae only";
    }
    if (a->gan > 0 && (a->gan_dims < 4 || a->gan_dims > 512)) {
        return "gan.dims is out of range, allowed 4 to 512";
    }
    return NULL;
}

/* What is wrong whatever the engine. */
static const char *common_problem(const struct us_nn_trainer_config *config) {
    if (config->batch < 1 || config->batch > MOST_FACES) {
        return "the batch is out of range, allowed 1 to 256";
    }
    if (config->pass < 0 || (config->pass > 0 && config->batch % config->pass != 0)) {
        return "a pass must be a divisor of the batch";
    }
    if (config->optimizer.kind != US_NN_ADAM && config->optimizer.kind != US_NN_ADABELIEF) {
        return "the optimizer is unknown, allowed: adam, adabelief";
    }
    const char *problem = us_nn_arch_problem(&config->arch);
    return problem ? problem : adversary_problem(config);
}

const char *us_nn_trainer_problem(const struct us_nn_trainer_config *config) {
    const char *why_not;
    const struct nn_trainer_type *type = type_for(config->device, &why_not);
    if (!type) {
        return why_not;
    }
    const char *problem = common_problem(config);
    return problem ? problem : type->problem(config);
}

enum us_nn_status us_nn_trainer_memory_parts(const struct us_nn_trainer_config *config,
                                             struct us_nn_memory *memory) {
    const char *why_not;
    const struct nn_trainer_type *type = type_for(config->device, &why_not);
    *memory = (struct us_nn_memory){0};
    if (!type || common_problem(config)) {
        return US_NN_BAD_CONFIG;
    }
    /* A device's problem may be that it has too little memory, which is what is asked about. */
    if (config->device == US_NN_CPU && type->problem(config)) {
        return US_NN_BAD_CONFIG;
    }
    return type->memory(config, memory);
}

enum us_nn_status us_nn_trainer_memory(const struct us_nn_trainer_config *config, size_t *bytes) {
    struct us_nn_memory memory;
    const enum us_nn_status status = us_nn_trainer_memory_parts(config, &memory);
    if (!status) {
        *bytes = us_nn_memory_sum(&memory);
    }
    return status;
}

enum us_nn_status us_nn_trainer_create(const struct us_nn_trainer_config *config,
                                       struct us_nn_trainer **trainer) {
    *trainer = NULL;
    if (us_nn_trainer_problem(config)) {
        return US_NN_BAD_CONFIG;
    }
    const char *why_not;
    const struct nn_trainer_type *type = type_for(config->device, &why_not);
    const enum us_nn_status status = type->create(config, trainer);
    if (!status) {
        (*trainer)->type = type;
        (*trainer)->config = *config;
    }
    return status;
}

void us_nn_trainer_destroy(struct us_nn_trainer *trainer) {
    if (trainer) {
        trainer->type->destroy(trainer);
    }
}

enum us_nn_status us_nn_trainer_gradients(struct us_nn_trainer *trainer,
                                          const struct us_nn_batch *batch,
                                          struct us_nn_losses *losses) {
    return trainer->type->gradients(trainer, batch, losses);
}

enum us_nn_status us_nn_trainer_update(struct us_nn_trainer *trainer) {
    return trainer->type->update(trainer);
}

enum us_nn_status us_nn_trainer_step(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                                     struct us_nn_losses *losses) {
    if (trainer->type->step) {
        return trainer->type->step(trainer, batch, losses);
    }
    const enum us_nn_status status = us_nn_trainer_gradients(trainer, batch, losses);
    return status ? status : us_nn_trainer_update(trainer);
}

enum us_nn_status us_nn_trainer_evaluate(struct us_nn_trainer *trainer,
                                         const struct us_nn_batch *batch,
                                         struct us_nn_losses *losses) {
    return trainer->type->evaluate(trainer, batch, losses);
}

enum us_nn_status us_nn_trainer_infer(struct us_nn_trainer *trainer, enum us_nn_side decoder,
                                      const float *faces, int count, float *images, float *masks) {
    return trainer->type->infer(trainer, decoder, faces, count, images, masks);
}

enum us_nn_status us_nn_trainer_keep_faces(struct us_nn_trainer *trainer, int identity,
                                           const struct us_nn_kept_faces *faces) {
    return trainer->type->keep_faces ? trainer->type->keep_faces(trainer, identity, faces)
                                     : US_NN_UNSUPPORTED;
}

struct us_nn_kept_memory us_nn_trainer_kept_memory(const struct us_nn_trainer_config *config,
                                                   const size_t *counts, size_t available) {
    const char *why_not;
    const struct nn_trainer_type *type = type_for(config->device, &why_not);
    return type && type->kept_memory ? type->kept_memory(config, counts, available)
                                     : (struct us_nn_kept_memory){0};
}

enum us_nn_status us_nn_trainer_step_drawn(struct us_nn_trainer *trainer,
                                           const struct us_nn_turn *turn,
                                           struct us_nn_losses *losses) {
    return trainer->type->step_drawn ? trainer->type->step_drawn(trainer, turn, losses)
                                     : US_NN_UNSUPPORTED;
}

const char *us_nn_trainer_note(const struct us_nn_trainer *trainer) {
    return trainer->type->note ? trainer->type->note(trainer) : NULL;
}

void us_nn_trainer_set_fade(struct us_nn_trainer *trainer, float fade) {
    trainer->config.arch.fade = fade;
    if (trainer->type->set_fade) {
        trainer->type->set_fade(trainer, fade);
    }
}

const struct us_nn_layout *us_nn_trainer_layout(const struct us_nn_trainer *trainer) {
    return trainer->type->layout(trainer);
}

enum us_nn_status us_nn_trainer_read(const struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                                     float *flat) {
    return trainer->type->read(trainer, buffer, flat);
}

enum us_nn_status us_nn_trainer_write(struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                                      const float *flat) {
    return trainer->type->write(trainer, buffer, flat);
}

uint64_t us_nn_trainer_arrangement(const struct us_nn_trainer *trainer) {
    return trainer->type->arrangement ? trainer->type->arrangement(trainer) : 0;
}

size_t us_nn_trainer_judge_count(const struct us_nn_trainer *trainer) {
    return trainer->type->judge_count ? trainer->type->judge_count(trainer) : 0;
}

enum us_nn_status us_nn_trainer_read_judges(const struct us_nn_trainer *trainer, float *flat) {
    return trainer->type->read_judges ? trainer->type->read_judges(trainer, flat) : US_NN_OK;
}

enum us_nn_status us_nn_trainer_write_judges(struct us_nn_trainer *trainer, const float *flat) {
    return trainer->type->write_judges ? trainer->type->write_judges(trainer, flat) : US_NN_OK;
}

uint64_t us_nn_trainer_steps(const struct us_nn_trainer *trainer) {
    return trainer->steps;
}

void us_nn_trainer_set_steps(struct us_nn_trainer *trainer, uint64_t steps) {
    trainer->steps = steps;
}
