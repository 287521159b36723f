/* A discriminator on the CPU: its network, weights and optimizer. It sees `batch` true inputs, then
 * `batch` made ones. */
#ifndef US_KERNELS_NN_JUDGE_INTERNAL_H
#define US_KERNELS_NN_JUDGE_INTERNAL_H

#include "kernels/nn/discriminator.h"
#include "kernels/nn/lower_internal.h"
#include "kernels/nn/optimizer.h"

struct nn_judge {
    struct nn_params params;
    struct nn_net net;
    struct nn_tensor *input, *logits[NN_JUDGE_OUTPUTS];
    int batch, output_count;
    float *weights, *moment1, *moment2; /* arenas, as the next two */
    float *gradients, *sum;             /* of the last pass, of all since nn_judge_begin */
    double square_sum;                  /* of `sum` */
};

/* Describes it; takes the graph over. Finish also after an error. */
enum us_nn_status nn_judge_init(struct nn_judge *judge, struct nn_judge_graph *graph, int batch);
void nn_judge_finish(struct nn_judge *judge);
size_t nn_judge_memory(struct nn_judge *judge);
/* Takes the memory and sets the first weights. */
enum us_nn_status nn_judge_allocate(struct nn_judge *judge, uint64_t seed);

/* [2 * batch][c][h][w] planes, to be filled before nn_judge_run; and their gradient after it. */
float *nn_judge_input(const struct nn_judge *judge);
const float *nn_judge_input_gradient(const struct nn_judge *judge);

void nn_judge_begin(struct nn_judge *judge);
/* What a training against it wants: the losses' means over `whole` faces, each the sum over its
 * outputs. made_as_true: cross entropy of the made inputs as if they were true; its gradient times
 * `power` is the input's afterwards. own: half the cross entropy of the true and of the made ones
 * as what they are, its mean over the outputs; its gradient (of the sum) is added to judge->sum. */
struct nn_judge_losses {
    double made_as_true, own;
};
enum us_nn_status nn_judge_run(struct nn_judge *judge, int whole, float power,
                               struct nn_judge_losses *losses);
/* judge->square_sum, once the sum is complete. */
void nn_judge_measure(struct nn_judge *judge);
void nn_judge_update(struct nn_judge *judge, const struct us_nn_optimizer *optimizer,
                     uint64_t step);

/* Weights and both moments, one after the other in the layout's order: 3 * layout.count floats. */
enum us_nn_status nn_judge_read(const struct nn_judge *judge, float *flat);
enum us_nn_status nn_judge_write(struct nn_judge *judge, const float *flat);
/* Back to its first weights. */
enum us_nn_status nn_judge_restart(struct nn_judge *judge, uint64_t seed);

#endif
