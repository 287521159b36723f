/* Training of a face-swapping autoencoder, on the CPU or on a GPU.
 *
 *     us_nn_trainer_memory(&config, &bytes);          what creating it will take
 *     us_nn_trainer_create(&config, &trainer);
 *     while (...) us_nn_trainer_step(trainer, &batch, &losses);
 *     us_nn_trainer_read(trainer, US_NN_PARAMETERS, flat);
 *     us_nn_trainer_destroy(trainer);
 *
 * All memory is taken by create; a step allocates nothing. The same config, state and batches give
 * the same bits with any number of threads, always, on one kind of processor. Any thread may call,
 * one at a time; the OpenMP thread count of the calling thread is set to config.threads. */
#ifndef US_KERNELS_NN_TRAINER_H
#define US_KERNELS_NN_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/augment.h"
#include "kernels/nn/arch.h"
#include "kernels/nn/loss.h"
#include "kernels/nn/optimizer.h"
#include "kernels/nn/status.h"
#include "kernels/priority.h"

struct us_nn_comm; /* kernels/nn/comm.h */

enum { US_NN_CPU = 0 }; /* as a device; others are 1 + a CUDA ordinal */

/* Discriminators that the training is against (discriminator.h); not a part of the model. A step
 * first makes the gradients of the autoencoder, with the discriminators as they are, and theirs,
 * with what the autoencoder made as it is; then all are updated, with one optimizer's settings.
 *
 * true_face: of the code (df only). The discriminator learns to tell the source's codes from the
 * destination's; to the loss comes true_face times the cross entropy of the destination's codes
 * taken for the source's, so that the swap keeps more of the source's face.
 * gan: of the source's faces inside the matte (as loss.masked says). To the loss come gan times the
 * cross entropies of the made faces taken for true ones, by patch and by pixel; 1e-6 total
 * variation; 0.02 mean squared error outside the matte. */
struct us_nn_adversaries {
    float true_face, gan; /* 0: none */
    int gan_patch;        /* pixels that a patch's judgement sees; 0: an eighth of the side */
    int gan_dims;         /* channels of its widest layer, 4 to 512 */
};

struct us_nn_trainer_config {
    int device;              /* US_NN_CPU, or 1 + a CUDA ordinal */
    struct us_nn_comm *comm; /* other trainers that this one averages gradients with; borrowed;
                                NULL: none. All have the same config but for device and threads;
                                losses and gradient are those of all batches together */
    bool comm_bf16;          /* gradients travel as bfloat16 */
    struct us_nn_arch arch;
    struct us_nn_optimizer optimizer;
    struct us_nn_loss_weights loss;
    struct us_nn_adversaries adversaries;
    int batch;     /* faces of each side in a step, 1 to 256 */
    int pass;      /* of these, computed at once: a divisor of batch; 0: all. Gradients of passes,
                      and of ranks, are summed in one fixed tree: as long as pass, threads and the
                      batches of all ranks together stay the same, and the passes of a rank are a
                      power of two, so do the bits */
    int threads;   /* 1 to 256 */
    uint64_t seed; /* of the first weights and of rate dropout */
    bool bf16;     /* activations and multiplied weights in bfloat16; US_NN_UNSUPPORTED without
                      processor support (us_nn_has_bf16) */
};

/* The faces of one identity: `batch` of each, encoded values (mostly 0 to 1). Borrowed. */
struct us_nn_faces {
    const float *inputs;     /* [batch][3][R][R], what the encoder sees (warped) */
    const float *targets;    /* [batch][3][R][R], what the decoder must make */
    const float *masks;      /* [batch][R][R], 0 to 1, aligned with the targets */
    const float *priorities; /* [batch][R][R], 0 to 1, likewise; or NULL: all 0 */
};

struct us_nn_batch {
    struct us_nn_faces faces[US_NN_IDENTITIES]; /* source, destination, others */
};

struct us_nn_losses {
    struct us_nn_loss_terms faces[US_NN_IDENTITIES]; /* source, destination, others */
    double total;                                    /* the sum of their totals */
    double gradient_norm;                            /* global, before clipping */
    bool finite;
};

/* The flat buffers of a trainer, each laid out as us_nn_trainer_layout says. */
enum us_nn_buffer {
    US_NN_PARAMETERS,
    US_NN_MOMENT1,   /* the optimizer's m */
    US_NN_MOMENT2,   /* the optimizer's v */
    US_NN_AVERAGE,   /* of the weights; only with optimizer.average_decay */
    US_NN_GRADIENTS, /* of the last step; reading only */
};

/* An identity; above these the others of an architecture with more than two. */
enum us_nn_side { US_NN_SOURCE, US_NN_DESTINATION };

struct us_nn_trainer;

bool us_nn_has_bf16(void);

/* NULL when a trainer can be created from this, else one clause that says what is wrong. */
const char *us_nn_trainer_problem(const struct us_nn_trainer_config *config);

/* The buffers of a trainer by what they are for, in bytes. */
struct us_nn_memory {
    size_t weights;     /* and what a device keeps beside them: copies in bfloat16, masks */
    size_t gradients;   /* and the sums of passes that wait for others */
    size_t optimizer;   /* moments and the moving average */
    size_t activations; /* of training, backward with it, and of inference */
    size_t scratch;     /* of losses and operations; on a device an upper bound: what convolutions
                           work in is known once they are chosen */
    size_t adversaries; /* all of the discriminators' */
    size_t host;        /* a device's trainer: the machine's memory, beside what the others count */
};
/* All but host. */
static inline size_t us_nn_memory_sum(const struct us_nn_memory *m) {
    return m->weights + m->gradients + m->optimizer + m->activations + m->scratch + m->adversaries;
}
/* What create will take where config.device is; touches no device and asks for nothing large. A
 * device that has less of it free is no failure. */
enum us_nn_status us_nn_trainer_memory_parts(const struct us_nn_trainer_config *config,
                                             struct us_nn_memory *memory);
/* The sum of these. */
enum us_nn_status us_nn_trainer_memory(const struct us_nn_trainer_config *config, size_t *bytes);
/* Parameters are initialised from the seed, moments are 0, the step count is 0. */
enum us_nn_status us_nn_trainer_create(const struct us_nn_trainer_config *config,
                                       struct us_nn_trainer **trainer);
void us_nn_trainer_destroy(struct us_nn_trainer *trainer);

/* Forward, loss, backward, update. US_NN_NOT_FINITE: nothing was updated or counted, losses say
 * which term it was. */
enum us_nn_status us_nn_trainer_step(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                                     struct us_nn_losses *losses);
/* The two halves of a step, for whoever combines gradients of several trainers in between. */
enum us_nn_status us_nn_trainer_gradients(struct us_nn_trainer *trainer,
                                          const struct us_nn_batch *batch,
                                          struct us_nn_losses *losses);
enum us_nn_status us_nn_trainer_update(struct us_nn_trainer *trainer);
/* Forward and loss only; gradient_norm is 0. */
enum us_nn_status us_nn_trainer_evaluate(struct us_nn_trainer *trainer,
                                         const struct us_nn_batch *batch,
                                         struct us_nn_losses *losses);
/* Any number of faces [count][3][R][R] through encoder, inter and one side's decoder:
 * images [count][3][R][R] and masks [count][R][R], both 0 to 1; masks may be NULL.
 * The swap is the destination's faces through the source's decoder. */
enum us_nn_status us_nn_trainer_infer(struct us_nn_trainer *trainer, enum us_nn_side decoder,
                                      const float *faces, int count, float *images, float *masks);

/* The share of a size that comes in (arch.fading) from now on. To grow further, read the buffers,
 * create a trainer of the next size and write them there: all sizes have one layout, and layers
 * that a size does not have are kept as they are. */
void us_nn_trainer_set_fade(struct us_nn_trainer *trainer, float fade);
/* One identity's faces to train on. */
struct us_nn_kept_faces {
    const uint16_t *const *faces; /* [count], each [R][R][4] R, G, B, matte as binary16: these are
                                     borrowed as long as the trainer lives */
    const struct us_priority_spot *spots; /* [count][US_PRIORITY_SPOTS], copied; or NULL */
    size_t count;
};

/* Which faces a step takes and how it varies them: slot k of identity i, k from first_slot to
 * first_slot + batch - 1, takes face us_augment_pick(count, config.seed, streams[i], step, k) with
 * us_augment_draw(&ranges[i], R, config.seed, streams[i], step, k). */
struct us_nn_turn {
    uint64_t step;
    uint32_t first_slot;
    uint32_t streams[US_NN_IDENTITIES];
    struct us_augment_ranges ranges[US_NN_IDENTITIES];
};

/* Gives a GPU the faces of an identity: they lie in its memory from then on, or when they do not
 * fit, come to it step by step. US_NN_UNSUPPORTED: this trainer takes batches only. */
enum us_nn_status us_nn_trainer_keep_faces(struct us_nn_trainer *trainer, int identity,
                                           const struct us_nn_kept_faces *faces);
/* What keeping `counts[identity]` faces of each identity takes on a device of which `available`
 * bytes are free beside the trainer. All 0: this trainer keeps none. */
struct us_nn_kept_memory {
    size_t device, host;
    bool streamed; /* they do not all fit: faces of a batch at a time */
};
struct us_nn_kept_memory us_nn_trainer_kept_memory(const struct us_nn_trainer_config *config,
                                                   const size_t *counts, size_t available);
/* us_nn_trainer_step with the batch that us_augment_run would make of that turn; colours differ by
 * rounding. US_NN_UNSUPPORTED: not all identities have faces. */
enum us_nn_status us_nn_trainer_step_drawn(struct us_nn_trainer *trainer,
                                           const struct us_nn_turn *turn,
                                           struct us_nn_losses *losses);
/* What a trainer has to say about how it works (a step that could not be captured, faces that do
 * not fit), one clause; NULL: nothing. */
const char *us_nn_trainer_note(const struct us_nn_trainer *trainer);

const struct us_nn_layout *us_nn_trainer_layout(const struct us_nn_trainer *trainer);
/* Copies a flat buffer of layout->count floats out or in, bit for bit: read, then write into
 * another trainer of the same config (and set its step) goes on as the first would have.
 * US_NN_BAD_CONFIG: there is no such buffer, or it may not be written. */
enum us_nn_status us_nn_trainer_read(const struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                                     float *flat);
enum us_nn_status us_nn_trainer_write(struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                                      const float *flat);
/* A number that trainers share whose gradients lie in memory alike, so that they can be added. */
uint64_t us_nn_trainer_arrangement(const struct us_nn_trainer *trainer);
/* Floats of state that the discriminators have, 0 without; and that state out and in, bit for bit.
 * NULL sets it to what create made. */
size_t us_nn_trainer_judge_count(const struct us_nn_trainer *trainer);
enum us_nn_status us_nn_trainer_read_judges(const struct us_nn_trainer *trainer, float *flat);
enum us_nn_status us_nn_trainer_write_judges(struct us_nn_trainer *trainer, const float *flat);
/* Updates done so far. */
uint64_t us_nn_trainer_steps(const struct us_nn_trainer *trainer);
void us_nn_trainer_set_steps(struct us_nn_trainer *trainer, uint64_t steps);

#endif
