/* The trainer of a CUDA device. */
#ifndef US_KERNELS_CUDA_TRAINER_INTERNAL_H
#define US_KERNELS_CUDA_TRAINER_INTERNAL_H

#include "kernels/augment_cuda.h"
#include "kernels/cuda/gradient_tree.h"
#include "kernels/cuda/net_judge_internal.h"
#include "kernels/nn/comm.h"
#include "kernels/nn/model_type.h"
#include "kernels/nn/optimizer_cuda.h"
#include "kernels/nn/trainer_type.h"

#define CU_BLOCKS 64

/* One piece of device memory and where its address goes. */
struct cu_block {
    void **at;
    size_t bytes;
    bool zeroed;
};

/* What changes from step to step. One copy to the device goes before a step and one back after it;
 * the mirror on the host is pinned. */
struct cu_state {
    struct nn_cuda_clock clock;
    double square_sum;            /* of the gradients; not finite when a loss is not */
    double judge_sums[NN_JUDGES]; /* likewise; these and the one above are finite together */
    struct nn_cuda_clock judge_clocks[NN_JUDGES];
    struct us_nn_loss_terms terms[US_NN_IDENTITIES];
    float fade;
    struct us_augment_turn turns[US_NN_IDENTITIES];
};

/* One identity's faces: in device memory, or (count of them too many) those of the coming step, one
 * after another, in two pinned stages that the host fills in turn. */
struct cu_faces {
    size_t count;
    uint16_t *faces; /* device: all, or those of a batch */
    struct us_priority_spot *spots;
    bool streamed;
    const uint16_t **host; /* streamed: where they come from */
    struct us_priority_spot *host_spots;
};

/* Streamed faces of one step, on their way or there. */
struct cu_stage {
    char *host, *device; /* pinned; one identity's faces and spots after another's */
    cudaEvent_t there;
    bool filled;
    uint64_t step;
    uint32_t streams[US_NN_IDENTITIES], first_slot;
};

/* A step captured once and launched again. */
struct cu_graph {
    cudaGraphExec_t exec; /* NULL: not captured */
    int runs;             /* without it */
};

struct cu_trainer {
    struct us_nn_trainer base;
    struct us_nn_layout layout;
    struct cu_params params;
    struct nn_graph *graph, *inference_graph;
    struct cu_net net, inference;
    struct cu_judge *judges[NN_JUDGES]; /* NULL: there is none */
    struct us_conv_planner *planner;
    struct cu_streams streams;
    cudaStream_t side; /* collectives beside the step */
    cudaEvent_t side_events[CU_STREAMS];
    size_t sent; /* gradients of this step, from the arena's start, on their way to other ranks */
    int pass, passes; /* faces of an identity computed at once, and how often a step does that */
    int levels;       /* at which sums of passes wait */
    struct cu_tree_waiting waiting; /* sums of passes, each an arena of floats */
    struct us_nn_loss_terms *parts; /* of each pass, [passes][US_NN_IDENTITIES]; NULL: one pass */
    struct cu_block blocks[CU_BLOCKS];
    int block_count;
    float *masters, *moment1, *moment2, *average; /* arenas; average may be NULL */
    char *gradients;                              /* of the net's gradient_type */
    char *copies;                                 /* bfloat16 masters, or NULL */
    float *masks;
    char *memory, *inference_memory, *scratch[CU_STREAMS], *update_scratch;
    float *whole;   /* planes of the whole resolution, when the net is smaller; else NULL */
    float *rest[4]; /* host, by enum us_nn_buffer: what layers not had keep, or NULL */
    struct cu_state *state, *mirror;
    struct cu_graph from_batch, from_faces;
    struct cu_faces faces[US_NN_IDENTITIES];
    struct cu_stage stages[2];
    int next_stage;
    char *augment_scratch;
    uint32_t first_slot; /* of the step that from_faces is */
    bool uncaptured;     /* capturing failed once, or is not wanted */
    const char *note;
};

enum us_nn_status cu_trainer_use(const struct cu_trainer *t);
size_t cu_update_scratch(const struct cu_trainer *t);
void cu_graphs_finish(struct cu_trainer *t);

/* Enqueues what makes a pass of the batch of mirror->turns from kept faces. */
enum us_nn_status cu_augment(struct cu_trainer *t, int pass);
void cu_faces_finish(struct cu_trainer *t);
/* Streamed faces of a turn are on the device before what follows on the first stream. */
enum us_nn_status cu_stage_faces(struct cu_trainer *t, const struct us_nn_turn *turn);
/* Begins to bring those of the turn that probably follows. */
enum us_nn_status cu_stage_next(struct cu_trainer *t, const struct us_nn_turn *turn);

/* With config.comm, trainer_comm.c: gradients that are made go to the other ranks (a cu_complete),
 * and factors of others (a cu_gather); the rest of them and the losses do, and the first stream
 * waits for all. */
enum us_nn_status cu_comm_complete(void *context, size_t elements,
                                   const struct cu_streams *streams);
enum us_nn_status cu_comm_gather(void *context, const struct cu_factor *factor,
                                 const struct cu_streams *streams);
enum us_nn_status cu_comm_rest(struct cu_trainer *t);
/* The host waits for the first stream; US_NN_LOST: a rank is gone. */
enum us_nn_status cu_comm_finish(const struct cu_trainer *t);

/* The discriminators, trainer_adversary.c; every function does nothing without them. */
/* Between the losses of the trained network and its backward pass. */
enum us_nn_status cu_adversaries_describe(struct cu_trainer *t);
/* Once the networks are settled, in this order. `scratch`: the most that a stream needs so far. */
enum us_nn_status cu_adversaries_make_plans(struct cu_trainer *t);
size_t cu_adversaries_list(struct cu_trainer *t, size_t scratch);
enum us_nn_status cu_adversaries_bind(struct cu_trainer *t);
void cu_adversaries_finish(struct cu_trainer *t); /* before the planner goes */
void cu_adversaries_free(struct cu_trainer *t);   /* after their blocks are freed */
/* In a step: what the host says beforehand; the sums over passes and over the ranks, on the side
 * stream; whether all gradients are finite; the updates. */
void cu_adversaries_set(struct cu_trainer *t);
/* Adds their gradients of a pass to those before, as the autoencoder's are. */
enum us_nn_status cu_adversaries_add_pass(struct cu_trainer *t, int pass, int level, bool last);
enum us_nn_status cu_adversaries_share(struct cu_trainer *t);
enum us_nn_status cu_adversaries_measure(struct cu_trainer *t);
enum us_nn_status cu_adversaries_move(struct cu_trainer *t);
size_t cu_adversaries_count(const struct us_nn_trainer *trainer);
enum us_nn_status cu_adversaries_read(const struct us_nn_trainer *trainer, float *flat);
enum us_nn_status cu_adversaries_write(struct us_nn_trainer *trainer, const float *flat);

/* Functions of cu_trainer_type; trainer_type.h says what they do. */
void cu_trainer_destroy(struct us_nn_trainer *trainer);
enum us_nn_status cu_trainer_gradients(struct us_nn_trainer *trainer,
                                       const struct us_nn_batch *batch,
                                       struct us_nn_losses *losses);
enum us_nn_status cu_trainer_update(struct us_nn_trainer *trainer);
enum us_nn_status cu_trainer_step(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                                  struct us_nn_losses *losses);
enum us_nn_status cu_trainer_keep_faces(struct us_nn_trainer *trainer, int identity,
                                        const struct us_nn_kept_faces *faces);
struct us_nn_kept_memory cu_trainer_kept_memory(const struct us_nn_trainer_config *config,
                                                const size_t *counts, size_t available);
enum us_nn_status cu_trainer_step_drawn(struct us_nn_trainer *trainer,
                                        const struct us_nn_turn *turn, struct us_nn_losses *losses);
enum us_nn_status cu_trainer_evaluate(struct us_nn_trainer *trainer,
                                      const struct us_nn_batch *batch, struct us_nn_losses *losses);
enum us_nn_status cu_trainer_infer(struct us_nn_trainer *trainer, enum us_nn_side decoder,
                                   const float *faces, int count, float *images, float *masks);
enum us_nn_status cu_trainer_read(const struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                                  float *flat);
enum us_nn_status cu_trainer_write(struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                                   const float *flat);

extern const struct nn_trainer_type cu_trainer_type;
extern const struct nn_model_type cu_model_type;
/* Where the timings of convolutions are kept, written to `path`; NULL: nowhere. */
const char *cu_plan_folder(char *path, size_t size);

#endif
