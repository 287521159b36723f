/* What an engine that trains must be able to do; trainer.h says what each function means. */
#ifndef US_KERNELS_NN_TRAINER_TYPE_H
#define US_KERNELS_NN_TRAINER_TYPE_H

#include "kernels/nn/trainer.h"

/* The head of every trainer. */
struct us_nn_trainer {
    const struct nn_trainer_type *type;
    struct us_nn_trainer_config config;
    uint64_t steps;
};

struct nn_trainer_type {
    const char *(*problem)(const struct us_nn_trainer_config *config);
    enum us_nn_status (*memory)(const struct us_nn_trainer_config *config,
                                struct us_nn_memory *memory);
    /* Sets everything but type and config of the head. */
    enum us_nn_status (*create)(const struct us_nn_trainer_config *config,
                                struct us_nn_trainer **trainer);
    void (*destroy)(struct us_nn_trainer *trainer);
    enum us_nn_status (*gradients)(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                                   struct us_nn_losses *losses);
    enum us_nn_status (*update)(struct us_nn_trainer *trainer);
    /* (optional) both at once */
    enum us_nn_status (*step)(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                              struct us_nn_losses *losses);
    enum us_nn_status (*evaluate)(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                                  struct us_nn_losses *losses);
    enum us_nn_status (*infer)(struct us_nn_trainer *trainer, enum us_nn_side decoder,
                               const float *faces, int count, float *images, float *masks);
    /* (optional) faces that stay on a device, and steps with them */
    enum us_nn_status (*keep_faces)(struct us_nn_trainer *trainer, int identity,
                                    const struct us_nn_kept_faces *faces);
    enum us_nn_status (*step_drawn)(struct us_nn_trainer *trainer, const struct us_nn_turn *turn,
                                    struct us_nn_losses *losses);
    struct us_nn_kept_memory (*kept_memory)(const struct us_nn_trainer_config *config,
                                            const size_t *counts, size_t available);
    const char *(*note)(const struct us_nn_trainer *trainer);
    /* (optional) only for architectures that grow */
    void (*set_fade)(struct us_nn_trainer *trainer, float fade);
    const struct us_nn_layout *(*layout)(const struct us_nn_trainer *trainer);
    enum us_nn_status (*read)(const struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                              float *flat);
    enum us_nn_status (*write)(struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                               const float *flat);
    /* (optional, all or none) */
    size_t (*judge_count)(const struct us_nn_trainer *trainer);
    enum us_nn_status (*read_judges)(const struct us_nn_trainer *trainer, float *flat);
    enum us_nn_status (*write_judges)(struct us_nn_trainer *trainer, const float *flat);
    uint64_t (*arrangement)(const struct us_nn_trainer *trainer); /* (optional) */
};

extern const struct nn_trainer_type nn_cpu_trainer_type;

#endif
