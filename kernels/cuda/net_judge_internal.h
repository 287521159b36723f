/* A discriminator (kernels/nn/discriminator.h) on the device: parameters, network, optimizer state,
 * and the operations of the trained network that run it.
 *
 * Its network goes forward once and backward twice: with its own loss, for what it learns, and with
 * what its judgement of the made costs the autoencoder, for the gradient of what was made. Both
 * read the activations of the one pass forward. */
#ifndef US_KERNELS_CUDA_NET_JUDGE_INTERNAL_H
#define US_KERNELS_CUDA_NET_JUDGE_INTERNAL_H

#include "kernels/cuda/gradient_tree.h"
#include "kernels/cuda/net_internal.h"
#include "kernels/nn/discriminator.h"

struct cu_judge_config {
    enum nn_cuda_type type;
    int batch;   /* true inputs, and as many made ones */
    int size;    /* of faces, for their soft mattes; 0: it judges no faces */
    float power; /* weight of its judgement in the autoencoder's loss */
    float scale; /* of all gradients: 1 / ranks / passes */
};

struct cu_judge {
    struct cu_judge_config config;
    struct nn_judge_graph described;
    struct us_nn_layout layout;
    struct cu_params params;
    struct cu_net net;
    float *masters, *gradients, *moment1, *moment2; /* arenas */
    char *copies;                                   /* bfloat16 masters, or NULL */
    struct cu_tree_waiting waiting;                 /* gradients of passes */
    char *memory;                                   /* of the network */
    struct cu_ref judgement;                        /* struct nn_cuda_judgement */
    struct cu_ref soft, half;                       /* [batch][size][size] */
    struct cu_ref scratch;                          /* of sums: cu_judge_measure, nn_cuda_pull */
};

/* Describes a zeroed one; takes the graph over. Touches no device. Free also after an error. */
enum us_nn_status cu_judge_describe(struct cu_judge *judge, struct nn_judge_graph *graph,
                                    const struct cu_judge_config *config);
/* Once its memory is there: `scratch` is that of the stream it will run on. */
void cu_judge_bind(struct cu_judge *judge, char *scratch);
/* Frees what belongs to the host; the caller has called cu_net_finish. */
void cu_judge_free(struct cu_judge *judge);

/* Its input, planes [2 * batch][c][h][w], and their gradient. */
float *cu_judge_input(const struct cu_judge *judge);
const float *cu_judge_input_gradient(const struct cu_judge *judge);

/* *sum (device) = the sum of squares of its gradients. */
enum us_nn_status cu_judge_measure(const struct cu_judge *judge, double *sum, void *stream);

/* Weights and both moments, one after the other in the layout's order: 3 * layout.count floats. */
enum us_nn_status cu_judge_read(const struct cu_judge *judge, float *flat);
enum us_nn_status cu_judge_write(struct cu_judge *judge, const float *flat);
/* Back to its first weights. */
enum us_nn_status cu_judge_restart(struct cu_judge *judge, uint64_t seed);

/* Describe what runs a judge between the losses and the backward pass of a trained network: of the
 * code (its gradients go to the code's), or of the source's faces (they go to the image's). */
void cu_net_judge_code(struct cu_net *net, const struct cu_judge *judge);
void cu_net_judge_faces(struct cu_net *net, const struct cu_judge *judge);

#endif
