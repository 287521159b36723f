/* What a training on the CPU has to do with its discriminators (trainer.h). Every function does
 * nothing when there are none. */
#ifndef US_KERNELS_NN_TRAINER_CPU_ADVERSARY_H
#define US_KERNELS_NN_TRAINER_CPU_ADVERSARY_H

#include "kernels/nn/judge_internal.h"
#include "kernels/nn/trainer.h"

struct nn_cpu_trainer;

struct nn_adversary {
    struct nn_judge *judges[NN_JUDGES]; /* NULL: there is none */
    struct nn_ref code_gradient;        /* what the code judge adds to the code's gradients */
    float *soft_masks;                  /* face judge: [pass][R][R] */
    float *scratch;                     /* [R][R] */
    double *sums;                       /* two a plane of a pass */
};

/* After the training network is described and before it is bound; nothing large is allocated. */
enum us_nn_status nn_adversary_init(struct nn_cpu_trainer *trainer);
size_t nn_adversary_memory(struct nn_cpu_trainer *trainer);
enum us_nn_status nn_adversary_allocate(struct nn_cpu_trainer *trainer);
void nn_adversary_finish(struct nn_cpu_trainer *trainer);

/* Before the first pass of a step. */
void nn_adversary_begin(struct nn_cpu_trainer *trainer);
/* After the losses of a pass: adds to its losses, to the gradients of the images and of the code,
 * and to what the judges learn. */
enum us_nn_status nn_adversary_run(struct nn_cpu_trainer *trainer, const struct us_nn_batch *batch,
                                   struct us_nn_losses *losses);
/* After the last pass: queues the sum over the ranks, if there are. */
void nn_adversary_reduce(struct nn_cpu_trainer *trainer);
/* Once that is done: false when a gradient is not finite. */
bool nn_adversary_measure(struct nn_cpu_trainer *trainer);
void nn_adversary_update(struct nn_cpu_trainer *trainer);

size_t nn_cpu_judge_count(const struct us_nn_trainer *trainer);
enum us_nn_status nn_cpu_read_judges(const struct us_nn_trainer *trainer, float *flat);
enum us_nn_status nn_cpu_write_judges(struct us_nn_trainer *trainer, const float *flat);

#endif
